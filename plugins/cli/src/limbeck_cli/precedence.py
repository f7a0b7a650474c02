"""Who gets a name that distributions declare, and why: the registry's rules, with their reasons.

A pin of the user's comes first, then an official pack, then the only one who offers it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from limbeck._registry.index import OFFICIAL, normalise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from limbeck._registry.index import Entry


@dataclass(frozen=True, slots=True)
class Decision:
    """Who gets a name.

    Attributes:
        winner: None where asking for the name is an error. reason: why.
    """

    winner: Entry | None
    reason: str


def decide(name: str, entries: Sequence[Entry]) -> Decision:
    """Who of `entries`, of which there is at least one, gets `name`."""
    if "/" in name:
        return Decision(entries[0], "a qualified name means one distribution")
    pinned = _pin(name)
    if pinned is not None:
        chosen = next((entry for entry in entries if entry.distribution == pinned), None)
        pin = f'LIMBECK_PIN="{name}={pinned}"'
        return Decision(
            chosen, f"{pin} chooses it" if chosen else f"{pin} chooses a distribution that does not offer it"
        )
    if len(entries) == 1:
        return Decision(entries[0], "nobody else offers it")
    official = [entry for entry in entries if entry.distribution in OFFICIAL]
    if len(official) == 1:
        return Decision(official[0], "it is an official pack, whose names no other can take over")
    choice = f'LIMBECK_PIN="{name}={min(entry.distribution for entry in entries)}"'
    return Decision(None, f"several offer it. Use a qualified name, or choose one for good with {choice}")


def _pin(name: str) -> str | None:
    pairs = (item.partition("=") for item in os.environ.get("LIMBECK_PIN", "").replace(",", " ").split())
    return {pinned: normalise(distribution) for pinned, _, distribution in pairs}.get(name)
