"""Mending: an answer that cannot be used is asked for again, of the same LLM or of another."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from ...errors import OutputError, SchemaError
from ...types import GenerationRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from typing import Any

    from ...types import Request, Row
    from ..calls.jobs import Outcome

# How providers say that an answer was cut short, and that it was refused.
_CUT_SHORT = frozenset({"length", "max_tokens", "max_output_tokens", "MAX_TOKENS", "model_length"})
_REFUSED = frozenset({"content_filter", "content_filtered", "refusal", "SAFETY", "safety", "guardrail_intervened"})

Call: TypeAlias = "tuple[int, str, Request]"
"""Who is asked (its place among the task's LLMs), at which turn, and what."""


@dataclass(frozen=True, slots=True)
class Fallback:
    """Another LLM of a task, by its place among them, and its own name for its model."""

    place: int
    name: str


@dataclass(frozen=True, slots=True)
class Mending:
    """The ways in which an answer may be mended.

    Attributes:
        repairs: how often an LLM is told what was wrong. fallbacks: who is asked then, one after another.
        read: reads the one answer to a row, and puts the error in its place where that fails.
        parameters: of sampling, of each of the task's LLMs.
    """

    repairs: int
    read: Callable[[Outcome, Row], None]
    fallbacks: Sequence[Fallback] = ()
    parameters: Sequence[Mapping[str, Any]] = ()

    def gives_way(self, place: int) -> bool:
        """Tell whether another LLM is asked where this one is away."""
        return bool(self.fallbacks) and place < self.fallbacks[-1].place

    def mended(
        self, who: int, turn: str | None, request: Request, outcome: Outcome, read: Callable[[Outcome], None]
    ) -> Generator[Call, Outcome, Outcome]:
        """Yield what is to be asked until an answer can be used; `outcome` is the first. Return the last.

        Args:
            read: reads an outcome, and puts the error in its place where that fails.
        """
        outcome = best = yield from self._repaired(who, turn, request, outcome, read)
        for number, fallback in enumerate(self.fallbacks, 1):
            if not _needs_another(outcome):
                break
            asked = replace(request, parameters=self._parameters_of(fallback, who, request))
            label = f"{turn or ''}f{number}"
            answer = yield fallback.place, label, asked
            answer.fallbacks = int(answer.attempts > 0)  # one that is away is not asked
            answer = yield from self._repaired(fallback.place, label, asked, answer, read)
            answer.maker = fallback.name
            outcome = _with_costs(outcome, answer)
            if outcome.error is None or best.error is not None:
                best = outcome
        return best if best is outcome else _with_costs_of(outcome, best)

    def _parameters_of(self, fallback: Fallback, who: int, request: Request) -> Mapping[str, Any]:
        """What a fallback is asked with: its own parameters, under those of the row and of the call."""
        own = self.parameters[who]
        asked = {name: value for name, value in request.parameters.items() if name not in own or own[name] != value}
        return {**self.parameters[fallback.place], **asked}

    def _repaired(
        self, who: int, turn: str | None, request: Request, outcome: Outcome, read: Callable[[Outcome], None]
    ) -> Generator[Call, Outcome, Outcome]:
        read(outcome)
        for number in range(1, self.repairs + 1):
            if not _can_be_repaired(outcome):
                break
            request = _told_what_was_wrong(request, outcome)  # with what was said before: a model may repeat itself
            answer = yield who, f"{turn or ''}r{number}", request
            answer.repairs = 1
            read(answer)
            if answer.generation is None:  # no answer at all: the last one is what there is
                answer.error = answer.error or outcome.error
            outcome = _with_costs(outcome, answer)
        return outcome


def _can_be_repaired(outcome: Outcome) -> bool:
    generation = outcome.generation
    if generation is None or not isinstance(outcome.error, SchemaError | OutputError):
        return False
    return generation.finish_reason not in _CUT_SHORT | _REFUSED


def _needs_another(outcome: Outcome) -> bool:
    """Tell whether another LLM is to be asked: this one failed for good, refused, or ran over its length."""
    if outcome.error is not None:
        return True
    generation = outcome.generation
    return generation is not None and generation.finish_reason in _CUT_SHORT | _REFUSED


def _told_what_was_wrong(request: Request, outcome: Outcome) -> Request:
    """The request with the answer that could not be used, and the reason."""
    assert isinstance(request, GenerationRequest)  # only texts are mended
    text = None if outcome.generation is None else outcome.generation.text
    reason = f"That answer cannot be used: {outcome.error}\nAnswer the same question again, in the form it asks for."
    if request.prompt is not None:
        return replace(request, prompt="\n\n".join([f"{request.prompt}{text or ''}", reason, ""]))
    answer: list[Any] = [{"role": "assistant", "content": text}] if text and text.strip() else []
    return replace(request, messages=[*request.messages, *answer, {"role": "user", "content": reason}])


def _with_costs(before: Outcome, after: Outcome) -> Outcome:
    """`after`, with what both took."""
    if before.usage is not None:
        after.usage = before.usage if after.usage is None else before.usage + after.usage
    if before.latency is not None:
        after.latency = before.latency + (after.latency or 0.0)
    after.attempts += before.attempts
    after.repairs += before.repairs
    after.fallbacks += before.fallbacks
    return after


def _with_costs_of(last: Outcome, best: Outcome) -> Outcome:
    """`best`, an answer that was cut short and can be read, with what all of them took."""
    best.usage, best.latency, best.attempts = last.usage, last.latency, last.attempts
    best.repairs, best.fallbacks = last.repairs, last.fallbacks
    return best
