"""The calls of a run to look at: failures and successes of each step, drawn with a seed."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace
from itertools import chain, islice, zip_longest
from typing import TYPE_CHECKING, Any

from .media import Shown, shown_of
from .records import text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from limbeck.runs import Run

    from .figures import Calls
    from .records import Records

MOST_CHARACTERS = 200_000
"""Of one stored text that is read at all; a request is read whole up to ten times that."""

NOT_STORED = 'The prompt is not stored: this run keeps only its digest (`ledger_requests="hash"`).'
FAILED_NOT_STORED = "The ledger keeps no prompt of this call. The row it was made of:"
NEVER_SENT = "Nothing was sent. The row:"

_MOST_MEDIA = 8  # of one message that are shown; the others stand in its text
_FACTS = ("model", "finish_reason", "input_tokens", "output_tokens", "latency")


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a prompt; `media` are the images, audio and documents in it."""

    role: str
    text: str
    media: tuple[Shown, ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """One call to look at.

    Attributes:
        step, row, sample: what it is. error, message: of a failure.
        prompt: the messages, None where they are not known; `no_prompt` then says why, and `given` is the row.
        parameters: of sampling, as JSON, None where they are not known.
        text, length: the answer as it came, perhaps cut, and its whole length in characters.
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
    finish_reason: str | None = None
    model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    latency: float | None = None
    prompt: list[Message] | None = None
    no_prompt: str | None = None
    parameters: str | None = None
    given: dict[str, Any] | None = None
    key: bytes | None = None


@dataclass(frozen=True, slots=True)
class StepSamples:
    """The samples of one step, and how many there were to draw from."""

    step: str
    failed: list[Sample]
    answered: list[Sample]
    all_failed: int
    all_answered: int


def draw_samples(
    records: Records, calls: dict[str, Calls], steps: Sequence[str], *, count: int, seed: int
) -> list[StepSamples]:
    """At most `count` failures, of as many kinds as there are, and `count` successes of each step."""
    drawn = _Draw(records, calls, count, seed)
    names = dict.fromkeys([*(name for name in steps if name in drawn.failed_of), *drawn.failed_of, *calls])
    chosen = [(step, drawn.failures(step), drawn.successes(step)) for step in names]
    prompts = _Prompts(records, {(each.step, each.row) for _, failed, good in chosen for each in (*failed, *good)})
    return [
        StepSamples(
            step,
            failed=[prompts.given_to(each) for each in failed],
            answered=[prompts.given_to(each) for each in good],
            all_failed=len(drawn.failed_of.get(step, ())),
            all_answered=drawn.answered(step),
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
        self.failed_of: dict[str, list[tuple[int, str]]] = {}
        for id, step, error in records.query("SELECT rowid, step, error FROM failed ORDER BY rowid"):
            self.failed_of.setdefault(step, []).append((id, error))

    def _random(self, step: str) -> random.Random:
        return random.Random(f"{self._seed} {step}")  # noqa: S311 - the same samples for the same seed

    def answered(self, step: str) -> int:
        """The number of a step's answers that were good."""
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
            "SELECT f.step, f.row, f.sample, f.error, f.message, f.attempts, f.place, c.key,"
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
            key=found["key"],
        )

    def successes(self, step: str) -> list[Sample]:
        """A few answers that did not fail later."""
        calls = self._calls.get(step)
        if calls is None:
            return []
        good = [id for id, failed in zip(calls.ids, calls.failed, strict=True) if not failed]
        draw = self._random(step)
        tried = draw.sample(good, min(len(good), max(20 * self._count, 200)))
        found = (sample for id in tried if (sample := self._success(id)) is not None)
        return list(islice(found, self._count))

    def _success(self, id: int) -> Sample | None:
        query = (
            "SELECT step, row, sample, attempts, key, substr(text, 1, ?) AS text, length(text) AS length,"
            " detail, finish_reason, model, input_tokens, output_tokens, latency FROM calls c WHERE id = ?"
            " AND NOT EXISTS (SELECT 1 FROM failed f WHERE f.step = c.step AND f.row = c.row AND f.sample = c.sample)"
        )
        found = self._records.first(query, (MOST_CHARACTERS, id))
        if found is None:
            return None
        detail = found.pop("detail")
        found["text"] = text_of(found["text"])
        return Sample(**{**found, "length": found["length"] or 0}, reasoning=_reasoning(detail))


def _reasoning(detail: str | None) -> str | None:
    try:
        found = json.loads(detail).get("reasoning") if detail else None
    except (ValueError, AttributeError, RecursionError):
        return None
    return found[:MOST_CHARACTERS] if isinstance(found, str) else None


class _Prompts:
    """The ledger's prompts of some rows, found in one pass over it."""

    def __init__(self, records: Records, wanted: Iterable[tuple[str, str]]) -> None:
        self._run = records.run
        records.query("CREATE TEMP TABLE wanted (step TEXT, row TEXT, PRIMARY KEY (step, row))")
        for pair in wanted:
            records.query("INSERT INTO wanted VALUES (?, ?)", pair)
        parameters, makers = "NULL", ""
        if records.has_makers:
            parameters, makers = "m.parameters", " LEFT JOIN makers m ON m.id = c.maker"
        query = (
            f"SELECT c.step, c.row, c.sample, c.key, c.error IS NOT NULL, substr(c.request, 1, ?), {parameters},"
            " c.model, c.finish_reason, c.input_tokens, c.output_tokens, c.latency FROM calls c CROSS JOIN wanted w"
            f" ON w.step = c.step AND w.row = c.row{makers} ORDER BY c.id"
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
                self._facts[step, row, sample] = dict(zip(_FACTS, facts, strict=True))
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


def parameters_of(request: str | None) -> str | None:
    """The sampling parameters of a stored request, as JSON."""
    try:
        found = json.loads(request or "null")["parameters"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return json.dumps(found) if isinstance(found, dict) else None


def messages_of(request: str, run: Run | None = None) -> list[Message]:
    """The messages of a stored request; what is no message is shown as it stands.

    Args:
        run: that kept the images in them.
    """
    try:
        messages = json.loads(request)["messages"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return [Message("request", request)]
    if not isinstance(messages, list):
        return [Message("request", request)]
    return [_message(each, run) for each in messages]


def _message(message: Any, run: Run | None) -> Message:
    if not isinstance(message, dict):
        return Message("message", json.dumps(message))
    role = message.get("role")
    content = message.get("content")
    media: list[Shown] = []
    if isinstance(content, list):
        media, content = _parted(content, run)
    parts = [_content(content)]
    if message.get("tool_calls"):
        parts.append(json.dumps(message["tool_calls"], indent=2, ensure_ascii=False))
    text = "\n".join(part for part in parts if part)
    return Message(role if isinstance(role, str) else "message", text, tuple(media))


def _parted(parts: list[Any], run: Run | None) -> tuple[list[Shown], list[Any]]:
    """The first media among the parts of a message, and all its other parts."""
    media: list[Shown] = []
    others = []
    for part in parts:
        shown = shown_of(part, run) if len(media) < _MOST_MEDIA else None
        if shown is None:
            others.append(part)
        else:
            media.append(shown)
    return media, others


def _content(content: Any) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        return json.dumps(content, ensure_ascii=False)
    return "\n".join(chain.from_iterable(_part(each) for each in content))


def _part(part: Any) -> list[str]:
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return [part["text"]]
    text = json.dumps(part, ensure_ascii=False)
    kind = part.get("type", "part") if isinstance(part, dict) else "part"
    return [text if len(text) <= 200 else f"[{kind}, {len(text):,} characters: {text[:120]}…]"]
