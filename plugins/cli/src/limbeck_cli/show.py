"""`limbeck show`: one task, LLM, step or tool in full, from its class and its own first example."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any, get_args

from limbeck import plugins
from limbeck.errors import ConfigurationError
from limbeck.types import ModelKind

from .exits import echo
from .pydantic_guard import make_pydantic_usable
from .tables import show_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from limbeck.plugins import Kind
    from limbeck.types import Example

_WIDEST_DEFAULT = 60  # characters


def show(kind: Kind, name: str, settings: Sequence[str]) -> None:
    """Write all there is to know of `name` to stdout.

    Raises:
        LimbeckError: there is no such name, or a setting does not fit.
    """
    make_pydantic_usable()
    cls = plugins.get(kind, name)
    _show_source(kind, name, cls)
    if kind == "tool":
        _show_tool(cls)
        return
    if kind in get_args(ModelKind):
        _show_fields(cls)
        _show_capabilities(cls)
        return
    instance, lacking = _instance(kind, cls, name, settings)
    if instance is not None:
        _show_columns(instance)
    _show_fields(cls)
    if lacking:
        echo(f"\n{lacking}")
    elif kind == "task":
        _show_example(instance)


def _heading(text: str) -> None:
    echo()
    echo(text, bold=True)


def _show_source(kind: Kind, name: str, cls: Any) -> None:
    echo(f"{kind.replace('_', ' ')} {name}", bold=True)
    target = f"{cls.__module__}:{getattr(cls, '__qualname__', type(cls).__qualname__)}"
    listing = next((each for each in plugins.listings(kind) if name in (each.name, each.qualified)), None)
    owner = f"{listing.distribution} {listing.version}, " if listing and listing.distribution else ""
    echo(f"  {owner}{target}")
    doc = inspect.getdoc(cls) if cls.__doc__ else None
    if doc:
        echo(f"\n{_prose(doc)}")


def _show_tool(tool: Any) -> None:
    """What a model is told of a tool; the fields of a class of tools, which is asked only when it is used."""
    from limbeck.tools import tool_of

    if isinstance(tool, type):
        _show_fields(tool)
        return
    made = tool_of(tool)
    _heading("A model is told")
    _show_json({name: getattr(made, name) for name in ("name", "description", "parameters")})


def _prose(doc: str) -> str:
    """A docstring up to its list of attributes, which is shown as a table."""
    return doc.partition("\nAttributes:")[0].strip()


def _instance(kind: Kind, cls: type, name: str, settings: Sequence[str]) -> tuple[Any, str]:
    """An instance on the offline model; or None, and what it cannot be made without."""
    from limbeck.recipes import build_one

    fields = {getattr(cls, "model_kind", "llm"): "offline"} if kind == "task" else {}
    try:
        return build_one(cls, fields, settings, subject=f"the {kind} {name!r}"), ""
    except ConfigurationError as exc:
        if settings:
            raise
        return None, f"For its columns and prompt, give what it needs with `--set FIELD=VALUE`. {exc}"


def _show_columns(step: Any) -> None:
    rows = [
        [direction, name, "required" if required else "optional"]
        for direction, columns in (("reads", step.inputs), ("adds", step.outputs))
        for name, required in (columns.items() if isinstance(columns, dict) else [(each, True) for each in columns])
    ]
    if rows:
        _heading("Columns")
        show_table(["it", "column", "is"], rows)


def _short(default: str) -> str:
    """A default as it fits into a table: a prompt is shown by its beginning."""
    return default if len(default) <= _WIDEST_DEFAULT else f"{default[: _WIDEST_DEFAULT - 1]}…"


def _show_fields(cls: type) -> None:
    from limbeck.recipes import describe_fields

    fields = describe_fields(cls)
    if fields:
        _heading("Fields")
        table = [
            [each.name, each.type, "(required)" if each.required else _short(each.default), each.meaning]
            for each in fields
        ]
        show_table(["field", "type", "default", "meaning"], table)


def _show_capabilities(cls: type) -> None:
    from dataclasses import asdict, is_dataclass

    capabilities = getattr(cls, "capabilities", None)
    if is_dataclass(capabilities) and not isinstance(capabilities, type):
        _heading("Capabilities")
        echo(f"  {', '.join(name for name, able in asdict(capabilities).items() if able) or 'none'}")


def _show_example(task: Any) -> None:
    examples: Sequence[Example] = task.examples() if callable(getattr(task, "examples", None)) else ()
    example = next(iter(examples), None)
    if example is None:
        echo("\nIt has no example.")
        return
    _heading("Example row")
    _show_json(example.row)
    converses = getattr(task, "converse", None) is not None
    if not converses:
        _show_prompt(task.format_input(example.row))
    for answer in example.raw_output if converses else [example.raw_output]:
        _heading("A model's answer")
        echo("\n".join(f"  {line}" for line in _shown(answer).splitlines()))
    _heading("Output columns")
    _show_json(example.output)


def _show_prompt(asked: Any) -> None:
    _heading("Prompt")
    for role, content in _parts(asked):
        echo(f"  {role}:", fg="cyan")
        text = content if isinstance(content, str) else json.dumps(content, indent=2, ensure_ascii=False)
        echo("\n".join(f"    {line}" for line in text.splitlines()))


def _parts(asked: Any) -> list[tuple[str, Any]]:
    """What a task asks, in parts with their names: a chat's messages, a text, or a query and its candidates."""
    messages = getattr(asked, "asked", asked)  # of a whole request
    if isinstance(messages, list):
        return [(str(message.get("role")), message.get("content")) for message in messages]
    if isinstance(asked, tuple):
        query, candidates = asked
        return [("query", query), *(("candidate", candidate) for candidate in candidates)]
    return [("text", asked)]


def _shown(answer: Any) -> str:
    return answer if isinstance(answer, str) else repr(answer)


def _show_json(value: Any) -> None:
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    echo("\n".join(f"  {line}" for line in text.splitlines()))
