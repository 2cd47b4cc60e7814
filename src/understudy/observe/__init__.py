"""Observers of the core's events: one integration per file."""
