"""Where a run may keep its answers: a store of the caller's, or one that a plugin brings; and what goes wrong."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from limbeck import Pipeline
from limbeck.errors import (
    BadRequestError,
    ConfigurationError,
    LedgerError,
    PluginContractError,
    PluginLoadError,
    UnknownNameError,
)
from limbeck.testing import EchoLLM, MemoryLedger, ScriptedLLM, fake_distribution
from support.questions import PATIENCE, Ask, questions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from limbeck._registry.registry import Registry
    from limbeck.protocols import StepLedgerProtocol
    from limbeck.types import Row


def texts(ledger: MemoryLedger) -> list[str | None]:
    """The answers that are kept of `Ask`."""
    return [answer.generation.text for _, _, answer in ledger.answers("ask")]


# An object of the caller's


def test_a_run_keeps_its_answers_in_the_store_it_is_given_and_finds_them_there() -> None:
    ledger = MemoryLedger()
    assert [row["answer"] for row in Ask(llm=EchoLLM()).run(questions(3), ledger=ledger)] == ["0", "1", "2"]
    assert texts(ledger) == ["0", "1", "2"]
    stream = Ask(llm=EchoLLM()).run(questions(4), ledger=ledger)
    assert [row["answer"] for row in stream] == ["0", "1", "2", "3"]
    assert (stream.stats.reused, stream.stats.requests) == (3, 1)


def test_arun_and_reparse_take_a_store_too() -> None:
    ledger = MemoryLedger()

    async def app() -> list[Any]:
        return [row["answer"] async for row in Ask(llm=EchoLLM()).arun(questions(2), ledger=ledger)]

    assert asyncio.run(app()) == ["0", "1"]
    llm = EchoLLM()
    assert [row["answer"] for row in Ask(llm=llm).reparse(questions(2), ledger=ledger)] == ["0", "1"]


def test_failures_are_noted_in_the_store() -> None:
    ledger = MemoryLedger()
    list(Ask(llm=ScriptedLLM(script=[BadRequestError("no")])).run(questions(1), ledger=ledger))
    assert [(step, call.row, list(call.samples), str(call.error)) for step, call in ledger.failures] == [
        ("ask", "0", [0], "no")
    ]


def test_a_run_directory_and_a_store_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="`run_dir` and `ledger` exclude each other"):
        Ask(llm=EchoLLM()).run(questions(1), run_dir=tmp_path, ledger=MemoryLedger())


def test_what_is_no_store_is_refused_with_what_it_lacks() -> None:
    with pytest.raises(PluginContractError) as caught:
        Ask(llm=EchoLLM()).run(questions(1), ledger=object())  # type: ignore[arg-type]  # the mistake
    assert caught.value.faults == ["it must define `step(self, name, config)`", "it must define `close(self)`"]


# A store that goes wrong


class Broken:
    """A store one of whose methods fails with an error of its own."""

    def __init__(self, method: str, rows: int = 0) -> None:
        self._method = method
        self._ledger = MemoryLedger()
        list(Ask(llm=EchoLLM()).run(questions(rows), ledger=self._ledger))

    def step(self, name: str, config: Mapping[str, Any]) -> StepLedgerProtocol:
        self._fail("step")
        step = self._ledger.step(name, config)
        if self._method != "step":
            setattr(step, self._method, lambda *_: self._fail(self._method))
        return step

    def close(self) -> None: ...

    def _fail(self, method: str) -> None:
        if method == self._method:
            raise ConnectionError("the store is away")


@pytest.mark.parametrize("method", ["step", "find", "keep", "keep_failure", "close"])
def test_whatever_a_store_raises_ends_the_run_with_an_error_that_names_it(method: str) -> None:
    llm = ScriptedLLM(script=[BadRequestError("no")]) if method == "keep_failure" else EchoLLM()
    with pytest.raises(LedgerError) as caught:
        list(Ask(llm=llm).run(questions(1), ledger=Broken(method)))
    assert "raised ConnectionError: the store is away" in str(caught.value)
    assert isinstance(caught.value.__cause__, ConnectionError)


def test_a_store_that_finds_too_few_is_an_error() -> None:
    class Short(MemoryLedger):
        def step(self, name: str, config: Mapping[str, Any]) -> Any:
            step = super().step(name, config)
            step.find = lambda *_: []  # type: ignore[method-assign]  # the mistake
            return step

    with pytest.raises(LedgerError, match="gave 0 answers where 1 were asked for"):
        list(Ask(llm=EchoLLM()).run(questions(1), ledger=Short()))


# One that a plugin brings

STORE = """
from limbeck.testing import MemoryLedger

