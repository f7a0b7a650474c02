"""Rows on their way between nodes: lineage, queues, outlets, and the work of plain steps."""
