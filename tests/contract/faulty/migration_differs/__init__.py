"""A plugin whose migrations give another schema than a fresh install."""
