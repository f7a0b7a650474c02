"""One tool: a function with what a model is told of it; and whatever else stands for a tool."""

from __future__ import annotations

import functools
import importlib
import inspect
import re
from typing import TYPE_CHECKING, Any, overload

from .._docstrings import purpose_in
from .._registry.registry import default_registry
from ..errors import ConfigurationError
from ..protocols import check_tool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..types import JSONSchema
    from ._arguments import Arguments

# What all providers take.
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class Tool:
    """A function that a model may call.

    Its schema is that of its signature: types, defaults, `Annotated[…, Field(description=…)]`, and the `Args:` of its
    docstring. It is `def`, which runs in a thread, or `async def`. It is still called as the function that it is.

    Args:
        function: with a type for each parameter. It returns text, or what JSON can hold.
        name: letters, digits, `_` and `-`; the function's by default. description: for the model; by default the
            docstring up to its first section.
        timeout: seconds for one call. max_concurrency: calls at once, of all rows together.

    Raises:
        ConfigurationError: it is no function of one result, or the name is none that providers take.
    """

    __name__: str

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        description: str | None = None,
        timeout: float = 60.0,
        max_concurrency: int = 8,
    ) -> None:
        _check_function(function)
        functools.update_wrapper(self, function, updated=())
        self.function = function
        self.name: str = getattr(function, "__name__", "") if name is None else name
        self.description = purpose_in(getattr(function, "__doc__", None)) if description is None else description
        self.timeout = timeout
        self.max_concurrency = max_concurrency
        check_name(self.name)
        if not (timeout > 0 and max_concurrency > 0):
            raise ConfigurationError(f"`timeout` and `max_concurrency` of the tool `{self.name}` must be above 0.")

    @functools.cached_property
    def _arguments(self) -> Arguments:
        from ._arguments import Arguments

        return Arguments(self.function, self.name)

    @property
    def parameters(self) -> JSONSchema:
        """The JSON Schema of the arguments.

        Raises:
            ConfigurationError: a parameter has no type, or one that JSON has no form for.
        """
        return self._arguments.schema

    @property
    def call(self) -> Callable[[dict[str, Any]], Any]:
        """Calls the function with arguments as a model gives them; a coroutine function where that is one."""
        return self._awaited if is_coroutine_function(self.function) else self._called

    def _called(self, arguments: dict[str, Any]) -> Any:
        positional, named = self._arguments.read(arguments)
        return self.function(*positional, **named)

    async def _awaited(self, arguments: dict[str, Any]) -> Any:
        positional, named = self._arguments.read(arguments)
        return await self.function(*positional, **named)

    def check(self, arguments: Mapping[str, Any]) -> None:
        """Raise `ValueError`, for the model to read, unless the arguments fit."""
        self._arguments.read(arguments)

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Call the function itself."""
        return self.function(*args, **named)

    def __repr__(self) -> str:
        return f"Tool({self.name!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tool) and self._facts() == other._facts()

    def __hash__(self) -> int:
        return hash((self.name, self.function))

    def _facts(self) -> tuple[Any, ...]:
        return self.function, self.name, self.description, self.timeout, self.max_concurrency

    def __reduce__(self) -> tuple[Any, ...]:
        # A decorated function is found under its name as this tool, and pickled by it.
        path = getattr(self, "__module__", None), getattr(self, "__qualname__", None)
        if _found_at(*path) is self:
            return _found_at, path
        return functools.partial(
            Tool,
            name=self.name,
            description=self.description,
            timeout=self.timeout,
            max_concurrency=self.max_concurrency,
        ), (self.function,)

    def __deepcopy__(self, _memo: Any) -> Tool:
        return self  # nothing in it changes


def _found_at(module: Any, qualname: Any) -> Any:
    try:
        found: Any = importlib.import_module(module)
        for part in qualname.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError):
        return None
    return found


def is_coroutine_function(function: Any) -> bool:
    """Tell whether calling it gives a coroutine, as far as this is known before."""
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def _check_function(function: Any) -> None:
    if not callable(function) or isinstance(function, type):
        what = f"the class `{function.__name__}`" if isinstance(function, type) else type(function).__name__
        raise ConfigurationError(f"A tool is made of a function, not of {what}.")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigurationError(f"The tool `{function.__name__}` is a generator; a tool returns one result.")


def check_name(name: Any) -> None:
    """Raise `ConfigurationError` unless all providers take the name."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ConfigurationError(
            f"{name!r} cannot name a tool: a name is up to 64 letters, digits, `_` and `-`. Give it one, as in "
            "`Tool(function, name='look_up')`."
        )


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...
@overload
def tool(
    *, name: str | None = None, description: str | None = None, timeout: float = 60.0, max_concurrency: int = 8
) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(function: Any = None, /, **options: Any) -> Any:
    """Make a tool of a function: `@tool`, or `@tool(name=…, description=…, timeout=…, max_concurrency=…)`.

    The arguments are those of `Tool`, as are the errors.
    """
    if function is None:
        return lambda decorated: Tool(decorated, **options)
    return Tool(function)


def get_tool(name: str, **fields: Any) -> Any:
    """The tool of that name, short (`web-search`) or qualified (`acme-tools/web-search`), ready for `run_tools`.

    Args:
        fields: those of a class of tools, such as `mcp`.

    Raises:
        ConfigurationError: fields, and it is no class.
        UnknownNameError, AmbiguousNameError, PluginLoadError, PluginContractError: as `get_task`.
    """
    found = default_registry().get("tool", name)
    if isinstance(found, type):
        return found(**fields)
    if fields:
        raise ConfigurationError(f"The tool {name!r} takes no fields; it was given {', '.join(map(repr, fields))}.")
    return tool_of(found)


def tool_of(value: Any) -> Any:
    """The tool, or the set of tools, that a value stands for.

    Args:
        value: a typed function, a tool, a set of tools, a registered name, or `{"tool": name, **fields}`.

    Raises:
        ConfigurationError: it stands for none.
        PluginContractError: it lacks what a tool must have.
    """
    if isinstance(value, str):
        return get_tool(value)
    if isinstance(value, dict):
        return _from_mapping(value)
    if isinstance(value, type):
        raise ConfigurationError(
            f"A tool was given as the class `{value.__name__}`; give it an instance, `{value.__name__}(…)`."
        )
    if isinstance(value, Tool):
        return value
    if callable(value) and not hasattr(value, "parameters") and not hasattr(value, "list_tools"):
        return Tool(value)
    check_tool(value)
    if not hasattr(value, "list_tools"):
        check_name(value.name)
    return value


def _from_mapping(config: dict[str, Any]) -> Any:
    fields = dict(config)
    name = fields.pop("tool", None)
    if not isinstance(name, str):
        raise ConfigurationError(
            "A tool given as a mapping needs the key `tool`, its registered name; "
            f"it has {', '.join(map(repr, config)) or 'no keys'}."
        )
    return get_tool(name, **fields)
