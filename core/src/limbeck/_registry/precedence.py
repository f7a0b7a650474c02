"""Who gets a name that several offer, and why.

A pin of the user's comes first, then an official pack, then the only one who offers it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from .index import OFFICIAL, normalise

if TYPE_CHECKING:
    from collections.abc import Sequence


class Offer(Protocol):
    """A name that a distribution offers, declared or registered by a hook."""

    @property
    def distribution(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def qualified(self) -> str: ...


AnyOffer = TypeVar("AnyOffer", bound=Offer)


@dataclass(frozen=True, slots=True)
class Decision(Generic[AnyOffer]):
    """Who gets a name.

    Attributes:
        winner: None where asking for the name is an error. reason: why.
    """

    winner: AnyOffer | None
    reason: str


def decide(name: str, offers: Sequence[AnyOffer]) -> Decision[AnyOffer]:
    """Who of `offers`, of which there is at least one, gets `name`."""
    if "/" in name:
        return Decision(offers[0], "a qualified name means one distribution")
    pinned = pins().get(name)
    if pinned is not None:
        chosen = next((offer for offer in offers if offer.distribution == pinned), None)
        pin = f'LIMBECK_PIN="{name}={pinned}"'
        return Decision(
            chosen, f"{pin} chooses it" if chosen else f"{pin} chooses a distribution that does not offer it"
        )
    if len(offers) == 1:
        return Decision(offers[0], "nobody else offers it")
    official = [offer for offer in offers if offer.distribution in OFFICIAL]
    if len(official) == 1:
        return Decision(official[0], "it is an official pack, whose names no other can take over")
    choice = f'LIMBECK_PIN="{name}={min(offer.distribution for offer in offers)}"'
    return Decision(None, f"several offer it. Use a qualified name, or choose one for good with {choice}")


def pins() -> dict[str, str]:
    """What the user has pinned: a name, to the distribution that it comes from."""
    pairs = (item.partition("=") for item in os.environ.get("LIMBECK_PIN", "").replace(",", " ").split())
    return {name: normalise(distribution) for name, _, distribution in pairs}
