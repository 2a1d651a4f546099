"""Measurements of the product as it runs; each module is one command and prints its own table."""
