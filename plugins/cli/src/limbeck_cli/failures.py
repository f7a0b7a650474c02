"""What failed, told as it happens where it is news: rows that could not be read, and the first failure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from limbeck import hookimpl

from .exits import say_warning

if TYPE_CHECKING:
    from collections.abc import Callable

    from limbeck.errors import GenerationError
    from limbeck.types import RunInfo

_TOLD = 10


class Failures:
    """An observer that keeps the first failure, and tells of rows that a source could not read.

    Args:
        hidden: a message without what must not be shown.

    Attributes:
        first: the first failure, in words; None while there is none.
    """

    def __init__(self, hidden: Callable[[str], str]) -> None:
        self.first: str | None = None
        self._hidden = hidden
        self._unread = 0

    @hookimpl
    def limbeck_row_failed(self, run: RunInfo, id: Any, error: GenerationError) -> None:
        """A row failed."""
        if run.kind == "source":
            self._tell_unread(self._hidden(str(error)))
        elif self.first is None:
            self.first = f"step {run.task!r}, row {id}: {type(error).__name__}: {self._hidden(str(error))}"

    def _tell_unread(self, error: str) -> None:
        self._unread += 1
        if self._unread <= _TOLD:
            say_warning(f"{error} The row is left out.")
        elif self._unread == _TOLD + 1:
            say_warning("More rows cannot be read; they are counted, and told no more.")
