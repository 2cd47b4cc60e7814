"""Shared by every test. Warnings are errors (pyproject); only tests/e2e may wait for real."""
