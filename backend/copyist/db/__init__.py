"""The database is the truth: tables, and every query there is. PostgreSQL, or SQLite in the embedded default."""
