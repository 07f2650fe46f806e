"""Channels that ship with the core; each is a plugin, and none is there unless a shop wants it."""
