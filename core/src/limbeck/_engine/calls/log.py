"""The logger `limbeck`: retries and paces at INFO, servers that are away and breakers at WARNING; silent by default."""

from __future__ import annotations

import logging

log = logging.getLogger("limbeck")
log.addHandler(logging.NullHandler())  # or the standard library would print what is told at WARNING
