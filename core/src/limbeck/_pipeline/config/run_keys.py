"""The keys of a file that say how its rows are run; on the command line each is an option."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...errors import ConfigurationError
from .run_settings import RunSettings, amount_of, count_of, max_failed_of
from .text.interpolation import refers

if TYPE_CHECKING:
    from collections.abc import Callable

    from .text.document import Document
    from .text.interpolation import Environment


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("expected a path")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("expected true or false")  # noqa: TRY004 - all faults of a value are one kind here
    return value


def _texts(value: Any) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts or not all(isinstance(each, str) and each for each in texts):
        raise ValueError("expected a path, or a list of paths")
    return texts


def _one_of(*words: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in words:
            raise ValueError(f"expected {' or '.join(f'`{word}`' for word in words)}")
        return str(value)

    return read


RUN_KEYS: dict[str, Callable[[Any], Any]] = {
    "run_dir": _text,
    "no_ledger": _flag,
    "max_failed": max_failed_of,
    "limit": count_of,
    "max_concurrency": count_of,
    "rpm": amount_of,
    "tpm": amount_of,
    "mode": _one_of("online", "batch"),
    "durability": _one_of("normal", "full"),
    "ledger_requests": _one_of("full", "hash"),
    "unordered": _flag,
    "max_cost": amount_of,
    "max_tokens": count_of,
    "max_requests": count_of,
    "allow_unknown_price": _flag,
    "prices": _text,
    "cache": _texts,
}


def read_run_settings(document: Document, environment: Environment) -> RunSettings:
    """Read the keys of a file that say how it is run.

    Raises:
        ConfigurationError: file, line and key, and what was expected there.
    """
    said: dict[str, Any] = {}
    for key, read in RUN_KEYS.items():
        written = document.data.get(key)
        if written is None:
            continue
        value = environment.resolved(written, lambda _, key=key: document.at(key))  # type: ignore[misc]
        try:
            said[key] = read(value)
        except ValueError as exc:
            told = str(exc) if key == "max_failed" else f"{exc}, not {value!r}"
            shown = environment.hidden(told) if refers(written) else told
            raise ConfigurationError(f"{document.at(key)}: `{key}`: {shown}.") from None
    if "run_dir" in said:
        if said.get("no_ledger"):
            raise ConfigurationError(f"{document.at('no_ledger')}: `no_ledger` and `run_dir` exclude each other.")
        said["run_dir"] = str(document.folder / said["run_dir"])
    if "prices" in said:
        said["prices"] = str(document.folder / said["prices"])
    if "cache" in said:
        said["cache"] = [str(document.folder / each) for each in said["cache"]]
    return RunSettings(**said)
