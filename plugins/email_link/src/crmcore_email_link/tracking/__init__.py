"""Tracking: who opened a mail and followed its links, of those who allowed it, and nobody else."""
