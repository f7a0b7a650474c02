"""Re-runs: the rows that a condition means are asked again, with changed parameters or another LLM.

A row's current answer is the latest that was bought for it with these messages, by whatever LLM and
parameters. What the condition means is asked again; the rest comes out as it is. So the same command
again asks for nothing that it has bought, and a further one begins where this one ended.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

from ...errors import ConfigurationError, GenerationError, OutputError, RowError, SchemaError
from ..calls.changes import config_text
from ..calls.jobs import Job, Lineage, Outcome
from ..ledger.step_ledger import StepLedger
from ..ledger.turns import place_of, rebuilt_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ...types import Generation, Request, Row, StoredEffect
    from ..calls.jobs import Kept, Turn
    from ..calls.keys import Keyring
    from ..ledger.makers import Maker
    from ..ledger.stored_calls import StoredCall
    from .condition import Condition


T = TypeVar("T")


class Reader(Protocol):
    """A task as it was, which makes the request of a row and reads the columns of an answer."""

    def prepare(self, row: Row) -> Request:
        """The request; raises `RowError`."""
        ...

    def read(self, outcome: Outcome, row: Row) -> None:
        """Read the columns of an answer, or put the error in its place."""
        ...

    def merged(self, row: Row, columns: Sequence[Any]) -> Row:
        """The row with the output columns that were read."""
        ...


Retold: TypeAlias = "Callable[[Job, Kept], list[Outcome]]"
"""What a task makes of a row, as far as it is stored: the outcome of each sample."""


@dataclass(frozen=True, slots=True)
class Follower:
    """A task behind the one that asks again, whose columns the condition may name: a judge, say.

    Attributes:
        step: its name. reader: as it was. columns: those that it adds.
        retold: where it may ask more than once about a row. talks: whether it has no one request of a row.
    """

    step: str
    reader: Reader
    columns: Sequence[str]
    retold: Retold | None = None
    talks: bool = False


@dataclass(frozen=True, slots=True)
class RerunPlan:
    """The rows to ask again, and the way to ask.

    Attributes:
        condition: which answers are meant. reader: reads the answers that are there.
        keyring, parameters: of the LLM as it was, which know the failures of that time.
        changed: whether the LLM or its parameters are others than the answers' own: then an answer that
            was bought with them is taken; else each answer that is meant is asked for anew.
        config: of the step as it was. asked_with: of the step as it asks now.
        followers: the tasks behind it, in order; their latest answers to what it answered are read too.
        retold: where it may ask more than once about a row. from_turn: what is before it in a conversation stays.
    """

    condition: Condition
    reader: Reader
    keyring: Keyring
    parameters: Mapping[str, Any]
    changed: bool
    config: dict[str, Any]
    asked_with: dict[str, Any]
    followers: Sequence[Follower] = ()
    retold: Retold | None = None
    from_turn: int = 0


class Rerun:
    """Decide for each row of a step what is asked again.

    Raises:
        ConfigurationError: the store is not the built-in one, or has no call of the step.
    """

    def __init__(self, plan: RerunPlan, ledger: Any, *, step: str) -> None:
        if not isinstance(ledger, StepLedger) or not ledger.resuming:
            raise ConfigurationError(f"There is no run of {step!r} here to ask rows of again; name its run directory.")
        self._plan = plan
        self._ledger = ledger
        self._asked_with = json.loads(config_text(plan.asked_with))
        self._going_on: set[tuple[str, int]] = set()  # conversations that an earlier re-run left unfinished
        for follower in plan.followers:
            plan.condition.expect(follower.columns)

    def outcomes(self, job: Job, request: Request | None) -> list[Outcome | None]:
        """The outcome that each sample of a row keeps, or None where it is to be asked for.

        Args:
            request: of the one call about the row; None where it is asked about in conversations.

        Raises:
            ConfigurationError: the condition names a column that no row has.
            LedgerError: the ledger cannot be read.
        """
        history = self._history(job.id)
        if self._plan.retold is None:
            assert request is not None  # it is asked about once
            before = self._plan.keyring.key(replace(request, parameters=self._plan.parameters))
            current = [history.current(sample, None, request, before=before) for sample in range(len(job.outcomes))]
            stored = [outcome or Outcome(error=RowError(_NEVER)) for outcome in current]
        else:
            stored = self._retold(job, history, self._plan.retold)
        job.used = set()
        kept = {sample: outcome for sample, outcome in enumerate(stored) if not self._meant(job, sample, outcome)}
        job.settled = kept.keys()
        return [kept.get(sample) or self._bought(job, sample, history) for sample in range(len(stored))]

    def _bought(self, job: Job, sample: int, history: _History) -> Outcome | None:
        """What was bought already in place of an outcome that is meant; of a conversation, that is told by turns."""
        if job.request is None or not self._plan.changed:
            return None
        return history.bought(sample, job.key)

    def _retold(self, job: Job, history: _History, retold: Retold) -> list[Outcome]:
        kept = _AsItIs(history)
        outcomes = retold(job, kept)
        for sample, missing in kept.missing.items():
            if job.request is None and sample in kept.found and self._began(history, sample, missing):
                self._going_on.add((job.id, sample))
            elif isinstance(outcomes[sample].error, RowError):
                outcomes[sample].error = RowError(_NEVER if sample not in kept.found else _STOPPED.format(missing))
        for outcome in outcomes:
            lineages = [turn.lineage for turn in outcome.turns or () if turn.lineage is not None]
            outcome.lineage = outcome.lineage or (lineages[-1] if lineages else None)
        return outcomes

    def _began(self, history: _History, sample: int, missing: str | None) -> bool:
        """Tell whether a conversation that is not stored to its end is one that a re-run like this one began."""
        if place_of(missing) < self._plan.from_turn or not self._plan.changed:
            return False
        return bool(history.latest_config(sample) == self._asked_with)

    def _meant(self, job: Job, sample: int, outcome: Outcome) -> bool:
        if (job.id, sample) in self._going_on:
            return True
        self._plan.reader.read(outcome, job.row)
        generation, error, row = _last_generation(outcome), outcome.error, dict(job.row)
        if outcome.columns is not None:
            row = self._followed(f"{job.id}.{sample}", self._plan.reader.merged(row, outcome.columns), job)
        usage = outcome.usage
        facts = {
            "finish_reason": None if generation is None else generation.finish_reason,
            "failed": error is not None,
            "parse_failed": _cannot_be_read(outcome),
            "error": None if error is None else type(error).__name__,
            "model": None if outcome.lineage is None else outcome.lineage.model_name,
            "input_tokens": None if usage is None else usage.input_tokens,
            "output_tokens": None if usage is None else usage.output_tokens,
            "latency": outcome.latency,
            "attempts": outcome.attempts,
        }
        return self._plan.condition.holds(facts, row)

    def _followed(self, sample_id: str, row: Row, job: Job) -> Row:
        """The row with what the tasks behind made of it, as far as they have answered it as it is."""
        for follower in self._plan.followers:
            for id in (job.id, sample_id):  # one row that comes of a row has its id
                row = self._read(follower, id, row)
        return row

    def _read(self, follower: Follower, id: str, row: Row) -> Row:
        history = _History(self._ledger, id, follower.step)
        job = Job(0, id, row, 1)
        try:
            if not follower.talks:
                job.request = follower.reader.prepare(row)
        except GenerationError:  # it cannot be asked about: its columns are null
            return row
        if follower.retold is not None:
            (outcome,) = follower.retold(job, _AsItIs(history))
        else:
            assert job.request is not None  # it was made above
            outcome = history.answer(job.request) or Outcome()
        follower.reader.read(outcome, row)
        return row if outcome.columns is None else follower.reader.merged(row, outcome.columns)

    # While conversations that are meant go on

    def turn(self, turn: Turn) -> Outcome | None:
        """What a turn of a conversation that is meant is answered with; None where it is asked for.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        history = self._history(turn.id)
        if self._stays(turn.id, turn.sample, turn.turn):
            return history.current(turn.sample, turn.turn, turn.request, past=True, used=turn.used)
        if not self._plan.changed:
            return None
        return history.bought_turn(turn, self._asked_with)

    def effect(self, row: str, sample: int, turn: str, key: bytes) -> StoredEffect | None:
        """The effect in the place of one in a conversation that is meant; None where it is done.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        if not self._plan.changed and not self._stays(row, sample, turn):
            return None
        return self._history(row).effect(sample, turn, key, past=True)

    def _stays(self, row: str, sample: int, turn: str | None) -> bool:
        return (row, sample) in self._going_on or place_of(turn) < self._plan.from_turn

    def _history(self, row: str) -> _History:
        return _History(self._ledger, row)


_NEVER = "This row was never asked about; the condition `failed` means it too."
_STOPPED = "The conversation about this row was stopped before turn {}; the condition `failed` means it too."


def _take(record: StoredCall, used: set[int] | None) -> bool:
    """Tell whether a call was not used for another turn, and use it; each is, once."""
    if used is None:
        return True
    if record.id in used:
        return False
    used.add(record.id)
    return True


def _last_generation(outcome: Outcome) -> Generation | None:
    """Its generation, or the last of its conversation, which failed."""
    given = [turn.generation for turn in outcome.turns or () if turn.generation is not None]
    return outcome.generation or (given[-1] if given else None)


def _cannot_be_read(outcome: Outcome) -> bool:
    """Tell whether there is an answer that could not be read."""
    if outcome.turns is not None:
        return isinstance(outcome.error, OutputError | SchemaError)
    return outcome.error is not None and outcome.generation is not None


class _AsItIs:
    """A row's conversations as they are: the current outcome of each turn, failures among them.

    Attributes:
        found: the samples of which something is stored. missing: the first turn of each that is not.
    """

    def __init__(self, history: _History) -> None:
        self._history = history
        self._used: set[int] = set()
        self.found: set[int] = set()
        self.missing: dict[int, str | None] = {}

    def answer(self, who: int, turn: Turn) -> Outcome | None:  # noqa: ARG002 - a turn's own place is enough
        """The latest answer to a turn, else the latest failure."""
        found = self._history.current(turn.sample, turn.turn, turn.request, used=self._used)
        return self._noted(turn.sample, turn.turn, found)

    def effect(self, wanted: StoredEffect) -> StoredEffect | None:
        """The latest effect of a turn."""
        found = self._history.effect(wanted.sample, wanted.turn, wanted.key)
        return self._noted(wanted.sample, wanted.turn, found)

    def _noted(self, sample: int, turn: str | None, found: T | None) -> T | None:
        if found is None:
            self.missing.setdefault(sample, turn)
        else:
            self.found.add(sample)
        return found


class _History:
    """The calls and the effects of a row in the ledger, the latest first."""

    def __init__(self, ledger: StepLedger, row: str, step: str | None = None) -> None:
        self._ledger = ledger
        self._row = row
        self._step = step
        self._records = ledger.history(row, step=step)
        self._makers = ledger.makers(step=step)

    def current(
        self,
        sample: int,
        turn: str | None,
        request: Request,
        *,
        before: bytes | None = None,
        past: bool = False,
        used: set[int] | None = None,
    ) -> Outcome | None:
        """The latest answer to these messages at a turn; else the latest failure; None where there is neither.

        Args:
            before: the key of failures that do not say what made them.
            past: only a failure that the conversation went past. used: the calls that other turns were given.
        """
        alike = [record for record in self._alike(request, before) if record.sample == sample]
        return self._chosen(alike, turn, past=past, used=used)

    def _chosen(
        self, alike: list[StoredCall], turn: str | None, *, past: bool, used: set[int] | None
    ) -> Outcome | None:
        """The answer at a turn; else its failure; else an answer at another turn that asked the same."""
        own = [record for record in alike if record.turn == turn]
        others = [record for record in alike if record.turn != turn and turn is not None]
        failed = next((record for record in own if record.error is not None), None)
        for record in own:
            if record.error is None and _take(record, used):
                return self._answered(record)
        if failed is not None and (not past or self._went_past(failed)):
            return self._failed(failed)
        for record in others:
            if record.error is None and failed is None and _take(record, used):
                return self._answered(record)
        return None

    def answer(self, request: Request) -> Outcome | None:
        """The latest answer to these messages, whichever sample's it is."""
        return next((self._answered(record) for record in self._alike(request, None) if record.error is None), None)

    def bought(self, sample: int, key: bytes) -> Outcome | None:
        """The latest answer with `key`, where there is one."""
        for record in self._records:
            if record.sample == sample and record.error is None and record.key == key and record.turn is None:
                return self._answered(record)
        return None

    def bought_turn(self, turn: Turn, config: Any) -> Outcome | None:
        """The answer to a turn that was bought with a configuration, or the failure that was gone past."""
        alike = [
            record
            for record in self._records
            if (record.sample, record.key) == (turn.sample, turn.key) and self._config_of(record) == config
        ]
        return self._chosen(alike, turn.turn, past=True, used=turn.used)

    def latest_config(self, sample: int) -> Any:
        """The configuration with which a sample was asked about last."""
        return next((self._config_of(record) for record in self._records if record.sample == sample), None)

    def effect(self, sample: int, turn: str, key: bytes, *, past: bool = False) -> StoredEffect | None:
        """The latest effect of a turn.

        Args:
            past: a failed one only where the conversation went past it.
        """
        stored = self._ledger.effects_of(self._row, step=self._step)
        alike = [(id, effect) for id, effect in stored if (effect.sample, effect.key) == (sample, key)]
        for id, effect in sorted(alike, key=lambda each: each[1].turn != turn):  # its own first
            place = (self._row, sample, effect.turn)
            if past and effect.error is not None and not self._ledger.went_past(place, effect=id, step=self._step):
                continue
            return effect
        return None

    def _went_past(self, failure: StoredCall) -> bool:
        """Tell whether the conversation went on after a call that failed."""
        place = (self._row, failure.sample, failure.turn)
        return self._ledger.went_past(place, call=failure.id, step=self._step)

    def _config_of(self, record: StoredCall) -> Any:
        maker = self._makers.get(record.maker)
        return None if maker is None else maker.config

    def _alike(self, request: Request, before: bytes | None) -> Iterator[StoredCall]:
        """The calls with these messages, whatever made them."""
        keys: dict[int | None, bytes | None] = {None: before}
        for record in self._records:
            if record.maker not in keys:
                made = self._makers.get(record.maker)
                keys[record.maker] = None if made is None else made.key(request.asked)
            if keys[record.maker] == record.key:
                yield record

    def _answered(self, record: StoredCall) -> Outcome:
        answer = self._ledger.answer_of(record)
        maker: Maker | None = self._makers.get(record.maker)
        lineage = None if maker is None else Lineage(maker.model_name, maker.parameters, new=False)
        return Outcome(answer.generation, None, answer.usage, answer.latency, answer.attempts, lineage)

    def _failed(self, record: StoredCall) -> Outcome:
        return Outcome(
            error=rebuilt_error(record.error, record.message, record.text, record.attempts),
            usage=self._ledger.answer_of(record).usage,
            attempts=record.attempts,
        )
