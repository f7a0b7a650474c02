"""The rows' claims on the entries of batches that an earlier run left."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from ..calls.jobs import Unit

if TYPE_CHECKING:
    from ..ledger.batch_records import Entry


class Claims:
    """Entries whose rows have not come yet, by the key of their request."""

    def __init__(self) -> None:
        self._by_key: defaultdict[bytes, dict[int, Entry]] = defaultdict(dict)  # in row order, by identity

    def expect(self, entry: Entry) -> None:
        """A row may come that `entry` is for."""
        self._by_key[entry.key][id(entry)] = entry

    def forget(self, entry: Entry) -> None:
        """No row is to wait for it any more."""
        del self._by_key[entry.key][id(entry)]

    def claim(self, unit: Unit) -> tuple[list[Entry], Unit | None]:
        """Let the samples of `unit` wait for entries.

        Returns:
            The entries, each with the part of the unit that it answers; and the part that none does.
        """
        claimed = []
        rest: Unit | None = unit
        while rest is not None and (entry := self._entry_for(rest)) is not None:
            self.forget(entry)
            rest = _wait_for(entry, rest)
            claimed.append(entry)
        return claimed, rest

    def _entry_for(self, unit: Unit) -> Entry | None:
        """Find the entry for `unit` as with stored answers: the row's own, else one with the same key.

        The row of such an entry may have moved.
        """
        entries = self._by_key.get(unit.job.key, {}).values()
        for entry in entries:
            if entry.row == unit.job.id and not set(entry.samples).isdisjoint(unit.samples):
                return entry
        return next((entry for entry in entries if len(entry.samples) <= len(unit.samples)), None)


def _wait_for(entry: Entry, unit: Unit) -> Unit | None:
    """Give an entry the samples of a unit that it answers, first among its own; the unit of the other samples."""
    own = entry.row == unit.job.id
    served = [s for s in unit.samples if s in entry.samples] if own else list(unit.samples[: len(entry.samples)])
    others = [s for s in entry.samples if s not in served] if own else []
    entry.row, entry.samples, entry.turn = unit.job.id, (*served, *others), unit.job.turn
    entry.unit = _part(unit, served)
    entry.unit.attempts = max(unit.attempts, 1)
    rest = [sample for sample in unit.samples if sample not in served]
    return _part(unit, rest) if rest else None


def _part(unit: Unit, samples: list[int]) -> Unit:
    """The unit for some of its samples."""
    if len(samples) == len(unit.samples):
        return unit
    part = Unit(unit.stream, unit.job, unit.request, samples)
    part.attempts, part.fruitless, part.deadline = unit.attempts, unit.fruitless, unit.deadline
    return part
