"""Check-ups: what the doctor looks at, each a module of its own."""
