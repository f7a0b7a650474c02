"""Ctrl-C and SIGTERM: the first ends a run in order, the second the process."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable


class Interrupt:
    """A block in which the first Ctrl-C or SIGTERM calls `stop`, and a second one ends the process at once.

    Attributes:
        happened: which of them came first, or None.
    """

    def __init__(self, stop: Callable[[], object]) -> None:
        self.happened: signal.Signals | None = None
        self._stop_run = stop
        self._old: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # no other may set a handler
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is not signal.SIG_IGN:  # as in a shell's background job
                    self._old[number] = signal.signal(number, self._stop)
        return self

    def _stop(self, number: int, _frame: object) -> None:
        self.happened = signal.Signals(number)
        for each in self._old:
            signal.signal(each, signal.SIG_DFL)
        self._stop_run()

    def __exit__(self, *_exc: object) -> None:
        if self.happened is None:
            for number, handler in self._old.items():
                signal.signal(number, handler)
