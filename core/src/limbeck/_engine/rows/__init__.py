"""Rows as the engine holds them: plain values, copies, tables, and their order."""
