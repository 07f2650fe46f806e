"""Consent, the gate, and messages on their way."""
