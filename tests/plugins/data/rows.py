"""Rows through steps, sources and sinks, without a pipeline."""

from __future__ import annotations

from typing import Any


def rows_of(source: Any) -> list[Any]:
    """All that a source gives, in one list."""
    return [row for lot in source.process() for row in lot]


def through(step: Any, rows: list[dict[str, Any]]) -> list[Any]:
    """What a step makes of rows that come one at a time, as in a pipeline."""
    step.load()
    return [made for row in rows for lot in step.process([row]) for made in lot]


def save(sink: Any, *lots: list[dict[str, Any]], finished: bool = True) -> Any:
    """A sink that has written lots of rows."""
    sink.open(replace=False)
    for lot in lots:
        sink.write(lot)
    sink.close(finished=finished)
    return sink