STORES = {}


class AcmeLedger(MemoryLedger):
    opened = closed = 0

    @classmethod
    def from_url(cls, url, *, durability, requests):
        if "away" in url:
            raise ConnectionError("nobody there")
        store = STORES.setdefault(url, cls())
        store.opened += 1
        store.options = (durability, requests)
        return store

    def close(self):
        self.closed += 1


class NoLedger:
    pass
"""


@pytest.fixture
def acme(tmp_path: Path) -> Iterator[Registry]:
    entry_points = {
        "limbeck.ledgers": {
            "acme": "acme_ledger:AcmeLedger",
            "broken": "acme_ledger_broken:Ledger",
            "no-ledger": "acme_ledger:NoLedger",
        }
    }
    modules = {"acme_ledger": STORE, "acme_ledger_broken": "raise RuntimeError('no licence')"}
    with fake_distribution(tmp_path / "site", "acme-ledger", entry_points=entry_points, modules=modules) as registry:
        yield registry


def rows_after(event: threading.Event) -> Iterator[Row]:
    """Three rows, once something has happened."""
    assert event.wait(PATIENCE)
    yield from questions(3)


def test_the_scheme_of_a_url_names_the_store_that_a_plugin_brings(acme: Registry) -> None:
    first = Ask(name="first", llm=EchoLLM())
    second = Ask(name="second", llm=EchoLLM(), output_mappings={"answer": "again"})
    for reused in (0, 3):
        both_run = threading.Event()
        before = first.run(rows_after(both_run), run_dir="acme://host/run")
        stream = second.run(before, run_dir="acme://host/run")
        both_run.set()
        assert [row["again"] for row in stream] == ["0", "1", "2"]
        stream.close()
        before.close()
        assert (before.stats.reused, stream.stats.reused) == (reused, reused)
    store = acme.get("ledger", "acme").from_url("acme://host/run", durability="normal", requests="full")
    assert (store.opened, store.closed) == (3, 2)  # once for all steps of a run; the third is this test's


def test_a_url_opens_the_store_with_the_runs_options(acme: Registry) -> None:
    url = "acme://host/options"
    list(Ask(llm=EchoLLM()).run(questions(1), run_dir=url, durability="full", ledger_requests="hash"))
    stores = acme.get("ledger", "acme").from_url.__globals__["STORES"]
    assert stores[url].options == ("full", "hash")


@pytest.mark.usefixtures("acme")
def test_an_unknown_scheme_says_which_there_are_and_shows_no_secret() -> None:
    with pytest.raises(LedgerError) as caught:
        Ask(llm=EchoLLM()).run(questions(1), run_dir="acne://user:secret@host/run")
    assert "a URL of the scheme 'acne', for which no store is installed" in str(caught.value)
    assert "Did you mean `acme`?" in str(caught.value)
    assert "A directory is given as a path without `://`" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert isinstance(caught.value.__cause__, UnknownNameError)


@pytest.mark.usefixtures("acme")
def test_a_plugin_that_fails_to_load_is_named() -> None:
    with pytest.raises(PluginLoadError, match=r"The plugin acme-ledger .* RuntimeError: no licence"):
        Ask(llm=EchoLLM()).run(questions(1), run_dir="broken://host")


@pytest.mark.usefixtures("acme")
def test_a_class_that_opens_no_store_is_refused() -> None:
    with pytest.raises(PluginContractError, match=r"it must define `from_url\(self, url\)`"):
        Ask(llm=EchoLLM()).run(questions(1), run_dir="no-ledger://host")


@pytest.mark.usefixtures("acme")
def test_a_store_that_cannot_be_opened_is_an_error_that_names_it() -> None:
    with pytest.raises(LedgerError, match=r"`from_url` of the store `acme_ledger\.AcmeLedger` raised ConnectionError"):
        Ask(llm=EchoLLM()).run(questions(1), run_dir="acme://away")


def test_stores_are_listed_with_the_other_names(acme: Registry) -> None:
    assert acme.names("ledger") == ["acme", "broken", "no-ledger"]


def test_a_pipeline_takes_no_url_for_its_outputs_are_beside_the_answers() -> None:
    with pytest.raises(ConfigurationError, match="of the scheme 'acme', and outputs are kept beside the answers"):
        Pipeline(questions(1), Ask(llm=EchoLLM())).run(run_dir="acme://user:secret@host/run")
