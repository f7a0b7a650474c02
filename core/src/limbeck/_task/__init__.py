"""Tasks, and what turns their generations into rows."""
