"""Backends: the base class for providers, and structured output."""
