"""Plugins with one seeded fault each; nothing here imports them, as some act when imported."""
