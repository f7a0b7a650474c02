"""A pack that the pages install, and that cannot be imported."""

raise RuntimeError("the licence server did not answer")
