"""The sliding window, and the backends that it asks."""
