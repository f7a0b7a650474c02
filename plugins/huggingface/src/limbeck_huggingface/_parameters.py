"""Generation parameters, compared with what the installed SDK takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from limbeck.errors import ConfigurationError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def check_names(given: Iterable[str], *, known: frozenset[str], reserved: Mapping[str, str], subject: str) -> None:
    """Raise `ConfigurationError` for a name in `given` that is not in `known`, or is in `reserved`.

    Args:
        given: the names.
        known: what the SDK takes.
        reserved: what Limbeck sets itself, each with what to use in its place.
        subject: whose parameters they are.
    """
    for name in given:
        if name in reserved:
            raise ConfigurationError(f"`generation_kwargs` must not hold {name!r}: {reserved[name]}.")
        if name not in known:
            raise ConfigurationError(
                f"{subject} takes no parameter {name!r}.{did_you_mean(name, known - reserved.keys())} "
                f"It takes {', '.join(sorted(known - reserved.keys()))}."
            )
