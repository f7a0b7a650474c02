"""What `limbeck.llms`, `limbeck.tasks` and `limbeck.steps` do: find a class by its own name, lazily."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .registry import default_registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from .index import Kind


def lazy_namespace(kind: Kind, module: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The module-level `__getattr__` and `__dir__` of the namespace of `kind`."""

    def find(name: str) -> Any:
        if not name[:1].isupper():  # dunders and lower-case names are Python's own questions, never a class
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return default_registry().find_class(kind, name)

    return find, lambda: default_registry().class_names(kind)
