"""Keywords that several methods take alike: each is named once, in a `TypedDict`, and shown in all their signatures."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

F = TypeVar("F", bound="Callable[..., Any]")


def spelt_out(keywords: Any, defaults: Mapping[str, Any]) -> Callable[[F], F]:
    """Have a method's `**options: Unpack[…]` shown as the keywords that it is, by `help` and whatever reads signatures.

    Args:
        keywords: the `TypedDict`. defaults: of its keys; None where there is none.
    """

    def decorate(method: F) -> F:
        signature = inspect.signature(method)
        *own, _options = signature.parameters.values()
        shown = [_shown(name, hint, defaults.get(name)) for name, hint in keywords.__annotations__.items()]
        method.__signature__ = signature.replace(parameters=[*own, *shown])  # type: ignore[attr-defined]  # functions take attributes
        return method

    return decorate


def _shown(name: str, hint: Any, default: Any) -> inspect.Parameter:
    written = getattr(hint, "__forward_arg__", hint)  # as in the source: it may name what is imported for checkers only
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=written)


def check_keywords(method: Callable[..., Any], given: Iterable[str]) -> None:
    """Refuse what Python itself would, had the method a parameter for each keyword.

    Args:
        method: one that is `spelt_out`. given: its keywords.

    Raises:
        TypeError: there is no such keyword; it names those that there are.
    """
    parameters = inspect.signature(method).parameters.values()
    known = [each.name for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY]
    for name in given:
        if name not in known:
            listed = ", ".join(f"`{each}`" for each in known)
            near = did_you_mean(name, known)
            raise TypeError(f"`{method.__qualname__}` has no option `{name}`.{near} Its options are {listed}.")
