"""The graph of a pipeline: steps, edges, and what can be checked before a row moves."""
