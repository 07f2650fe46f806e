"""Frozen values of the trade; no input or output."""
