"""The steps that `input` and `output` are short for, and rows that are not read to their end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..._step import GeneratorStep

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...types import Row


def input_step(value: Any) -> tuple[str, dict[str, Any]]:
    """The registered name and the fields of the source for a path, `-` or a list of rows."""
    if isinstance(value, list):
        return "load-data-from-dicts", {"data": value}
    return "load-data-from-jsonl" if _is_special(value) else "load-data-from-files", {"paths": value}


def output_step(value: str) -> tuple[str, dict[str, Any]]:
    """The registered name and the fields of the sink for a path or `-`."""
    return "save-to-jsonl" if _is_special(value) else "save-to-files", {"path": value}


def _is_special(path: str) -> bool:
    """Tell whether it is a device or a named pipe, whose name says nothing of what goes through it."""
    place = Path(path)
    return place.exists() and not place.is_file() and not place.is_dir()


class FirstRows(GeneratorStep):
    """The first rows of another source.

    Attributes:
        source: the other. limit: rows to read of it at most.
    """

    source: Any
    limit: int

    @property
    def outputs(self) -> list[str]:
        return list(self.source.outputs)

    def load(self) -> None:
        self.source.load()

    def unload(self) -> None:
        self.source.unload()

    def count(self) -> int | None:
        """The number of rows, or None where that is not known."""
        count = getattr(self.source, "count", None)
        known = count() if callable(count) else None
        return None if known is None else min(known, self.limit)

    def process(self, inputs: list[Row] | None = None) -> Iterator[list[Row]]:  # noqa: ARG002 - a source takes none
        left = self.limit
        for chunk in self.source.process():
            yield chunk[:left]
            left -= len(chunk)
            if left <= 0:
                return
