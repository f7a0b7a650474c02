"""`${env:NAME}` and `${env:NAME:-default}`: what a file takes from the environment.

Nothing else is interpolated. What came from the environment may be a secret, so it is known
here, and is not repeated in an error; where a pipeline is written down again, the reference is.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ....errors import ConfigurationError, did_you_mean
from .scalars import scalar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .document import Keys

_REFERENCE = re.compile(r"\$(\$?)\{env:([^}]*)\}")
_INSIDE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
_LONG = 8  # characters: so long a text is no accident, wherever it stands


def refers(value: Any) -> bool:
    """Tell whether a value, or one inside it, takes something from the environment."""
    if isinstance(value, str):
        return any(not found[1] for found in _REFERENCE.finditer(value))
    if isinstance(value, dict):
        return any(map(refers, value.values()))
    return isinstance(value, list) and any(map(refers, value))


def escaped(value: Any) -> Any:
    """`value`, so written that what looks like a reference in it stays as it is."""
    if isinstance(value, str):
        return value.replace("${env:", "$${env:")
    if isinstance(value, dict):
        return {key: escaped(each) for key, each in value.items()}
    return [escaped(each) for each in value] if isinstance(value, list) else value


@dataclass(slots=True)
class Environment:
    """The variables, and what was taken from them.

    Attributes:
        variables: by name. taken: each text that was taken, to the reference to it.
    """

    variables: Mapping[str, str] = field(default_factory=lambda: os.environ)
    taken: dict[str, str] = field(default_factory=dict)

    def text(self, written: str, where: str) -> str:
        """`written` with its references replaced.

        Raises:
            ConfigurationError: a variable is not set, or a reference is malformed.
        """
        return _REFERENCE.sub(lambda found: self._replacement(found, where), written)

    def _replacement(self, found: re.Match[str], where: str) -> str:
        if found[1]:
            return found[0][1:]
        inside = _INSIDE.fullmatch(found[2])
        if inside is None:
            raise ConfigurationError(
                f"{where}: {found[0]!r} is no reference to the environment; write `${{env:NAME}}` or "
                "`${env:NAME:-default}`."
            )
        name, default = inside.groups()
        value = self.variables.get(name)
        if value is None:
            if default is None:
                raise ConfigurationError(
                    f"{where}: the environment variable `{name}` is not set.{did_you_mean(name, self.variables)} "
                    f"Set it, or give a default: `${{env:{name}:-…}}`."
                )
            return str(default)
        if value:
            self.taken[value] = f"${{env:{name}}}"
        return value

    def resolved(self, value: Any, where: Callable[[Keys], str], read: Callable[[str], Any] = scalar) -> Any:
        """`value` with all references in it replaced.

        Args:
            value: data. where: the place of what keys inside it lead to.
            read: what a text stands for that is nothing but one reference.
        """
        if isinstance(value, str):
            text = self.text(value, where(()))
            return read(text) if refers(value) and _REFERENCE.fullmatch(value) else text
        if isinstance(value, dict):
            return {key: self.resolved(each, _below(where, key)) for key, each in value.items()}
        if isinstance(value, list):
            return [self.resolved(each, _below(where, place)) for place, each in enumerate(value)]
        return value

    def hidden(self, message: str) -> str:
        """`message` without what was taken from the environment."""
        for text, reference in sorted(self.taken.items(), key=lambda item: -len(item[0])):
            for form in {text, repr(text)[1:-1], json.dumps(text)[1:-1]}:
                pattern = re.escape(form)
                if len(form) < _LONG:  # a short one is replaced as a word only, or it would tear other words apart
                    pattern = rf"(?<!\w){pattern}(?!\w)"
                message = re.sub(pattern, lambda _, reference=reference: reference, message)  # type: ignore[misc]
        return message


def _below(where: Callable[[Keys], str], key: str | int) -> Callable[[Keys], str]:
    return lambda keys: where((key, *keys))
