"""A store that keeps answers in memory: for tests, and as the plainest example of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .._engine.ledger.turns import is_behind
from ..errors import LedgerError
from ..types import FailedCall, StoredAnswer, StoredEffect

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from ..errors import GenerationError
    from ..types import PaidAnswer


@dataclass(frozen=True, slots=True)
class _Call:
    """One sample's answer, and what it answers."""

    row: str
    sample: int
    key: bytes
    answer: StoredAnswer
    turn: str | None


class MemoryLedger:
    """Keeps answers for as long as it is held: `task.run(rows, ledger=MemoryLedger())`.

    Attributes:
        failures: the step and the call of all that brought no answer, in order.
        effects: the step and the effect of all that conversations did, in order.
    """

    def __init__(self) -> None:
        self.failures: list[tuple[str, FailedCall]] = []
        self.effects: list[tuple[str, StoredEffect]] = []
        self._calls: dict[str, list[_Call]] = {}
        self._log: list[tuple[str, PaidAnswer | FailedCall | StoredEffect]] = []
        self._running: set[str] = set()

    def step(self, name: str, config: Mapping[str, Any]) -> MemoryStep:  # noqa: ARG002 - it tells nobody of changes
        """The part of the step `name`, for one run at a time.

        Raises:
            LedgerError: a run of the step is going on already.
        """
        if name in self._running:
            raise LedgerError(f"The step {name!r} is running in this ledger already. Give it another name.")
        self._running.add(name)
        return MemoryStep(self, name, self._calls.setdefault(name, []), self._log)

    def release(self, name: str) -> None:
        """The run of step `name` is over."""
        self._running.discard(name)

    def answers(self, step: str) -> list[tuple[str, int, StoredAnswer]]:
        """Row, sample and answer of all that is kept of a step, in the order in which it came."""
        return [(call.row, call.sample, call.answer) for call in self._calls.get(step, ())]

    def close(self) -> None:
        """Nothing is to be let go of: what is kept can be found again."""


class MemoryStep:
    """One step's part of a `MemoryLedger`, for one run."""

    def __init__(self, ledger: MemoryLedger, name: str, calls: list[_Call], log: list[Any]) -> None:
        self._ledger = ledger
        self._name = name
        self._calls = calls
        # Only what was there when the run began is given out. In row order, each is found once.
        by_row = sorted(calls, key=lambda call: (_place(call.row), call.sample))
        self._by_key: dict[bytes, list[_Call]] = {}
        for call in reversed(by_row):
            self._by_key.setdefault(call.key, []).append(call)
        self._by_sample = {(call.row, call.sample, call.key): call for call in calls}
        self._by_row: dict[str, list[_Call]] = {}
        for call in calls:
            self._by_row.setdefault(call.row, []).append(call)
        self._log = log
        self._earlier = [kept for step, kept in log if step == name]  # in the order in which it came
        self._effects = [kept for kept in self._earlier if isinstance(kept, StoredEffect)]
        self._found_calls: set[int] = set()

    def find(self, row: str, key: bytes, samples: int) -> list[StoredAnswer | None]:
        """The answers of earlier runs for a row: its own, else those with its key that no row has taken."""
        own = [self._take(self._by_sample.get((row, sample, key))) for sample in range(samples)]
        return [answer or self._take_moved(key) for answer in own]

    def _take(self, call: _Call | None) -> StoredAnswer | None:
        if call is None or id(call) in self._found_calls:
            return None
        self._found_calls.add(id(call))
        return call.answer

    def _take_moved(self, key: bytes) -> StoredAnswer | None:
        rest = self._by_key.get(key)
        while rest:
            answer = self._take(rest.pop())
            if answer is not None:
                return answer
        return None

    async def keep(self, answer: PaidAnswer) -> None:
        """Keep an answer; it is as safe at once as it will ever be."""
        self._log.append((self._name, answer))
        response = answer.response
        usage = response.usage
        for sample, generation in zip(answer.samples, response.generations, strict=False):
            stored = StoredAnswer(
                generation=generation,
                usage=usage,
                model=response.model,
                latency=answer.latency,
                attempts=answer.attempts,
            )
            self._calls.append(_Call(answer.row, sample, answer.key, stored, answer.turn))
            usage = None

    def keep_failure(self, failure: FailedCall) -> None:
        """Note a call that brought no answer."""
        self._log.append((self._name, failure))
        self._ledger.failures.append((self._name, failure))

    # Conversations

    def find_turn(self, row: str, sample: int, turn: str | None, key: bytes) -> StoredAnswer | GenerationError | None:
        """The answer of an earlier run to a turn, or the failure that its conversation went past."""
        own = [call for call in reversed(self._by_row.get(row, [])) if call.key == key]
        for call in sorted(own, key=lambda call: (call.sample, call.turn) != (sample, turn)):
            answer = self._take(call)
            if answer is not None:
                return answer
        return self._failure(row, sample, turn, key) or self._take_moved(key)

    def _failure(self, row: str, sample: int, turn: str | None, key: bytes) -> GenerationError | None:
        for kept in reversed(self._earlier):
            if not isinstance(kept, FailedCall) or kept.retried or sample not in kept.samples:
                continue
            if (kept.row, kept.turn, kept.key) == (row, turn, key) and self._went_past(kept, sample):
                return kept.error
        return None

    def _went_past(self, failed: FailedCall | StoredEffect, sample: int) -> bool:
        """Tell whether a conversation went on after what failed in it."""
        later = self._earlier[self._earlier.index(failed) + 1 :]
        return any(
            kept.row == failed.row and sample in _samples(kept) and is_behind(kept.turn, failed.turn) for kept in later
        )

    def find_effect(self, row: str, sample: int, turn: str, key: bytes) -> StoredEffect | None:
        """The effect of an earlier run at a turn: the row's own, else one with its key that no row has taken."""
        alike = [effect for effect in self._effects if effect.key == key and id(effect) not in self._found_calls]
        alike.sort(key=lambda each: (each.row != row, (each.sample, each.turn) != (sample, turn), _place(each.row)))
        for effect in alike:
            if effect.error is None or (effect.row == row and self._went_past(effect, sample)):
                self._found_calls.add(id(effect))
                return effect
        return None

    async def keep_effect(self, effect: StoredEffect) -> None:
        """Keep an effect, as `keep` an answer."""
        self._log.append((self._name, effect))
        self._ledger.effects.append((self._name, effect))

    def close(self) -> None:
        """The run of the step is over."""
        self._ledger.release(self._name)


def _samples(kept: PaidAnswer | FailedCall | StoredEffect) -> Collection[int]:
    return [kept.sample] if isinstance(kept, StoredEffect) else kept.samples


def _place(row: str) -> tuple[int, ...]:
    """A row's place among all: its id is a path of numbers."""
    return tuple(int(part) for part in row.split(".") if part.isdigit())
