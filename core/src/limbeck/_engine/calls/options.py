"""What the options of a run may be: a type checker would say so, but not everybody asks one."""

from __future__ import annotations

import math
import os
from typing import Any, get_args

from ...errors import ConfigurationError
from ...types import Durability, StoredRequests

_CHOICES: dict[str, tuple[Any, ...]] = {
    "durability": get_args(Durability),
    "ledger_requests": get_args(StoredRequests),
    "ordered": (True, False),
    "overwrite": (True, False),
}


def check_options(**options: Any) -> None:
    """Raise unless each of these options of a run has a value that it can have. To be called before anything starts.

    Another word for a way to keep answers must not quietly mean the weaker one, and an empty name of
    a directory not the one that the program happens to be in.

    Raises:
        ConfigurationError: one has not; it names the option, its value and what it can be.
    """
    for name, value in options.items():
        if name == "max_failed":
            _check_max_failed(value)
        elif name == "run_dir":
            _check_run_dir(value)
        elif value not in _CHOICES[name]:
            known = " or ".join(map(repr, _CHOICES[name]))
            raise ConfigurationError(f"`{name}` is {value!r}; it is {known}.")


def _check_max_failed(max_failed: Any) -> None:
    if max_failed is None:
        return
    number = isinstance(max_failed, int | float) and not isinstance(max_failed, bool)
    if not number or not max_failed >= 0 or (1 < max_failed < math.inf and max_failed != int(max_failed)):
        raise ConfigurationError(f"`max_failed` is {max_failed!r}; it is a count, or a fraction below 1.")


def _check_run_dir(run_dir: Any) -> None:
    if run_dir is None:
        return
    if not isinstance(run_dir, str | os.PathLike):
        raise ConfigurationError(f"`run_dir` is {run_dir!r}; it is the path of a directory, as text or as a `Path`.")
    path = os.fspath(run_dir)
    if not isinstance(path, str) or not path.strip() or "\0" in path:
        raise ConfigurationError(f"`run_dir` is {path!r}, which names no directory. Name one, or leave it out.")
