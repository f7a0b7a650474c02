"""Conversations: generators that yield calls and effects, and are sent what comes of them.

All of it runs on the portal's loop. A conversation that waits holds its row and its generator, nothing
else: no task, no thread. What is stored is sent in at once, so a run that is resumed comes to where it was.
"""

from __future__ import annotations

import inspect
import warnings
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from ...errors import (
    ConfigurationError,
    GenerationError,
    LedgerError,
    LimbeckWarning,
    OutputError,
    RowError,
    TurnLimitError,
    described,
    has_message,
)
from ..calls.jobs import Call as Took
from ..calls.jobs import Outcome, Turn
from ..calls.turns import Ask, Do
from .effects import Place, effect_key, outcome_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from contextvars import Context

    from ...types import Request, Row, StoredEffect
    from ..calls.jobs import Job
    from .mending import Call, Mending

_MOST_OPEN = 512  # conversations; or as many as twice the requests that may be in flight


class Talk(Protocol):
    """A task's own part of its conversations.

    Attributes:
        max_turns: of one conversation. owner: the task, whose methods are the same in all of them.
    """

    max_turns: int
    owner: object

    def begin(self, row: Row, id: str, sample: int) -> Generator[Any, Any, Any]:
        """The conversation about a sample of a row; raises `RowError`."""
        ...

    def request(self, asked: Ask, row: Row) -> tuple[int, Request]:
        """Who is asked, by its place among the task's LLMs, and what; raises `ConfigurationError`."""
        ...

    def read(self, asked: Ask, outcome: Outcome) -> None:
        """Give an answer the value that its schema asks for, or put the error in its place."""
        ...

    def columns(self, returned: Any) -> tuple[Any, ...]:
        """The output columns out of what a conversation returned; raises `OutputError`."""
        ...


class Limits(Protocol):
    """What a backend says of its requests."""

    max_concurrency: int
    in_batches: bool


class Known(Protocol):
    """The answers that are there already."""

    def of_turn(self, turn: Turn) -> Outcome | None:
        """The known outcome of a turn, or None where a model is to be asked; raises `RowError`, `LedgerError`."""
        ...


class Asked(Protocol):
    """One of those who are asked: see `Requests`."""

    @property
    def backend(self) -> Limits: ...
    @property
    def known(self) -> Known: ...
    def ask(self, job: Turn, request: Request, samples: Sequence[int]) -> None:
        """Have a request sent."""
        ...

    def wake(self) -> None:
        """Have the window look for what there is to send."""
        ...


class Doing(Protocol):
    """What does effects: see `Effects`."""

    under_way: int

    def stored(self, key: bytes, place: Place, effect: Do) -> StoredEffect | None:
        """An earlier run's effect in the place of one with this key."""
        ...

    def failed(self, key: bytes, place: Place) -> StoredEffect | None:
        """An earlier run's effect there that failed, for where none is done."""
        ...

    def begin(self, effect: Do, key: bytes, place: Place, told: Callable[[Any, Any], object]) -> None:
        """Do an effect; `told` gets its result, and the error in its place."""
        ...

    def note_end(self, place: Place) -> None:
        """Note that a conversation went on from turns that failed, to its end at `place`."""
        ...


