"""The Jinja sandbox that every template and expression runs in: prompts, filters, routes, computed columns.

Importing this module imports jinja2.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from typing import Any

from jinja2 import Undefined, meta, nodes, pass_environment
from jinja2.filters import do_int
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from ._files.json_rows import as_json

__all__ = ["Sandbox", "columns_in", "sandbox"]


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja for values out of rows: `order.items` is the key of a dict, never a method of Python's.

    A method can be called (`order.items()`, `name.upper()`), and that is all: what is looked up
    and is no key and no item is undefined. `tojson` gives JSON as it is, not as HTML.
    """

    intercepted_binops = frozenset({"*", "**"})

    def __init__(self, **options: Any) -> None:
        super().__init__(autoescape=False, **options)  # a prompt is not HTML
        self.filters["tojson"] = _tojson
        self.filters["attr"] = _attr
        self.filters["int"] = _int

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Mapping):
            return self._item(obj, attribute)
        value = super().getattr(obj, attribute)
        if _is_pythons(obj, attribute, value):
            return self._item(obj, attribute)
        return value

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Mapping):
            return self._item(obj, argument)
        value = super().getitem(obj, argument)
        if isinstance(argument, str) and _is_pythons(obj, argument, value):
            return self._item(obj, argument)
        return value

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Multiply, or raise to a power, where the result is not beyond reason: a row's numbers may be any."""
        size = _size(operator, left, right)
        if size > _LARGEST:
            raise OverflowError(f"the result of `{operator}` would be too large")
        return super().call_binop(context, operator, left, right)

    def method(self, obj: Any, name: str) -> Any:
        """The method that `obj.name(…)` calls: here a method comes before a key."""
        return super().getattr(obj, name)

    def _item(self, obj: Any, key: Any) -> Any:
        try:
            return obj[key]
        except (TypeError, LookupError):
            pass
        if isinstance(key, str) and hasattr(obj, key):
            how = f"; to call its method, write `.{key}()`" if callable(getattr(obj, key)) else ""
            return self.undefined(hint=f"a `{type(obj).__name__}` has no key {key!r}{how}", obj=obj, name=key)
        return self.undefined(obj=obj, name=key)

    def _generate(self, source: nodes.Template, *args: Any, **options: Any) -> str:
        if "self" not in _made_in(source):
            source = _SelfAsAColumn(_of_blocks(source)).visit(source)
        return super()._generate(_MethodCalls().visit(source), *args, **options)


class _MethodCalls(NodeTransformer):
    """Has `value.name(…)` look up a method, by `Sandbox.method`, where `value.name` alone is a key."""

    def visit_Call(self, node: nodes.Call) -> nodes.Node:  # noqa: N802 - Jinja's name for it
        self.generic_visit(node)
        called = node.node
        if isinstance(called, nodes.Getattr):
            named = [called.node, nodes.Const(called.attr)]
            method = nodes.EnvironmentAttribute("method")
            node.node = nodes.Call(method, named, [], None, None, lineno=node.lineno)
        return node


class _SelfAsAColumn(NodeTransformer):
    """Has `self` look up a column, where Jinja has an object of its own for it; but not where that gives a block.

    Args:
        of_blocks: where it does.
    """

    def __init__(self, of_blocks: list[nodes.Name]) -> None:
        self._of_blocks = of_blocks

    def visit_Name(self, node: nodes.Name) -> nodes.Node:  # noqa: N802 - Jinja's name for it
        if node.name != "self" or any(node is each for each in self._of_blocks):
            return node
        resolve = nodes.Call(
            nodes.EnvironmentAttribute("method"), [nodes.ContextReference(), nodes.Const("resolve")], [], None, None
        )
        return nodes.Call(resolve, [nodes.Const(node.name)], [], None, None, lineno=node.lineno)


def columns_in(tree: nodes.Template) -> tuple[str, ...]:
    """The names that a parsed template looks up in the row, in the order they appear.

    `self` is one, except where it calls a block of the template (`self.title()`), and so is the name of a function of
    Jinja's, such as `range`, where it is not called.
    """
    of_blocks = {id(name) for name in _of_blocks(tree)}
    names = [name for name in tree.find_all(nodes.Name) if name.ctx == "load" and id(name) not in of_blocks]
    called = {id(call.node) for call in tree.find_all(nodes.Call)}
    own = {"self", *(tree.environment.globals if tree.environment else ())} - _made_in(tree)
    used = meta.find_undeclared_variables(tree) | {
        name.name for name in names if name.name in own and (name.name == "self" or id(name) not in called)
    }
    return tuple(dict.fromkeys(name.name for name in names if name.name in used))


def _of_blocks(tree: nodes.Template) -> list[nodes.Name]:
    """Each `self` of `self.title()` and `self["title"]()`, where the template has a block `title`."""
    blocks = {block.name for block in tree.find_all(nodes.Block)}
    parts = [call.node for call in tree.find_all(nodes.Call) if isinstance(call.node, nodes.Getattr | nodes.Getitem)]
    named = [part.node for part in parts if _key(part) in blocks]
    return [name for name in named if isinstance(name, nodes.Name) and name.name == "self"]


def _key(part: nodes.Getattr | nodes.Getitem) -> object:
    if isinstance(part, nodes.Getattr):
        return part.attr
    return part.arg.value if isinstance(part.arg, nodes.Const) else None


def _made_in(tree: nodes.Template) -> set[str]:
    """The names that a template gives values to."""
    return {name.name for name in tree.find_all(nodes.Name) if name.ctx != "load"}


def _is_pythons(obj: Any, name: str, value: Any) -> bool:
    """Tell whether `value` is an attribute of Python's own type under that name, rather than a value of the row."""
    if isinstance(obj, Undefined) or isinstance(value, Undefined):
        return False
    return hasattr(obj, name) and (type(obj).__module__ == "builtins" or inspect.isroutine(value))


_LARGEST = 10_000_000  # bits of a number, or items of a text or a list
_MOST_DIGITS = 5_000


def _size(operator: str, left: Any, right: Any) -> int:
    """The size that the result of an operator would have; nought where it is of one."""
    if operator == "**":
        return left.bit_length() * right if isinstance(left, int) and isinstance(right, int) else 0
    text, times = (right, left) if isinstance(left, int) else (left, right)
    return len(text) * times if isinstance(text, str | bytes | list | tuple) and isinstance(times, int) else 0


def _int(value: Any, default: int = 0, base: int = 10) -> Any:
    """Jinja's `int`, which gives the default for what is none; so it is with a decimal of a million digits."""
    if isinstance(value, Decimal) and (not value.is_finite() or value.adjusted() > _MOST_DIGITS):
        return default
    try:
        return do_int(value, default, base)
    except OverflowError:  # of an infinity
        return default


@pass_environment
def _attr(environment: Sandbox, obj: Any, name: str) -> Any:
    return environment.getattr(obj, name)


def _tojson(value: Any, indent: int | None = None) -> str:
    return as_json(list(value) if hasattr(value, "__next__") else value, indent=indent)  # `map` and `select` are lazy


@cache
def sandbox() -> Sandbox:
    """The one sandbox; who needs other settings takes an `overlay` of it."""
    return Sandbox()
