"""Asking for the end of the provider batches that a run has left open."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import PrivateAttr

from limbeck import LLM
from limbeck._engine.batch.cancelling import BatchEnd, cancel_batches, configured_llm
from limbeck._engine.ledger.file import FILE, open_file
from limbeck._engine.online.backend import backend_of
from limbeck.errors import BadRequestError, ConfigurationError, LedgerError, MissingCredentialError

if TYPE_CHECKING:
    from pathlib import Path

    from limbeck.types import GenerationRequest, GenerationResponse


class CancellingLLM(LLM):
    """Notes which batches it is asked to end.

    Attributes:
        lacking: what `load` raises. refusing: what `cancel_batch` raises.
    """

    model: str = "m"

    _ended: list[str] = PrivateAttr(default_factory=list)
    _lacking: Exception | None = PrivateAttr(default=None)
    _refusing: Exception | None = PrivateAttr(default=None)

    @classmethod
    def made(cls, *, lacking: Exception | None = None, refusing: Exception | None = None) -> CancellingLLM:
        llm = cls()
        llm._lacking, llm._refusing = lacking, refusing
        return llm

    @property
    def model_name(self) -> str:
        return self.model

    @property
    def ended(self) -> list[str]:
        return self._ended

    def load(self) -> None:
        if self._lacking is not None:
            raise self._lacking

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        raise NotImplementedError

    async def cancel_batch(self, id: str) -> None:
        if self._refusing is not None:
            raise self._refusing
        self._ended.append(id)


def leave_open(run_dir: Path, llms: dict[str, Any]) -> None:
    """Leave a batch of each step open, in this order, as a killed run does."""
    with closing(open_file(run_dir / FILE, "normal")) as ledger:
        for at, (step, llm) in enumerate(llms.items()):
            ledger.execute(
                "INSERT INTO batches VALUES (?, ?, ?, ?, 'submitted', 7, NULL, ?, NULL)",
                (f"token-{at}", step, backend_of(llm).endpoint, f"batch-{at}", at),
            )


def test_each_open_batch_is_told_before_the_next_one_is_asked_for(tmp_path: Path) -> None:
    llms = {"first": CancellingLLM.made(), "second": CancellingLLM.made()}
    leave_open(tmp_path, llms)
    ends = cancel_batches(tmp_path, llms.get)
    assert next(ends) == BatchEnd("first", "batch-0", 7)
    assert (llms["first"].ended, llms["second"].ended) == (["batch-0"], [])
    assert list(ends) == [BatchEnd("second", "batch-1", 7)]
    assert llms["second"].ended == ["batch-1"]


@pytest.mark.parametrize(
    ("first", "fault"),
    [
        ({"lacking": MissingCredentialError(needed_by="It", variable="A_KEY")}, "A_KEY"),
        ({"lacking": RuntimeError("no SDK")}, "RuntimeError: no SDK"),
        ({"refusing": BadRequestError("It has ended.")}, "It has ended"),
        ({"refusing": RuntimeError("broken")}, "RuntimeError: broken"),
    ],
)
def test_what_is_wrong_with_one_step_is_told_of_its_batch_and_keeps_no_other(
    tmp_path: Path, first: dict[str, Exception], fault: str
) -> None:
    llms = {"first": CancellingLLM.made(**first), "second": CancellingLLM.made()}
    leave_open(tmp_path, llms)
    told, other = cancel_batches(tmp_path, llms.get)
    assert fault in str(told.fault)
    assert (other.fault, llms["second"].ended) == (None, ["batch-1"])


def test_only_the_llms_of_steps_with_an_open_batch_are_made_and_one_that_cannot_be_is_told(tmp_path: Path) -> None:
    leave_open(tmp_path, {"first": CancellingLLM.made()})

    def unmade(step: str) -> Any:
        assert step == "first"
        raise ConfigurationError("There is no such provider.")

    assert list(cancel_batches(tmp_path, unmade)) == [BatchEnd("first", "batch-0", 7, "There is no such provider")]


def test_a_step_that_is_gone_is_told(tmp_path: Path) -> None:
    leave_open(tmp_path, {"first": CancellingLLM.made()})
    (end,) = cancel_batches(tmp_path, lambda _: None)
    assert end.fault == "no task of the run has that name any more"


def test_the_llm_of_a_step_is_as_it_last_ran(tmp_path: Path) -> None:
    with closing(open_file(tmp_path / FILE, "normal")) as ledger:
        for step, config in (("ask", {"llm": {"provider": "offline"}}), ("plain", {})):
            ledger.execute("INSERT INTO steps VALUES (?, ?)", (step, json.dumps(config)))
    assert [configured_llm(tmp_path, step) for step in ("ask", "plain", "gone")] == [
        {"provider": "offline"},
        None,
        None,
    ]


def test_where_there_is_no_ledger_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="There is no ledger in"):
        list(cancel_batches(tmp_path, lambda _: None))


def test_a_ledger_on_a_read_only_disk_is_read(tmp_path: Path) -> None:
    llms = {"first": CancellingLLM.made()}
    leave_open(tmp_path, llms)
    (tmp_path / f"{FILE}-shm").mkdir()  # so that root too can make no file there
    assert [end.fault for end in cancel_batches(tmp_path, llms.get)] == [None]
