"""The differences between two configurations."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def config_text(config: Mapping[str, Any]) -> str:
    """A configuration as it is stored and compared."""
    return json.dumps(config, sort_keys=True, default=str)


def changes(old: Any, new: Any, place: str = "") -> list[str]:
    """List the differences between two configurations, one `key: old -> new` each."""
    if isinstance(old, dict) and isinstance(new, dict):
        names = [*old, *(name for name in new if name not in old)]
        return [
            change
            for name in names
            for change in changes(old.get(name), new.get(name), f"{place}.{name}" if place else str(name))
        ]
    if old != new and _are_parts(old) and _are_parts(new) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return [change for number, (before, now) in pairs for change in changes(before, now, f"{place}[{number}]")]
    return [] if old == new else [f"{place}: {_short(old)} -> {_short(new)}"]


def _are_parts(value: Any) -> bool:
    """Tell whether a value is a list of dicts, such as the parts of a message."""
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
