"""Conversations, and mended answers, as they are stored: gone through again, with nothing asked and nothing done."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...errors import RowError
from ..calls.jobs import Outcome, Turn
from .conversation import Conversations
from .effects import without_result

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

    from ...types import StoredEffect
    from ..calls.jobs import Job, Kept
    from ..calls.turns import Do
    from .conversation import Talk
    from .effects import Place
    from .mending import Mending


@dataclass(frozen=True, slots=True)
class Retelling:
    """Goes through what a task makes of a row, as far as it is stored.

    Attributes:
        task: its name. llms: how many it may ask. talk: its conversations; None where a row is asked about once.
        mending: of its answers, or None. context: the variables of the caller, in copies of which authors' code runs.
    """

    task: str
    llms: int
    talk: Talk | None
    mending: Mending | None
    context: Context

    def __call__(self, job: Job, kept: Kept) -> list[Outcome]:
        """The outcome of each sample; that of one whose conversation is not stored to its end is a `RowError`.

        Raises:
            ConfigurationError: a fault of the task, the same for all rows.
            LedgerError: what is kept cannot be read.
        """
        outcomes = [Outcome()] * len(job.outcomes)
        faults: list[BaseException] = []

        def settle(_job: Job, sample: int, outcome: Outcome) -> None:
            outcomes[sample] = outcome

        talks = Conversations(
            self.task,
            self.talk,
            [_Kept(kept, who) for who in range(self.llms)],
            context=self.context,
            effects=_KeptEffects(kept),
            mending=self.mending,
            asks=False,
            settle=settle,
            stop=lambda fault: _stop(talks, faults, fault),
        )
        if self.talk is not None:
            talks.begin(job)
        else:
            self._mend(talks, job, kept)
        if faults:
            raise faults[0]
        return outcomes

    def _mend(self, talks: Conversations, job: Job, kept: Kept) -> None:
        assert job.request is not None  # it is asked about once
        for sample in range(len(job.outcomes)):
            first = kept.answer(0, Turn(job.id, sample, None, job.request, _nobody))
            first = first or Outcome(error=RowError("The ledger has no answer for this row."))
            if self.mending is None:
                talks.settle(job, sample, first)
                continue
            read = _reading(self.context, self.mending, job)
            talks.mend(job, sample, first, self.mending.mended(0, None, job.request, first, read))


def _reading(context: Context, mending: Mending, job: Job) -> Callable[[Outcome], None]:
    return lambda outcome: context.copy().run(mending.read, outcome, job.row)


def _stop(talks: Conversations, faults: list[BaseException], fault: BaseException) -> None:
    faults.append(fault)
    talks.close()


def _nobody(_outcome: Outcome) -> None:
    """Nobody waits for it."""


class _NoLimits:
    max_concurrency = 1
    in_batches = False


@dataclass(frozen=True, slots=True)
class _Kept:
    """What is kept of the answers of one LLM, where its requests would stand."""

    kept: Kept
    who: int
    backend: _NoLimits = field(default_factory=_NoLimits)

    @property
    def known(self) -> _Kept:
        return self

    def of_turn(self, turn: Turn) -> Outcome | None:
        return self.kept.answer(self.who, turn)

    def ask(self, *_asked: object, **_named: object) -> None:
        raise AssertionError("nothing is asked")

    def wake(self) -> None:
        """Nothing is sent."""


@dataclass(slots=True)
class _KeptEffects:
    kept: Kept
    under_way: int = 0

    def stored(self, key: bytes, place: Place, effect: Do) -> StoredEffect | None:
        return self.kept.effect(without_result(effect, key, place))

    def failed(self, key: bytes, place: Place) -> StoredEffect | None:  # noqa: ARG002 - it was looked for
        return None

    def begin(self, *_effect: object, **_named: object) -> None:
        raise AssertionError("nothing is done")

    def note_end(self, place: Place) -> None:
        """Note nothing: it is only read."""
