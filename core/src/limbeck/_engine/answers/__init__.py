"""Answers that need not be bought: stored ones, caches, re-runs; and the explanation of a look-up."""
