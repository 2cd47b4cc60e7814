"""Modelled backends in virtual time."""
