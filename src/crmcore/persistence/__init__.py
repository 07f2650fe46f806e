"""SQLAlchemy Core tables, and the statements on them."""