class Conversations:
    """The conversations of one stream.

    Args:
        requests: to each of the task's LLMs. mending: of their answers, or None.
        settle: takes the outcome of a sample. asks: whether a model is asked at all.
        stop: ends the run, with the error.
    """

    def __init__(
        self,
        task: str,
        talk: Talk | None,
        requests: Sequence[Asked],
        *,
        context: Context,
        effects: Doing,
        mending: Mending | None,
        asks: bool,
        settle: Callable[[Job, int, Outcome], object],
        stop: Callable[[BaseException], object],
    ) -> None:
        self.task = task
        self.talk = talk
        self.context = context
        self.effects = effects
        self.mending = mending
        self.asks = asks
        self.settle = settle
        self.stop = stop
        self._requests = requests
        self._open: set[Conversation] = set()
        self._most = max(_MOST_OPEN, *(2 * each.backend.max_concurrency for each in requests))
        self._in_batches = requests[0].backend.in_batches
        self.out = [0] * len(requests)  # calls of each LLM that were not answered yet
        self.closed = False
        self.told = False  # of a generator that would not end

    @property
    def full(self) -> bool:
        """True if as many are under way as may be; a provider batch is to hold all there are."""
        under_way = sum(self.out) if self.talk is None else len(self._open)
        return under_way >= self._most and not self._in_batches

    def busy_beside(self, requests: object) -> bool:
        """Tell whether more may come for `requests` of what is under way elsewhere."""
        if self.effects.under_way:
            return True
        return any(count for each, count in zip(self._requests, self.out, strict=True) if each is not requests)

    def begin(self, job: Job, samples: Sequence[int] | None = None) -> None:
        """Begin the conversations about a row, one a sample."""
        assert self.talk is not None  # or its rows are asked about once
        for sample in range(len(job.outcomes)) if samples is None else samples:
            try:
                generator = self.context.copy().run(self.talk.begin, job.row, job.id, sample)
            except RowError as exc:
                self.settle(job, sample, Outcome(error=exc))
                continue
            conversation = Conversation(self, job, sample, generator)
            self._open.add(conversation)
            conversation.go_on()

    def mend(self, job: Job, sample: int, first: Outcome, steps: Generator[Call, Outcome, Outcome]) -> None:
        """Mend the outcome of a sample that was asked about once."""
        _Chain(self, job, sample, first=first, steps=steps, done=partial(self.settle, job, sample)).go_on(None)

    def ended(self, conversation: Conversation, outcome: Outcome) -> None:
        """A conversation is over."""
        self._open.discard(conversation)
        self.settle(conversation.job, conversation.sample, outcome)
        self._requests[0].wake()  # there is room for another

    def call(
        self,
        job: Job,
        sample: int,
        call: Call,
        told: Callable[[Outcome], object],
        *,
        lacks: Callable[[RowError], object],
        follows: bool = False,
    ) -> None:
        """Have a request answered: by what is known, or by the model.

        Args:
            lacks: called where it is not known, and no model is asked.
            follows: whether there was something before it in the conversation, and all of it was stored.
        """
        who, label, request = call
        turn = Turn(job.id, sample, label, request, told)
        turn.follows, turn.used = follows, job.used
        try:
            known = self._requests[who].known.of_turn(turn)
        except RowError as exc:
            told(Outcome(error=exc))
            return
        except LedgerError as exc:
            self.stop(exc)
            return
        if known is not None:
            job.calls.append(Took(who, known.usage, known.latency))
            told(known)
        elif not self.asks:
            lacks(RowError(f"The ledger has no answer to turn {label}, and no model is asked."))
        else:
            self.out[who] += 1
            turn.told = partial(self._answered, job, who, told)
            self._requests[who].ask(turn, request, [sample])
            self._requests[who].wake()

    def _answered(self, job: Job, who: int, told: Callable[[Outcome], object], outcome: Outcome) -> None:
        self.out[who] -= 1
        if not self.closed:
            job.calls.append(Took(who, outcome.usage, outcome.latency))
            told(outcome)
            if self.talk is None:  # or the end of its conversation makes room
                self._requests[0].wake()

    def close(self) -> None:
        """The stream is over: conversations that are under way are closed."""
        self.closed = True
        for conversation in list(self._open):
            conversation.close()
        self._open.clear()


