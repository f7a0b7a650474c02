"""The nodes, each of which runs a step: it takes items, has them processed, and sends on what came of them.

Everything here happens on the portal's loop, so nothing is locked; sources, plain steps and
sinks have threads (or processes) of their own, and meet the loop in chunks of rows.

A node works while any of those that follow it is hungry, so that a slow branch does not starve
a fast one. What a full one is given beyond its capacity spills to a file, up to a limit.
"""
