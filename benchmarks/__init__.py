"""Limbeck against hand-written floors and against its peers, on a loopback server. Run `python -m benchmarks -h`."""
