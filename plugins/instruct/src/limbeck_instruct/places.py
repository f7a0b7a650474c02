"""Prompts with places for a row's texts, written as `<PROMPT>`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from limbeck.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

_PLACE = re.compile(r"<([A-Z]+)>")


def filled(template: str, **texts: str) -> str:
    """A template with its places filled, all at once: a `<RESPONSE>` inside of an instruction stays as it is."""
    return _PLACE.sub(lambda place: texts.get(place[1], place[0]), template)


def check_places(template: str, places: Iterable[str], *, what: str) -> None:
    """See that a template has all its places.

    Raises:
        ConfigurationError: it lacks one.
    """
    for place in places:
        if f"<{place}>" not in template:
            raise ConfigurationError(f"{what} has no `<{place}>`. Put it where the text of the row belongs.")
