"""The directory of a run: its files, its state, its report."""
