"""What the options of a run may be: a type checker would say so, but not everybody asks one."""

from __future__ import annotations

import math
import os
from typing import Any, get_args

from ..errors import ConfigurationError
from ..types import Durability, StoredRequests


def check_storing(durability: Any, requests: Any) -> None:
    """Refuse what is no way to keep answers: another word must not quietly mean the weaker one.

    Raises:
        ConfigurationError: an option has no such value.
    """
    for name, given, kind in (
        ("durability", durability, Durability),
        ("ledger_requests", requests, StoredRequests),
    ):
        known = get_args(kind)
        if given not in known:
            raise ConfigurationError(f"`{name}` is {given!r}; it is {' or '.join(map(repr, known))}.")


def check_max_failed(max_failed: Any) -> None:
    """Refuse what is neither a count nor a fraction.

    Raises:
        ConfigurationError: it is neither.
    """
    if max_failed is None:
        return
    number = isinstance(max_failed, int | float) and not isinstance(max_failed, bool)
    if not number or not max_failed >= 0 or (1 < max_failed < math.inf and max_failed != int(max_failed)):
        raise ConfigurationError(f"`max_failed` is {max_failed!r}; it is a count, or a fraction below 1.")


def check_run_dir(run_dir: Any) -> None:
    """Refuse what names no directory; an empty name would mean the one that the program happens to be in.

    Raises:
        ConfigurationError: it names none.
    """
    if not isinstance(run_dir, str | os.PathLike):
        raise ConfigurationError(f"`run_dir` is {run_dir!r}; it is the path of a directory, as text or as a `Path`.")
    path = os.fspath(run_dir)
    if not isinstance(path, str) or not path.strip() or "\0" in path:
        raise ConfigurationError(f"`run_dir` is {path!r}, which names no directory. Name one, or leave it out.")
