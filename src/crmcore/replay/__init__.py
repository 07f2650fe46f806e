"""Trying a configuration: history replayed under a virtual clock."""
