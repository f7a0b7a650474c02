"""Pipelines: steps in a graph, rows streaming through it."""
