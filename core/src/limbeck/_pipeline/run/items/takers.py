"""The takers of rows that leave: a thread that writes them, or whoever iterates."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Protocol

from ...._engine.threads.handoff import EMPTY, END, Handoff

if TYPE_CHECKING:
    from collections.abc import Callable

    from ....types import Row

_UNTAKEN = 4096
_CHUNK_ROWS = 1024


class Taker(Protocol):
    """A taker of rows, called on the portal's loop."""

    def give(self, rows: list[Row]) -> bool:
        """Take rows; False when there is no room for more at the moment."""
        ...

    def end_of_rows(self) -> None:
        """Note that no more rows will come."""
        ...


class Writer:
    """A taker with a thread of its own, which writes the rows in chunks.

    Args:
        name: the thread's. write: called with rows, in that thread.
        room: called in that thread when there is room again. failed: with what `write` raised.
        done: called in that thread, last.
    """

    def __init__(
        self,
        name: str,
        write: Callable[[list[Row]], object],
        *,
        room: Callable[[], object],
        failed: Callable[[BaseException], object],
        done: Callable[[], object],
    ) -> None:
        self._write = write
        self._failed = failed
        self._done = done
        self._arrived = threading.Event()
        self._rows: Handoff[list[Row]] = Handoff(_UNTAKEN, wake_taker=self._arrived.set, wake_giver=room)
        self._thread = threading.Thread(target=self._serve, name=f"limbeck-{name}", daemon=True)
        self._thread.start()

    def give(self, rows: list[Row]) -> bool:
        """Take rows; see `Taker`."""
        return self._rows.give(rows)

    def end_of_rows(self) -> None:
        """Note that no more rows will come; see `Taker`."""
        self._rows.end()

    def _serve(self) -> None:
        try:
            while (chunk := self._chunk()) is not END:
                self._write(chunk)
        except BaseException as exc:  # noqa: BLE001 - the isolation boundary of sinks: an author's `sys.exit` too
            self._failed(exc)
            self._let_go()
        finally:
            self._done()

    def _let_go(self) -> None:
        """Take what comes and write none of it, so that nobody waits for room."""
        while self._chunk() is not END:
            pass

    def _chunk(self) -> Any:
        chunk: list[Row] = []
        while len(chunk) < _CHUNK_ROWS:
            rows = self._rows.take()
            if rows is END:
                return chunk or END
            if rows is not EMPTY:
                chunk += rows
            elif chunk:
                return chunk
            else:
                self._arrived.wait()
                self._arrived.clear()
        return chunk


class Consumer:
    """Takes the rows of a leaf for whoever iterates, in a thread or on a loop."""

    def __init__(self) -> None:
        self.arrived: Callable[[], object] = lambda: None  # set by whoever waits
        self._room = threading.Event()
        self._rows: Handoff[list[Row]] = Handoff(_UNTAKEN, wake_taker=self._tell_arrived, wake_giver=self._make_room)
        self._tell_room: Callable[[], object] = lambda: None
        self._done: Callable[[], object] = lambda: None
        self._spare: list[Row] = []
        self._untaken = False  # for good

    def begin(self, *, room: Callable[[], object], done: Callable[[], object]) -> None:
        """Set the calls that tell that there is room again, and that the last row has come."""
        self._tell_room, self._done = room, done

    def give(self, rows: list[Row]) -> bool:
        """Take rows; see `Taker`."""
        return self._rows.give(rows)

    def give_waiting(self, rows: list[Row]) -> None:
        """Take rows from a thread, which waits until there is room."""
        if not self._rows.give(rows) and not self._untaken:
            self._room.wait()
            self._room.clear()

    def _tell_arrived(self) -> None:
        self.arrived()

    def _make_room(self) -> None:
        self._room.set()
        self._tell_room()

    def end_of_rows(self) -> None:
        """Note that no more rows will come; see `Taker`."""
        self._done()

    def let_go(self) -> None:
        """Let no giver wait: nobody takes any more."""
        self._untaken = True
        self._room.set()

    def end(self, error: BaseException | None) -> None:
        """End the rows, now that everything is closed; `error` is raised after the last row."""
        self._room.set()
        self._rows.end(error)

    def take(self) -> Any:
        """The next row, `EMPTY`, or `END`; raises what stopped the run."""
        while not self._spare:
            rows = self._rows.take()
            if rows is EMPTY or rows is END:
                return rows
            self._spare = rows[::-1]
        return self._spare.pop()
