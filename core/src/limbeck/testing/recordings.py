"""Recorded answers for the tests of apps."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from .._engine.replay import Replay, end_replay, start_replay

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def replay(run_dir: str | Path) -> Iterator[None]:
    """Answer every task in the block from the ledger of `run_dir`: no key, no network, no model.

    Record with `task.run(rows, run_dir=…)` once, and keep the directory with the tests. Equal
    requests get the recorded answers in turn.

    Raises:
        LedgerError: there is no ledger in it; or, from the task, a request is not in it.
    """
    recording = Replay(run_dir)
    token = start_replay(recording)
    try:
        yield
    finally:
        end_replay(token)
        recording.close()
