"""The samples of a run to look at: failures and successes of each step, drawn with a seed."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass, field, replace
from itertools import islice, zip_longest
from typing import TYPE_CHECKING, Any

from limbeck.runs import find_run

from .conversations import Conversations, Turn, answer_detail
from .messages import MOST_CHARACTERS, Message, messages_of, parameters_of
from .records import open_records, text_of
from .run import figures_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from .figures import Calls, RunFigures
    from .records import Records

NOT_STORED = 'The prompt is not stored: this run keeps only its digest (`ledger_requests="hash"`).'
FAILED_NOT_STORED = "The ledger keeps no prompt. The row that it was made of:"
NEVER_SENT = "Nothing was sent. The row:"

_FACTS = ("model", "finish_reason", "input_tokens", "output_tokens", "latency")


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample of a row to look at: a call, or a conversation.

    Attributes:
        step, row, sample: what it is. error, message: of a failure.
        prompt: the messages, None where they are not known; `no_prompt` then says why, and `given` is the row.
        parameters: of sampling, as JSON, None where they are not known.
        text, length: the answer as it came, perhaps cut, and its whole length in characters.
        tool_calls: of the answer, as JSON.
        turns: of a conversation, whose prompts and answers stand there; the text is its last answer, and the tokens
            are those of all its turns. turn: the label of the one at which it failed, where that is known.
        left_out: turns of a long conversation that are not among them.
        key: of the call, where it is known.
    """

    step: str
    row: str
    sample: int
    error: str | None = None
    message: str | None = None
    attempts: int | None = None
    text: str | None = None
    length: int = 0
    reasoning: str | None = None
    tool_calls: str | None = None
    finish_reason: str | None = None
    model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    latency: float | None = None
    prompt: list[Message] | None = None
    no_prompt: str | None = None
    parameters: str | None = None
    given: dict[str, Any] | None = None
    turns: list[Turn] = field(default_factory=list)
    turn: str | None = None
    left_out: int = 0
    key: bytes | None = None

    def as_dict(self) -> dict[str, Any]:
        """Everything for JSON."""
        return {name: value for name, value in asdict(self).items() if name != "key"}


