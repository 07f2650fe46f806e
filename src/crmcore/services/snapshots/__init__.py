"""Snapshots: all tables copied to Parquet files, and asked there."""
