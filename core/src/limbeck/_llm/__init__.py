"""Backends: the base class for providers, and the embedded stand-in."""
