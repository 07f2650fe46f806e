"""Whose an identifier is: looking up, registering, proving and relating customers."""