@dataclass(frozen=True, slots=True)
class StepSamples:
    """The samples of one step, and how many there were to draw from.

    Attributes:
        all_failed, all_answered: calls; of a step of conversations, samples of rows.
        conversations: whether it asks more than once about a row.
        under_way: whether some of its conversations, which are among the good ones, may have not ended yet.
    """

    step: str
    failed: list[Sample]
    answered: list[Sample]
    all_failed: int
    all_answered: int
    conversations: bool = False
    under_way: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Everything for JSON."""
        lists = {name: [each.as_dict() for each in getattr(self, name)] for name in ("failed", "answered")}
        return {**{name: getattr(self, name) for name in self.__slots__}, **lists}


def read_with_samples(run: str | Path, *, count: int, seed: int) -> tuple[RunFigures, list[StepSamples]]:
    """The figures of the run in a directory, and samples of the same moment.

    Args:
        run: the directory, or its name in `runs/`. count, seed: as of `draw_samples`.

    Raises:
        ConfigurationError: there is no run. LedgerError: its ledger cannot be read.
    """
    with open_records(find_run(run).path) as records:
        figures = figures_of(records)
        names = [step.name for step in figures.steps]
        samples = draw_samples(records, figures.calls, names, count=count, seed=seed) if count else []
        return figures, samples


def draw_samples(
    records: Records, calls: dict[str, Calls], steps: Sequence[str], *, count: int, seed: int
) -> list[StepSamples]:
    """At most `count` failures, of as many kinds as there are, and `count` successes of each step."""
    drawn = _Draw(records, calls, count, seed)
    names = dict.fromkeys([*(name for name in steps if name in drawn.failed_of), *drawn.failed_of, *calls])
    names |= dict.fromkeys(sorted(records.conversing))
    chosen = [(step, drawn.failures(step), drawn.successes(step)) for step in names]
    told = _Told(records, drawn, [each for _, failed, good in chosen for each in (*failed, *good)])
    return [
        StepSamples(
            step,
            failed=[told.whole(each) for each in failed],
            answered=[told.whole(each) for each in good],
            all_failed=len(drawn.failed_of.get(step, ())),
            all_answered=drawn.answered(step),
            conversations=step in records.conversing,
            under_way=step in records.conversing and records.is_under_way(step),
        )
        for step, failed, good in chosen
        if failed or good
    ]


class _Draw:
    """The drawing of calls and failures of one run."""

    def __init__(self, records: Records, calls: dict[str, Calls], count: int, seed: int) -> None:
        self._records = records
        self._calls = calls
        self._count = count
        self._seed = seed
        self._conversed: dict[str, Sequence[int]] = {}
        self.failed_of: dict[str, list[tuple[int, str]]] = {}
        for id, step, error in records.query("SELECT rowid, step, error FROM failed ORDER BY rowid"):
            self.failed_of.setdefault(step, []).append((id, error))

    def _random(self, step: str) -> random.Random:
        return random.Random(f"{self._seed} {step}")  # noqa: S311 - the same samples for the same seed

    def answered(self, step: str) -> int:
        """The number of a step's answers that were good; of conversations, of those that did not fail."""
        if step in self._records.conversing:
            return len(self._good_conversations(step))
        calls = self._calls.get(step)
        unread = self._records.first(
            "SELECT count(*) AS count FROM failed WHERE step = ? AND call IS NULL AND attempts > 0", (step,)
        ) or {"count": 0}
        return 0 if calls is None else max(0, len(calls.ids) - sum(calls.failed) - unread["count"])

    def failures(self, step: str) -> list[Sample]:
        """A few failures, one of each type before a second of any."""
        shuffled = list(self.failed_of.get(step, ()))
        self._random(step).shuffle(shuffled)
        types: dict[str, list[int]] = {}
        for id, error in shuffled:
            types.setdefault(error, []).append(id)
        turns = (id for turn in zip_longest(*types.values()) for id in turn if id is not None)
        return [self._failure(id) for id in islice(turns, self._count)]

    def _failure(self, id: int) -> Sample:
        query = (
            "SELECT f.step, f.row, f.sample, f.error, f.message, f.attempts, f.place, f.turn, c.key,"
            " c.model, c.input_tokens, c.output_tokens, substr(c.text, 1, ?) AS text"
            " FROM failed f LEFT JOIN calls c ON c.id = f.call WHERE f.rowid = ?"
        )
        found = self._records.first(query, (MOST_CHARACTERS, id)) or {}
        record = None if found["place"] is None else self._records.failed_record(found["place"])
        raw = text_of(found["text"])
        if record is not None:
            errors = (
                each for number, each in enumerate(record.errors) if each.get("sample", number) == found["sample"]
            )
            raw = next((each.get("raw") for each in errors), raw)
        return Sample(
            step=found["step"],
            row=found["row"],
            sample=found["sample"],
            error=found["error"],
            message=text_of(found["message"]),
            attempts=found["attempts"],
            text=raw[:MOST_CHARACTERS] if isinstance(raw, str) else None,
            length=len(raw) if isinstance(raw, str) else 0,
            model=text_of(found["model"]),
            input_tokens=found["input_tokens"],
            output_tokens=found["output_tokens"],
            given=None if record is None else record.given,
            turn=found["turn"] or None,
            key=found["key"],
        )

    def successes(self, step: str) -> list[Sample]:
        """A few answers that did not fail later; of conversations, their places alone."""
        if step in self._records.conversing:
            return self._conversations(step)
        calls = self._calls.get(step)
        if calls is None:
            return []
        good = [id for id, failed in zip(calls.ids, calls.failed, strict=True) if not failed]
        draw = self._random(step)
        tried = draw.sample(good, min(len(good), max(20 * self._count, 200)))
        found = (sample for id in tried if (sample := self.success(id)) is not None)
        return list(islice(found, self._count))

    def _good_conversations(self, step: str) -> Sequence[int]:
        if step not in self._conversed:
            self._conversed[step] = self._records.good_conversations(step)
        return self._conversed[step]

    def _conversations(self, step: str) -> list[Sample]:
        good = self._good_conversations(step)
        drawn = self._random(step).sample(good, min(len(good), self._count))
        query = "SELECT step, row, sample FROM talks WHERE rowid = ?"
        return [Sample(*next(self._records.query(query, (id,)))) for id in drawn]

    def success(self, id: int) -> Sample | None:
        """The sample of a call, with its answer; None where it failed after all."""
        query = (
            "SELECT step, row, sample, attempts, key, substr(text, 1, ?) AS text, length(text) AS length,"
            " detail, finish_reason, model, input_tokens, output_tokens, latency FROM calls c WHERE id = ?"
            " AND NOT EXISTS (SELECT 1 FROM failed f WHERE f.step = c.step AND f.row = c.row AND f.sample = c.sample)"
        )
        found = self._records.first(query, (MOST_CHARACTERS, id))
        if found is None:
            return None
        detail = found.pop("detail")
        found |= {name: text_of(found[name]) for name in ("text", "finish_reason", "model")}
        return Sample(**{**found, "length": found["length"] or 0}, **answer_detail(detail))


