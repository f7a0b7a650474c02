"""How rows leave a stream: in their order, and no faster than they are taken."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from limbeck._engine.calls.jobs import Job
from limbeck._engine.calls.policy import Policy
from limbeck._engine.stream.release import Release
from limbeck.types import RunStats


class Scene:
    """A release, and what came out of it."""

    def __init__(self, **policy: Any) -> None:
        self.out: list[tuple[str, list[dict[str, Any]]]] = []
        self.observed: list[Any] = []
        self.stats = RunStats()
        self.release = Release(
            Policy(**policy),
            emit=lambda id, rows: self.out.append((id, rows)),
            info=cast("Any", SimpleNamespace(stats=self.stats)),
            stats=self.stats,
            observers=cast("Any", SimpleNamespace(rows_written=lambda run, rows: self.observed.append(rows))),
        )

    def put(self, *indexes: int) -> list[str]:
        """The ids that have come out, once these are done."""
        for index in indexes:
            self.release.put(Job(index, f"r{index}", {}, 1), [{"n": index}])
        return [id for id, _ in self.out]


def test_rows_leave_in_input_order_whichever_is_done_first() -> None:
    scene = Scene()
    assert scene.put(2, 1) == []
    assert len(scene.release) == 2
    assert scene.put(0) == ["r0", "r1", "r2"]
    assert scene.out[2] == ("r2", [{"n": 2}])
    assert len(scene.release) == 0


def test_without_order_each_leaves_as_it_is_done() -> None:
    assert Scene(ordered=False).put(2, 0, 1) == ["r2", "r0", "r1"]


def test_no_more_leave_than_may_lie_there_untaken() -> None:
    scene = Scene(max_untaken=2)
    assert scene.put(0, 1, 2, 3) == ["r0", "r1"]
    assert scene.release.outruns_taker
    scene.release.note_taken(1)
    assert [id for id, _ in scene.out] == ["r0", "r1", "r2"]


def test_what_is_kept_can_be_given_past_the_gaps() -> None:
    scene = Scene()
    scene.put(5, 3)
    scene.release.flush()
    assert [id for id, _ in scene.out] == ["r3", "r5"]
    scene.release.close()


@pytest.mark.parametrize("ordered", [True, False])
def test_rows_are_counted_and_observers_told_but_not_of_nothing(ordered: bool) -> None:
    scene = Scene(ordered=ordered)
    scene.release.put(Job(0, "0", {}, 1), [])
    scene.release.put(Job(1, "1", {}, 1), [{"a": 1}, {"a": 2}])
    assert scene.stats.rows_out == 2
    assert scene.observed == [[{"a": 1}, {"a": 2}]]
