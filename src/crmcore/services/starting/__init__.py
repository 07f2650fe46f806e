"""What is made ready when the library starts: plugins, tables and revisions."""
