"""What staff may see and do, and what they have to do."""
