"""Makers of answers: noted once each, and told again as they were."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from limbeck._engine.calls.keys import Keyring
from limbeck._engine.ledger.file import MIGRATIONS
from limbeck._engine.ledger.makers import Maker, Makers, stored_makers
from limbeck.types import ChatType, GenerationRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

IDENTITY = {"provider": "p", "model_name": "m"}
CHAT: ChatType = [{"role": "user", "content": "hi"}]


@pytest.fixture
def file() -> Iterator[sqlite3.Connection]:
    """A ledger in memory."""
    with closing(sqlite3.connect(":memory:")) as file:
        for script in MIGRATIONS:
            file.executescript(script)
        yield file


def makers_in(file: sqlite3.Connection, written: list[Any] | None = None, *, step: str = "ask") -> Makers:
    def submit(statement: str, records: Any) -> None:
        file.executemany(statement, records)
        if written is not None:
            written.extend(records)

    return Makers(file, submit, step=step, identity=IDENTITY, config="{}")


def request(**parameters: Any) -> GenerationRequest:
    return GenerationRequest(messages=CHAT, parameters=parameters)


def test_a_maker_is_written_once_and_told_as_it_was(file: sqlite3.Connection) -> None:
    written: list[Any] = []
    makers = makers_in(file, written)
    ids = {makers.id_of(request(temperature=0.5)) for _ in range(3)}
    assert len(written) == len(ids) == 1
    assert stored_makers(file, "ask") == {ids.pop(): Maker(IDENTITY, {"temperature": 0.5}, None, {})}


def test_a_later_run_knows_it_by_the_same_id_and_writes_nothing(file: sqlite3.Connection) -> None:
    first = makers_in(file).id_of(request())
    written: list[Any] = []
    assert makers_in(file, written).id_of(request()) == first
    assert written == []


def test_other_parameters_another_schema_or_another_step_are_other_makers(file: sqlite3.Connection) -> None:
    makers = makers_in(file)
    schema = GenerationRequest(messages=CHAT, output_schema={"type": "object"})
    ids = [makers.id_of(request()), makers.id_of(request(seed=1)), makers.id_of(schema)]
    ids.append(makers_in(file, step="judge").id_of(request()))
    assert len(set(ids)) == 4
    assert len(stored_makers(file, "ask")) == 3


def test_a_maker_that_was_changed_on_disk_is_told_of_and_written_anew(file: sqlite3.Connection) -> None:
    id = makers_in(file).id_of(request())
    file.execute("UPDATE makers SET parameters = '{\"seed\": 2}'")
    with pytest.raises(sqlite3.DatabaseError, match="damaged"):
        stored_makers(file, "ask")
    assert makers_in(file).id_of(request()) == id
    assert stored_makers(file, "ask")[id].parameters == {}


def test_the_key_of_a_maker_is_that_of_its_requests() -> None:
    maker = Maker(IDENTITY, {"seed": 1}, None)
    assert maker.key(CHAT) == Keyring(IDENTITY).key(request(seed=1))
    assert maker.model_name == "m"
