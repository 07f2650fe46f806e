"""Interactions and what follows from them at once: the ledger and the lifecycle."""
