"""What the core does."""
