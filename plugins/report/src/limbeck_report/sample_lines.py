"""Samples as lines of text: each message, answer and effect is one line, cut where it is long."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from .wording import called, count, how_it_failed, seconds, short, told_before, turn_name, what_became

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .conversations import Turn
    from .messages import Message
    from .samples import Sample, StepSamples

_MOST = 300


def step_lines(step: StepSamples) -> Iterator[str]:
    """The lines of a step's samples."""
    what = ", each a conversation" if step.conversations else ""
    good = "good or not ended" if step.under_way else "good"
    shown = (("failed", step.failed, step.all_failed), (good, step.answered, step.all_answered))
    numbers = ", ".join(f"{len(drawn):,} of {count(whole)} {word}" for word, drawn, whole in shown)
    yield ""
    yield f"Samples of {short(step.step, 60)}: {numbers}{what}"
    for sample in (*step.failed, *step.answered):
        yield ""
        yield from _sample_lines(sample)


def _sample_lines(sample: Sample) -> Iterator[str]:
    number = f", sample {sample.sample}" if sample.sample else ""
    yield f"Row {short(sample.row, 60)}{number}: {short(sample.error, 60) if sample.error else 'good'}"
    if sample.no_prompt:
        yield f"  {sample.no_prompt}"
        if sample.given is not None:
            yield f"  row: {short(json.dumps(sample.given, ensure_ascii=False), _MOST)}"
    if sample.turns:
        for turn in sample.turns:
            yield from _indented(_turn_lines(turn), 2)
        if sample.left_out:
            yield f"  {sample.left_out:,} turns before the last ones are left out."
    else:
        yield from _indented(_single_lines(sample), 2)
    if sample.error:
        yield f"  {short(how_it_failed(sample), _MOST)}"


def _single_lines(sample: Sample) -> Iterator[str]:
    yield from _facts(sample)
    yield from _told(sample.prompt or ())
    yield from _said(sample)


def _turn_lines(turn: Turn) -> Iterator[str]:
    yield short(turn_name(turn), 60)
    yield from _indented(_inside(turn), 2)


def _inside(turn: Turn) -> Iterator[str]:
    yield from _facts(turn)
    if turn.kind == "effect":
        yield short(called(turn.name, turn.arguments), _MOST)
        if turn.result is not None:
            yield f"result: {short(turn.result, _MOST)}"
    before = told_before(turn)
    if before is not None:
        yield before
    yield from _told(turn.messages or ())
    if turn.kind != "effect":
        yield from _said(turn)
    if turn.error:
        yield short(f"{turn.error}: {turn.message or ''}", _MOST)
    became = what_became(turn)
    if became is not None:
        yield became


def _facts(said: Sample | Turn) -> Iterator[str]:
    facts = [short(said.model, 60)] if said.model else []
    if said.input_tokens is not None:
        facts.append(f"{count(said.input_tokens)} tokens in, {count(said.output_tokens)} out")
    if said.latency is not None:
        facts.append(seconds(said.latency))
    if facts:
        yield " · ".join(facts)


def _told(messages: Iterable[Message]) -> Iterator[str]:
    for message in messages:
        media = "".join(f" [{medium.caption}]" for medium in message.media)
        yield f"{short(message.role, 30)}: {short(message.text + media, _MOST)}"


def _said(said: Sample | Turn) -> Iterator[str]:
    for label, text in (("reasoning", said.reasoning), ("answer", said.text), ("tool calls", said.tool_calls)):
        if text is not None:
            yield f"{label}: {short(text, _MOST)}"


def _indented(lines: Iterable[str], by: int) -> Iterator[str]:
    for line in lines:
        yield f"{' ' * by}{line}"
