"""How fast and how wide an endpoint may be asked."""
