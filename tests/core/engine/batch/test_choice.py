"""The window of a backend: its endpoint's own, or one of provider batches that is made once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from limbeck._engine.batch.choice import window_of
from limbeck._engine.batch.window import BatchWindow

from ..virtual_time import run_virtually


def backend(*, in_batches: bool, home: Any = None) -> Any:
    return cast("Any", SimpleNamespace(in_batches=in_batches, online=object(), batches=None, home=home))


def test_a_backend_online_has_the_window_of_its_endpoint() -> None:
    asked = backend(in_batches=False)
    assert window_of(asked) is asked.online
    assert asked.batches is None


def test_a_backend_in_batches_has_one_window_of_its_own() -> None:
    async def scene(home: Any) -> None:
        asked = backend(in_batches=True, home=home)
        window = window_of(asked)
        assert isinstance(window, BatchWindow)
        assert window_of(asked) is window

    run_virtually(scene)
