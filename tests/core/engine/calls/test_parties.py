"""The two sides of a request: the engine's classes have what the protocols between them ask for."""

from __future__ import annotations

from inspect import isfunction
from typing import Any

import pytest

from limbeck._engine.batch.window import BatchWindow
from limbeck._engine.calls.parties import Answerer, Requester, RequestWindow, UnitSender
from limbeck._engine.online.backend import Backend
from limbeck._engine.online.window import Window
from limbeck._engine.stream.requests import Requests


@pytest.mark.parametrize(
    ("protocol", "cls"),
    [
        (Requester, Requests),
        (Answerer, Backend),
        (RequestWindow, Window),
        (RequestWindow, BatchWindow),
        (UnitSender, Window),
    ],
)
def test_a_class_has_every_method_of_its_protocol(protocol: Any, cls: type) -> None:
    methods = {name for name, each in vars(protocol).items() if isfunction(each) and not name.startswith("_")}
    assert methods
    assert [name for name in methods if not callable(getattr(cls, name, None))] == []
