"""Every store keeps the same promises: the built-in one, and the one in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from limbeck import Task, ask, do
from limbeck._engine.ledger.ledger import Ledger
from limbeck._engine.ledger.stores import ForeignLedger
from limbeck.errors import ConfigurationError
from limbeck.testing import LedgerContract, MemoryLedger, ScriptedLLM

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from limbeck.protocols import LedgerProtocol
    from limbeck.types import Row


class TestTheBuiltInLedgerKeepsTheContract(LedgerContract):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "run"

    def open_ledger(self) -> LedgerProtocol:
        return Ledger(self.folder)


class TestTheLedgerInMemoryKeepsTheContract(LedgerContract):
    @pytest.fixture(autouse=True)
    def _place(self) -> None:
        self.ledger = MemoryLedger()

    def open_ledger(self) -> LedgerProtocol:
        return self.ledger


class TestAStoreBehindTheGuardKeepsTheContract(LedgerContract):
    @pytest.fixture(autouse=True)
    def _place(self) -> None:
        self.ledger = MemoryLedger()

    def open_ledger(self) -> LedgerProtocol:
        return ForeignLedger(self.ledger)


class OneAnswerStep:
    """A step's part of a store that knows nothing of conversations."""

    def __init__(self, step: Any) -> None:
        self.find, self.keep, self.keep_failure, self.close = step.find, step.keep, step.keep_failure, step.close


class OneAnswerLedger:
    """A store that knows nothing of conversations."""

    def __init__(self) -> None:
        self._inner = MemoryLedger()

    def step(self, name: str, config: Mapping[str, Any]) -> Any:
        return OneAnswerStep(self._inner.step(name, config))

    def close(self) -> None:
        self._inner.close()


class TestAStoreWithoutTurnsKeepsTheContract(LedgerContract):
    @pytest.fixture(autouse=True)
    def _place(self) -> None:
        self.ledger = OneAnswerLedger()

    def open_ledger(self) -> LedgerProtocol:
        return self.ledger


class Twice(Task):
    inputs = property(lambda _: ["q"])
    outputs = property(lambda _: ["a"])

    def converse(self, input: Row) -> Any:
        first = yield ask(input["q"])
        second = yield ask(f"And {first.text}?")
        looked = yield do(str.upper, second.text)
        return {"a": looked}


def test_a_conversation_in_a_store_without_turns_is_an_error_before_anything_is_asked() -> None:
    llm = ScriptedLLM(script=["no"])
    with pytest.raises(ConfigurationError, match=r"find_turn.*TurnLedgerProtocol"):
        Twice(name="twice", llm=llm).run([{"q": "hi"}], ledger=OneAnswerLedger())
    assert llm.requests == []


def test_a_conversation_in_memory_is_taken_up_where_it_stopped() -> None:
    ledger = MemoryLedger()
    rows = list(Twice(llm=ScriptedLLM(script=["one", "two"])).run([{"q": "hi"}], ledger=ledger))
    assert [row["a"] for row in rows] == ["TWO"]
    assert [effect.result for _, effect in ledger.effects] == ['"TWO"']
    llm = ScriptedLLM(script=["never asked"])
    assert list(Twice(llm=llm).run([{"q": "hi"}], ledger=ledger)) == rows
    assert llm.requests == []
