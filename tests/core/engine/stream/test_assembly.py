"""The assembly of a stream: its step is open while it runs, and let go of where it cannot begin.

Covers `_engine.stream.parts` and `_engine.gather`.
"""

from __future__ import annotations

from contextlib import closing
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from limbeck._engine.calls.policy import Policy
from limbeck._engine.ledger.ledger import Ledger
from limbeck._engine.stream.assembly import Storage, assemble, spending_of
from limbeck._engine.stream.parts import Asking, Receiver, Terms
from limbeck._registry.registry import Registry
from limbeck.testing import EchoLLM
from support.questions import Ask, questions, response

from ..scene import Line, Model, Supply, backend_on
from ..virtual_time import run_virtually

if TYPE_CHECKING:
    from pathlib import Path

    from ..virtual_time import VirtualHome


def test_a_list_of_rows_comes_back_in_its_order() -> None:
    (rows,) = Ask(llm=EchoLLM()).process(questions(50))
    assert [row["answer"] for row in rows] == [str(number) for number in range(50)]


def test_a_stream_without_terms_asks_about_every_row() -> None:
    terms = Terms()
    assert (terms.ledger, terms.pricing, terms.account, terms.cache, terms.rerun) == (None,) * 5

    async def scene(home: VirtualHome) -> list[Any]:
        async def reply(prompt: str, _before: int) -> Any:
            return response(prompt)

        line = Line(backend_on(home, Model(reply)), Supply(["a", "b"]))
        return (await line.ended()).texts

    assert run_virtually(scene) == ["a", "b"]


def test_a_backend_that_is_not_billed_has_nothing_to_spend() -> None:
    asking = cast("Any", SimpleNamespace(backends=[SimpleNamespace(billed=False)]))
    spending = spending_of(asking, None, None)
    assert (spending.pricing, spending.budget) == (None, None)


def test_a_step_is_let_go_of_where_its_stream_cannot_begin(tmp_path: Path) -> None:
    with closing(Ledger(tmp_path)) as ledger:
        storage = Storage(store=ledger)

        async def scene(home: VirtualHome) -> None:
            faulty = cast("Any", SimpleNamespace(name="ask"))  # it has nothing else of a work
            asking = Asking(faulty, backend_on(home, Model(cast("Any", None))), Registry(path=[]))
            for _ in range(2):  # a step that was still open would be refused in other words
                with pytest.raises(AttributeError):
                    assemble(asking, Supply(), Receiver(_nothing, _nothing), Policy(), storage=storage)

        run_virtually(scene)


def _nothing(*_: object) -> None: ...
