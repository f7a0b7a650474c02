"""A store that keeps answers in memory: for tests, and as the plainest example of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import LedgerError
from ..types import StoredAnswer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..types import FailedCall, PaidAnswer


@dataclass(frozen=True, slots=True)
class _Call:
    """One sample's answer, and what it answers."""

    row: str
    sample: int
    key: bytes
    answer: StoredAnswer


class MemoryLedger:
    """Keeps answers for as long as it is held: `task.run(rows, ledger=MemoryLedger())`.

    Attributes:
        failures: the step and the call of all that brought no answer, in order.
    """

    def __init__(self) -> None:
        self.failures: list[tuple[str, FailedCall]] = []
        self._calls: dict[str, list[_Call]] = {}
        self._running: set[str] = set()

    def step(self, name: str, config: Mapping[str, Any]) -> MemoryStep:  # noqa: ARG002 - it tells nobody of changes
        """The part of the step `name`, for one run at a time.

        Raises:
            LedgerError: a run of the step is going on already.
        """
        if name in self._running:
            raise LedgerError(f"The step {name!r} is running in this ledger already. Give it another name.")
        self._running.add(name)
        return MemoryStep(self, name, self._calls.setdefault(name, []))

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

    def __init__(self, ledger: MemoryLedger, name: str, calls: list[_Call]) -> None:
        self._ledger = ledger
        self._name = name
        self._calls = calls
        # Only what was there when the run began is given out. In row order, each is found once.
        by_row = sorted(calls, key=lambda call: (_place(call.row), call.sample))
        self._by_key: dict[bytes, list[_Call]] = {}
        for call in reversed(by_row):
            self._by_key.setdefault(call.key, []).append(call)
        self._by_sample = {(call.row, call.sample, call.key): call for call in calls}
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
            self._calls.append(_Call(answer.row, sample, answer.key, stored))
            usage = None

    def keep_failure(self, failure: FailedCall) -> None:
        """Note a call that brought no answer."""
        self._ledger.failures.append((self._name, failure))

    def close(self) -> None:
        """The run of the step is over."""
        self._ledger.release(self._name)


def _place(row: str) -> tuple[int, ...]:
    """A row's place among all: its id is a path of numbers."""
    return tuple(int(part) for part in row.split(".") if part.isdigit())
