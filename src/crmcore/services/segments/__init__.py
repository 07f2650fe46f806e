"""Segments: rules about customers, compiled to statements and answered with reasons."""
