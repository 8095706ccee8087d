"""Which episodes: the plan's selection, its algorithm, its files."""