class Conversation:
    """One sample's conversation: its generator, and what is missing of the turn that it waits for."""

    __slots__ = (
        "_beginning",
        "_calls",
        "_effects",
        "_generator",
        "_had_errors",
        "_inside",
        "_missing",
        "_over",
        "_place",
        "_results",
        "_several",
        "_stored",
        "_talks",
        "_yielded",
        "job",
        "sample",
    )

    def __init__(self, talks: Conversations, job: Job, sample: int, generator: Generator[Any, Any, Any]) -> None:
        self.job = job
        self.sample = sample
        self._talks = talks
        self._generator = generator
        self._inside = talks.context.copy().run  # one for all its turns: what it sets there, it finds again
        self._place = 0
        self._yielded: list[Any] = []
        self._results: list[Any] = []
        self._several = False
        self._missing = 0
        self._had_errors = False
        self._beginning = False
        self._over = False
        self._stored = True  # all that was there at once came from the ledger
        self._calls: list[tuple[int, int, Outcome]] = []  # each with its place, and that side by side
        self._effects: list[tuple[int, int, Any]] = []  # what came of them

    def go_on(self, value: Any = None, error: GenerationError | None = None) -> None:
        """Send in what has come, and begin what is yielded, until something is to be waited for."""
        while True:
            try:
                if error is None:
                    yielded = self._inside(self._generator.send, value)
                else:
                    yielded = self._inside(self._generator.throw, error)
            except StopIteration as end:
                self._return(end.value)
                return
            except ConfigurationError as exc:  # of the task, which is the same for all rows
                self._talks.stop(exc)
                return
            except BaseException as exc:  # noqa: BLE001 - an author's `sys.exit` too: it is this conversation's end
                self._fail(exc)
                return
            fault = self._take(yielded)
            if fault is not None:
                self._fail(fault)
                return
            if not self._begin():
                return
            value, error = self._result()

    # One turn

    def _take(self, yielded: Any) -> GenerationError | None:
        """Take what was yielded as the next turn; the error where it is none."""
        talk = self._talks.talk
        assert talk is not None  # it has begun
        if self._place >= talk.max_turns:
            return TurnLimitError(
                f"The conversation of task {self._talks.task!r} took more than {talk.max_turns} turns. Raise "
                "`max_turns`, where it is to take more."
            )
        self._place += 1
        self._several = isinstance(yielded, list | tuple)
        self._yielded = list(yielded) if self._several else [yielded]
        for each in self._yielded:
            if not isinstance(each, Ask | Do):
                return OutputError(
                    f"`converse` of task {self._talks.task!r} yielded {_named(each)} at turn {self._place}, not "
                    f"`ask(…)`, `do(…)` or a list of them.{_remedy(each)}"
                )
        return None

    def _begin(self) -> bool:
        """Begin all of a turn; whether all of it is there at once."""
        self._results = [None] * len(self._yielded)
        self._missing = len(self._yielded)
        self._beginning = True
        for number, each in enumerate(self._yielded):
            turn = f"{self._place}.{number + 1}" if self._several else str(self._place)
            try:
                self._begin_part(number, turn, each)
            except (ConfigurationError, LedgerError) as exc:
                self._talks.stop(exc)
            if self._talks.closed or self._over:
                return False
        self._beginning = False
        self._stored = self._stored and not self._missing
        return not self._missing

    def _begin_part(self, number: int, turn: str, part: Ask | Do) -> None:
        talks = self._talks
        if isinstance(part, Do):
            self._begin_effect(number, turn, part)
            return
        assert talks.talk is not None  # it has begun
        who, request = talks.talk.request(part, self.job.row)
        told = partial(self._first_answer, number, who, turn, request)
        follows = self._stored and self._place > 1  # of the first, the row itself has changed
        talks.call(self.job, self.sample, (who, turn, request), told, lacks=self._fail, follows=follows)

    def _first_answer(self, number: int, who: int, turn: str, request: Request, outcome: Outcome) -> None:
        """Read an answer, and have it mended where that is to be done."""
        talks, asked = self._talks, self._yielded[number]
        assert talks.talk is not None  # it has begun
        read = partial(talks.talk.read, asked)
        if talks.mending is None:
            read(outcome)
            self._answered(number, turn, outcome)
            return
        steps = talks.mending.mended(who, turn, request, outcome, read)
        done = partial(self._answered, number, turn)
        _Chain(talks, self.job, self.sample, first=outcome, steps=steps, done=done).go_on(None)

    def _answered(self, number: int, turn: str, outcome: Outcome) -> None:
        self._calls.append((self._place, number, outcome))
        if outcome.error is not None:
            outcome.error.turn = outcome.error.turn or turn
            outcome.error.attempts = outcome.attempts
        self._has(number, outcome.error or outcome.generation)

    def _begin_effect(self, number: int, turn: str, effect: Do) -> None:
        talks, place = self._talks, Place(self.job.id, self.sample, turn)
        key = effect_key(effect, place, talks.talk and talks.talk.owner, self._past)
        stored = talks.effects.stored(key, place, effect)
        if stored is None and not talks.asks:
            stored = talks.effects.failed(key, place)
        if stored is not None:
            self._done(number, turn, *outcome_of(stored.result, stored.error))
        elif not talks.asks:
            self._fail(RowError(f"The ledger has no result of `{effect.name}` at turn {turn}, and nothing is done."))
        else:
            talks.effects.begin(effect, key, place, partial(self._done, number, turn))

    def _done(self, number: int, turn: str, result: Any, error: GenerationError | None) -> None:
        if self._talks.closed:
            return
        if error is not None:
            error.turn = turn
        self._effects.append((self._place, number, result if error is None else str(error)))
        self._has(number, error or result)

    def _past(self) -> list[Any]:
        """The row, and all that the conversation was told before this turn."""
        answers: list[tuple[int, int, Any]] = [
            (place, number, each.generation.text if each.generation else str(each.error))
            for place, number, each in self._calls
        ]
        told = sorted((*answers, *self._effects), key=lambda each: (each[0], each[1]))
        return [self.job.row, *(each for each in told if each[0] < self._place)]

    def _has(self, number: int, result: Any) -> None:
        """A part of the turn is there."""
        self._results[number] = result
        self._missing -= 1
        if not self._missing and not self._beginning:
            self._resume()

    def _resume(self) -> None:
        """Go on with a turn that was waited for; whatever goes wrong, the taker hears of it."""
        try:
            self.go_on(*self._result())
        except Exception as exc:  # noqa: BLE001 - a defect of ours
            self._talks.stop(exc)

    def _result(self) -> tuple[Any, GenerationError | None]:
        """What is sent in, or thrown: the first error of those that are to be raised."""
        for part, result in zip(self._yielded, self._results, strict=True):
            if isinstance(result, GenerationError):
                self._had_errors = True
                if part.on_error == "raise":
                    return None, result
        return (self._results if self._several else self._results[0]), None

    # The end

    def _return(self, returned: Any) -> None:
        talk = self._talks.talk
        assert talk is not None  # it has begun
        try:
            columns = talk.columns(returned)
        except GenerationError as exc:
            self._end(Outcome(error=exc))
            return
        if self._had_errors and not self._stored:
            self._talks.effects.note_end(Place(self.job.id, self.sample, str(self._place + 1)))
        self._end(Outcome(columns=columns))

    def _fail(self, exc: BaseException) -> None:
        self._close_generator()
        if isinstance(exc, GenerationError) and has_message(exc):
            error = exc
        else:
            cls = OutputError if self._calls else RowError
            error = cls(f"`converse` of task {self._talks.task!r} raised {described(exc)}")
            error.__cause__ = exc
        error.turn = error.turn or (str(self._place) if self._place else None)
        self._end(Outcome(error=error))

    def _end(self, outcome: Outcome) -> None:
        """Give the outcome of the conversation, with what its calls took."""
        if self._over:  # of several turns side by side, more than one is not stored
            return
        self._over = True
        calls = [call for _, _, call in sorted(self._calls, key=lambda call: call[:2])]
        outcome.turns = calls
        for call in calls:
            if call.usage is not None:
                outcome.usage = call.usage if outcome.usage is None else outcome.usage + call.usage
            if call.latency is not None:
                outcome.latency = (outcome.latency or 0.0) + call.latency
            outcome.attempts += call.attempts
            outcome.repairs += call.repairs
            outcome.fallbacks += call.fallbacks
            outcome.maker = call.maker or outcome.maker
        if outcome.error is None and calls:
            outcome.generation = calls[-1].generation
        self._talks.ended(self, outcome)

    def close(self) -> None:
        """Close the generator of a conversation that is not to go on."""
        self._close_generator()

    def _close_generator(self) -> None:
        try:
            self._inside(self._generator.close)
        except BaseException as exc:  # noqa: BLE001 - the author's, and nothing waits for it
            self._tell_of_closing(exc)

    def _tell_of_closing(self, exc: BaseException) -> None:
        if self._talks.told:
            return
        self._talks.told = True
        with suppress(LimbeckWarning):  # the user has made warnings errors, but the run has an end of its own
            warnings.warn(
                f"`converse` of task {self._talks.task!r} did not end when its generator was closed: {described(exc)} "
                "Let `GeneratorExit` through.",
                LimbeckWarning,
                stacklevel=2,
            )


