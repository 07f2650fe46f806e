"""Revisions of the core's tables, each as it was released: one is never changed afterwards."""
