"""The pace and the width at which an endpoint may be asked."""