class _Told:
    """What stands around the samples that were drawn: prompts, parameters and turns."""

    def __init__(self, records: Records, drawn: _Draw, samples: Sequence[Sample]) -> None:
        self._drawn = drawn
        self._prompts = _Prompts(records, {(each.step, each.row) for each in samples})
        self._conversations = Conversations(records, ((each.step, each.row, each.sample) for each in samples))

    def whole(self, sample: Sample) -> Sample:
        """A sample with its turns, or as the one call that it is."""
        sampled = (sample.step, sample.row, sample.sample)
        events = self._conversations.events(sampled)
        if any(event.label for event in events):
            turns, left_out = self._conversations.turns(sampled, failed_at=sample.turn)
            return _conversed(sample, turns, left_out)
        if sample.error is None and events:
            sample = self._drawn.success(events[0].id) or sample
        return self._prompts.given_to(sample)


def _conversed(sample: Sample, turns: list[Turn], left_out: int) -> Sample:
    """A sample as the conversation of these turns."""
    answers = [turn for turn in turns if turn.kind != "effect" and turn.error is None]
    last = answers[-1] if answers and sample.error is None else None
    calls = [turn for turn in turns if turn.kind != "effect"]
    stored = not calls or any(turn.messages is not None for turn in calls)
    return replace(
        sample,
        turns=turns,
        left_out=left_out,
        text=sample.text if last is None else last.text,
        length=sample.length if last is None else last.length,
        attempts=sum(turn.attempts or 0 for turn in calls),
        model=None,
        input_tokens=_sum(turn.input_tokens for turn in calls),
        output_tokens=_sum(turn.output_tokens for turn in calls),
        no_prompt=None if stored else NOT_STORED if sample.given is None else FAILED_NOT_STORED,
        given=None if stored else sample.given,
    )


def _sum(numbers: Iterable[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


class _Prompts:
    """The ledger's prompts of the one calls about some rows, found in one pass over it."""

    def __init__(self, records: Records, wanted: Iterable[tuple[str, str]]) -> None:
        self._run = records.run
        records.query("CREATE TEMP TABLE wanted (step TEXT, row TEXT, PRIMARY KEY (step, row))")
        for pair in wanted:
            records.query("INSERT INTO wanted VALUES (?, ?)", pair)
        parameters, makers = "NULL", ""
        if records.has_makers:
            parameters, makers = "m.parameters", " LEFT JOIN makers m ON m.id = c.maker"
        alone = " AND c.turn IS NULL" if records.knows_turns else ""  # the prompts of conversations are read apart
        query = (
            f"SELECT c.step, c.row, c.sample, c.key, c.error IS NOT NULL, substr(c.request, 1, ?), {parameters},"
            " c.model, c.finish_reason, c.input_tokens, c.output_tokens, c.latency FROM calls c CROSS JOIN wanted w"
            f" ON w.step = c.step AND w.row = c.row{alone}{makers} ORDER BY c.id"
        )
        self._requests: dict[tuple[str, str, bytes | None], str] = {}
        self._parameters: dict[tuple[str, str, bytes | None], str] = {}
        self._facts: dict[tuple[str, str, int], dict[str, Any]] = {}
        found = records.query(query, (10 * MOST_CHARACTERS,))
        for step, row, sample, key, failed, request, parameters, *facts in found:
            if request is not None:
                self._requests[step, row, key] = self._requests[step, row, None] = request
            if parameters is not None:
                self._parameters[step, row, key] = self._parameters[step, row, None] = parameters
            if not failed:
                self._facts[step, row, sample] = dict(zip(_FACTS, map(text_of, facts), strict=True))
        stored = "SELECT step FROM calls WHERE request IS NOT NULL GROUP BY step"
        self._storing = {step for (step,) in records.query(stored)}

    def given_to(self, sample: Sample) -> Sample:
        """The sample with its prompt, or with why there is none; an answer that could not be read, with its facts."""
        key = (sample.step, sample.row, sample.key)
        unread = sample.text is not None and sample.input_tokens is None
        facts = self._facts.get((sample.step, sample.row, sample.sample)) if unread else None
        sample = replace(sample, **(facts or {}))
        request = self._requests.get(key)
        parameters = self._parameters.get(key) or parameters_of(request)
        if sample.attempts != 0 and parameters not in (None, "{}"):
            sample = replace(sample, parameters=parameters)
        if request is not None:
            return replace(sample, prompt=messages_of(request, self._run))
        return replace(sample, no_prompt=self._why_none(sample))

    def _why_none(self, sample: Sample) -> str:
        if sample.error is not None and sample.given is not None:
            return FAILED_NOT_STORED if sample.attempts else NEVER_SENT
        if sample.error is not None and sample.step in self._storing:
            return "The ledger keeps no prompt of this call."
        return NOT_STORED
