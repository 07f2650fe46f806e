"""What people see: pages of text, tables and charts, with and without rich."""
