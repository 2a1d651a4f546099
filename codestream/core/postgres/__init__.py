"""Django's backend for PostgreSQL, whose pool knows what has died."""
