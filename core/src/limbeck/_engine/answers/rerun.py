"""Re-runs: the rows that a condition means are asked again, with changed parameters or another LLM.

A row's current answer is the latest that was bought for it with these messages, by whatever LLM and
parameters. What the condition means is asked again; the rest comes out as it is. So the same command
again asks for nothing that it has bought, and a further one begins where this one ended.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from ... import errors
from ...errors import BackendError, ConfigurationError, GenerationError, RowError
from ..calls.jobs import Lineage, Outcome
from ..ledger.step_ledger import StepLedger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ...types import Generation, Request, Row
    from ..calls.jobs import Job
    from ..calls.keys import Keyring
    from ..ledger.makers import Maker
    from .condition import Condition


class Reader(Protocol):
    """A task as it was, which makes the request of a row and reads the columns of an answer."""

    def prepare(self, row: Row) -> Request:
        """The request; raises `RowError`."""
        ...

    def columns(self, generation: Generation, row: Row) -> Row:
        """The row with its output columns; raises `GenerationError`."""
        ...


@dataclass(frozen=True, slots=True)
class Follower:
    """A task behind the one that asks again, whose columns the condition may name: a judge, say.

    Attributes:
        step: its name. reader: as it was. columns: those that it adds.
    """

    step: str
    reader: Reader
    columns: Sequence[str]


@dataclass(frozen=True, slots=True)
class RerunPlan:
    """The rows to ask again, and the way to ask.

    Attributes:
        condition: which answers are meant. reader: reads the answers that are there.
        keyring, parameters: of the LLM as it was, which know the failures of that time.
        changed: whether the LLM or its parameters are others than the answers' own: then an answer that
            was bought with them is taken; else each answer that is meant is asked for anew.
        config: of the step as it was.
        followers: the tasks behind it, in order; their latest answers to what it answered are read too.
    """

    condition: Condition
    reader: Reader
    keyring: Keyring
    parameters: Mapping[str, Any]
    changed: bool
    config: dict[str, Any]
    followers: Sequence[Follower] = ()


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
        for follower in plan.followers:
            plan.condition.expect(follower.columns)

    def outcomes(self, job: Job, request: Request) -> list[Outcome | None]:
        """The outcome that each sample of a row keeps, or None where it is to be asked for.

        Raises:
            ConfigurationError: the condition names a column that no row has.
            LedgerError: the ledger cannot be read.
        """
        before = self._plan.keyring.key(replace(request, parameters=self._plan.parameters))
        history = _History(self._ledger, job, request, before)
        return [self._outcome(job, sample, history) for sample in range(len(job.outcomes))]

    def _outcome(self, job: Job, sample: int, history: _History) -> Outcome | None:
        current = history.current(sample)
        if not self._meant(job, sample, current):
            return current
        return history.bought(sample, job.key) if self._plan.changed else None

    def _meant(self, job: Job, sample: int, outcome: Outcome) -> bool:
        generation, error, row = outcome.generation, outcome.error, dict(job.row)
        if generation is not None:
            try:
                row = self._followed(f"{job.id}.{sample}", self._plan.reader.columns(generation, row), job)
            except GenerationError as exc:
                error = exc
        usage = outcome.usage
        facts = {
            "finish_reason": None if generation is None else generation.finish_reason,
            "failed": error is not None,
            "parse_failed": error is not None and generation is not None,
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
        try:
            messages = follower.reader.prepare(row).asked
            makers = self._ledger.makers(step=follower.step)
            for record in self._ledger.history(id, step=follower.step):
                maker = makers.get(record.maker)
                if record.error is None and maker is not None and maker.key(messages) == record.key:
                    return follower.reader.columns(self._ledger.answer_of(record).generation, row)
        except GenerationError:  # it cannot be asked about, or was not answered well: its columns are null
            return row
        return row


class _History:
    """The ledger's calls of a row with these messages, the latest first."""

    def __init__(self, ledger: StepLedger, job: Job, request: Request, before: bytes) -> None:
        self._ledger = ledger
        self._records = ledger.history(job.id)
        self._makers = ledger.makers()
        self._messages = request.asked
        self._keys: dict[int | None, bytes] = {None: before}  # of failures that do not say what made them

    def current(self, sample: int) -> Outcome:
        """The latest answer; else the latest failure; else that there is nothing."""
        failure = None
        for record in self._records:
            if record.sample != sample or not self._same_messages(record.maker, record.key):
                continue
            if record.error is None:
                return self._answered(record)
            failure = failure or record
        if failure is None:
            return Outcome(error=RowError("This row was never asked about; the condition `failed` means it too."))
        usage = self._ledger.answer_of(failure).usage
        return Outcome(error=_rebuilt(failure), usage=usage, attempts=failure.attempts)

    def bought(self, sample: int, key: bytes) -> Outcome | None:
        """The latest answer with `key`, where there is one."""
        for record in self._records:
            if record.sample == sample and record.error is None and record.key == key:
                return self._answered(record)
        return None

    def _answered(self, record: Any) -> Outcome:
        answer = self._ledger.answer_of(record)
        maker: Maker | None = self._makers.get(record.maker)
        lineage = None if maker is None else Lineage(maker.model_name, maker.parameters, new=False)
        return Outcome(answer.generation, None, answer.usage, answer.latency, answer.attempts, lineage)

    def _same_messages(self, maker: int | None, key: bytes) -> bool:
        if maker not in self._keys:
            made = self._makers.get(maker)
            if made is None:
                return False
            self._keys[maker] = made.key(self._messages)
        return self._keys[maker] == key


def _rebuilt(record: Any) -> GenerationError:
    """The error that a stored failure was."""
    cls = getattr(errors, record.error, BackendError)
    if not (isinstance(cls, type) and issubclass(cls, GenerationError)):
        cls = BackendError
    error: GenerationError = cls(record.message)
    error.attempts, error.raw = record.attempts, record.text
    return error
