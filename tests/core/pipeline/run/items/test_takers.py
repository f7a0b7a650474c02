"""The thread in which a sink writes: whatever is raised there, the run is told and comes to its end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from limbeck._pipeline.run.items.takers import Writer
from support.questions import PATIENCE


class Scene:
    """A writer, and what it tells.

    Attributes:
        written: the rows. failures: what was raised. ended: set by `done`.
    """

    def __init__(
        self, write: Callable[[list[Any]], object] = lambda rows: None, room: Callable[[], object] = lambda: None
    ) -> None:
        self.written: list[Any] = []
        self.failures: list[BaseException] = []
        self.ended = threading.Event()
        self._author = write
        self.writer = Writer("sink", self._write, room=room, failed=self.failures.append, done=self.ended.set)

    def _write(self, rows: list[Any]) -> None:
        self._author(rows)
        self.written += rows


def raising(error: BaseException) -> Callable[..., object]:
    def raise_it(*_: Any) -> object:
        raise error

    return raise_it


def test_all_rows_are_written_before_the_end() -> None:
    scene = Scene()
    for number in range(5_000):
        scene.writer.give([{"n": number}])
    scene.writer.end_of_rows()
    assert scene.ended.wait(PATIENCE)
    assert scene.written == [{"n": number} for number in range(5_000)]
    assert scene.failures == []


@pytest.mark.parametrize("error", [OSError("disk full"), SystemExit(3), KeyboardInterrupt()])
def test_what_a_sink_raises_is_told_once_and_the_rest_is_taken_and_let_go(error: BaseException) -> None:
    scene = Scene(write=raising(error))
    for number in range(20_000):
        scene.writer.give([{"n": number}])
    scene.writer.end_of_rows()
    assert scene.ended.wait(PATIENCE)
    assert (scene.written, scene.failures) == ([], [error])


@pytest.mark.parametrize("error", [RuntimeError("no loop"), SystemExit(3), MemoryError()])
def test_what_is_raised_while_rows_are_taken_is_told_and_the_run_ends_too(error: BaseException) -> None:
    full = threading.Event()
    scene = Scene(write=lambda rows: full.wait(PATIENCE), room=raising_once(error))
    while scene.writer.give([{"n": 0}]):
        pass
    full.set()
    scene.writer.end_of_rows()
    assert scene.ended.wait(PATIENCE)
    assert scene.failures == [error]


def raising_once(error: BaseException) -> Callable[[], object]:
    left = [error]

    def raise_it() -> None:
        if left:
            raise left.pop()

    return raise_it


@pytest.mark.parametrize("row", [None, 3])
def test_what_is_no_list_of_rows_is_told_and_not_waited_for(row: Any) -> None:
    scene = Scene()
    scene.writer.give(row)
    scene.writer.end_of_rows()
    assert scene.ended.wait(PATIENCE)
    assert [type(failure) for failure in scene.failures] == [TypeError]
