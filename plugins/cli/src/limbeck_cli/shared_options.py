"""Options that several commands take, declared once."""

from __future__ import annotations

from inspect import Parameter, Signature, signature
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def taking(**groups: Callable[..., Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options that functions declare.

    Each function gets its own options as they were typed; what it makes of them is the
    command's argument of that name, in whose place they stand in the help.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        declared = {name: _parameters(group) for name, group in groups.items()}
        parameters: dict[str, Parameter] = {}
        for name, parameter in _parameters(command).items():
            parameters |= declared.get(name, {name: parameter})

        def run(**given: Any) -> None:
            made = {name: groups[name](**{each: given.pop(each) for each in group}) for name, group in declared.items()}
            command(**given, **made)

        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__annotations__ = {name: each.annotation for name, each in parameters.items()}
        run.__signature__ = Signature(list(parameters.values()))  # type: ignore[attr-defined]  # where typer looks
        return run

    return decorate


def _parameters(function: Callable[..., Any]) -> dict[str, Parameter]:
    """The parameters with their annotations evaluated; by name, since those with a default may come first."""
    found = signature(function, eval_str=True).parameters
    return {name: each.replace(kind=Parameter.KEYWORD_ONLY) for name, each in found.items()}
