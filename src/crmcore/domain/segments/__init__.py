"""Segments: rules over traits and the ledger that say which customers are meant."""
