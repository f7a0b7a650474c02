"""Known answers: from the run's own ledger first, then from a cache, and only for the request that is asked."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from limbeck._engine.answers.known_answers import KnownAnswers
from limbeck._engine.calls.jobs import Job
from limbeck._engine.calls.keys import Keyring
from limbeck.testing import MemoryLedger
from limbeck.types import Generation, GenerationRequest, GenerationResponse, PaidAnswer, RunStats, StoredAnswer, Usage

KEYRING = Keyring({"model_name": "m"})
USAGE = Usage(input_tokens=1, output_tokens=1)


def asked(text: str = "hi") -> GenerationRequest:
    return GenerationRequest(messages=[{"role": "user", "content": text}])


class Cache:
    """A cache of a few texts, for whatever key."""

    def __init__(self, *texts: str) -> None:
        self.texts = list(texts)

    def take(self, _key: bytes, number: int) -> list[tuple[StoredAnswer, str]]:
        taken, self.texts = self.texts[:number], self.texts[number:]
        made = [
            StoredAnswer(generation=Generation(text=text), usage=USAGE, model="m", latency=0.5, attempts=1)
            for text in taken
        ]
        return [(answer, "elsewhere") for answer in made]


def ledger_with(*texts: str) -> MemoryLedger:
    """Answers of an earlier run to row 0."""
    ledger = MemoryLedger()
    step = ledger.step("ask", {})
    response = GenerationResponse(generations=[Generation(text=text) for text in texts], usage=USAGE)
    asyncio.run(
        step.keep(
            PaidAnswer(
                row="0",
                samples=list(range(len(texts))),
                key=KEYRING.key(asked()),
                request=asked(),
                response=response,
                latency=0.5,
                attempts=1,
            )
        )
    )
    step.close()
    return ledger


def fill_in(
    *, ledger: MemoryLedger | None = None, cache: Cache | None = None, number: int = 2, text: str = "hi"
) -> tuple[list[int], list[str | None], int]:
    """The samples that are left to ask for, the texts filled in, and how many count as reused."""
    stats, job = RunStats(), Job(0, "0", {}, number)
    step = ledger.step("ask", {}) if ledger else None
    known = KnownAnswers(KEYRING, stats, ledger=step, cache=cast("Any", cache), rerun=None)

    async def scene() -> list[int]:
        rest = list(known.fill_in(job, asked(text)))
        await asyncio.sleep(0)  # copies into the ledger are not waited for
        return rest

    rest = asyncio.run(scene())
    if step is not None:
        step.close()
    assert job.missing == len(rest)
    return rest, [o.generation.text if o.generation else None for o in job.outcomes], stats.reused


def test_with_nowhere_to_look_every_sample_is_asked_for() -> None:
    assert fill_in() == ([0, 1], [None, None], 0)


def test_what_the_ledger_has_is_not_asked_for_again() -> None:
    assert fill_in(ledger=ledger_with("a", "b")) == ([], ["a", "b"], 2)
    assert fill_in(ledger=ledger_with("a")) == ([1], ["a", None], 1)


def test_answers_to_another_request_are_none() -> None:
    assert fill_in(ledger=ledger_with("a", "b"), text="ho") == ([0, 1], [None, None], 0)


def test_the_cache_fills_the_gaps_of_the_ledger_and_is_copied_into_it_without_a_price() -> None:
    ledger = ledger_with("a")
    assert fill_in(ledger=ledger, cache=Cache("c", "d", "e")) == ([], ["a", "c"], 2)
    copied = ledger.answers("ask")[1][2]
    assert (copied.generation.text, copied.usage) == ("c", None)


def test_a_cache_alone_is_enough_as_far_as_it_goes() -> None:
    assert fill_in(cache=Cache("c"), number=3) == ([1, 2], ["c", None, None], 1)