class _Chain:
    """Calls that mend one answer, one after another; `done` gets the last outcome."""

    __slots__ = ("_done", "_job", "_last", "_sample", "_steps", "_talks")

    def __init__(
        self,
        talks: Conversations,
        job: Job,
        sample: int,
        *,
        first: Outcome,
        steps: Generator[Call, Outcome, Outcome],
        done: Callable[[Outcome], object],
    ) -> None:
        self._talks = talks
        self._job = job
        self._sample = sample
        self._last = first
        self._steps = steps
        self._done = done

    def go_on(self, outcome: Outcome | None) -> None:
        """Ask the next, or be done."""
        self._last = outcome or self._last
        try:
            call = self._steps.send(outcome)  # type: ignore[arg-type]  # None begins it
        except StopIteration as end:
            self._done(end.value)
        else:
            self._talks.call(self._job, self._sample, call, self.go_on, lacks=self._end)

    def _end(self, _lack: RowError) -> None:
        """Nothing more is asked: what there is, is the outcome."""
        self._steps.close()
        self._done(self._last)


def _named(value: Any) -> str:
    return "nothing" if value is None else f"`{type(value).__name__}`"


def _remedy(value: Any) -> str:
    if inspect.iscoroutine(value):
        value.close()  # or Python tells of it as of one that was forgotten
        return " A coroutine is given to `do` as its function and its arguments."
    if inspect.isgenerator(value):
        return " For a generator, write `yield from`."
    return " For the output columns, write `return`." if isinstance(value, dict) else ""
