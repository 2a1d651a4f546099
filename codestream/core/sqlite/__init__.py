"""Django's backend for SQLite, with threads that wait for each other."""
