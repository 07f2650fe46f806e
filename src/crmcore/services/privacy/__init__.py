"""Telling a person what is known of them, and forgetting it."""
