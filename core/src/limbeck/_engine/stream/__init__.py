"""One task's rows: admitted, asked, and released in order."""
