"""Campaigns: what is said once to many, and what it brought about."""
