"""ACT: the only ring that awaits."""
