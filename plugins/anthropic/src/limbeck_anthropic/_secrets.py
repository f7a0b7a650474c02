"""The secrets of a request: what its authenticating headers hold, and its URL's query."""

from __future__ import annotations

from typing import TYPE_CHECKING

from limbeck.backends import Secrets, is_secret_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# A shorter one is a placeholder for a server that checks none.
_SHORTEST = 8


def secrets_of(headers: Mapping[str, str], more: Iterable[str] = ()) -> Secrets:
    """What no text about a request may show.

    Args:
        headers: the request's. more: further secrets.
    """
    values = (value.removeprefix("Bearer ") for name, value in headers.items() if is_secret_name(name))
    return Secrets(*(value for value in values if len(value) >= _SHORTEST), *more)
