"""The logger `limbeck` on stderr: retries, servers that are away, breakers."""

from __future__ import annotations

import logging

from .exits import echo


class _Stderr(logging.Handler):
    """The handler that prints each record as one line, above a live display."""

    def emit(self, record: logging.LogRecord) -> None:
        echo(self.format(record), err=True)


def show_log() -> None:
    """Print what is logged from now on, at INFO and above."""
    logger = logging.getLogger("limbeck")
    if not any(isinstance(handler, _Stderr) for handler in logger.handlers):
        handler = _Stderr()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S"))
        logger.addHandler(handler)
    logger.setLevel(logging.INFO)
