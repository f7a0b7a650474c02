"""Steps: what turns rows into rows."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ClassVar, dataclass_transform

from pydantic import BaseModel, Field, PrivateAttr

from ._configured import Configured
from .errors import ConfigurationError, PluginContractError
from .types import OnError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .types import Row

# The rows of a list that say which columns it has: as many as a stream is looked into.
_DECLARING_ROWS = 256

# The pipeline whose `with` block is open in this context: steps made there join it.
open_pipeline: ContextVar[Any] = ContextVar("limbeck_pipeline", default=None)


if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)  # not public by name


# A subclass of pydantic's metaclass must say again that fields make the constructor, for type checkers.
@dataclass_transform(kw_only_default=True, field_specifiers=(Field, PrivateAttr))
class _StepType(ModelMetaclass):
    """Refuses `inputs = [...]` in a class body with our words; pydantic's speak of annotations."""

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any) -> Any:
        for attribute in ("inputs", "outputs"):
            value = namespace.get(attribute)
            if isinstance(value, list | tuple | set | frozenset | dict):
                remedy = f"`@property` above `def {attribute}(self): return {value!r}`"
                raise PluginContractError(
                    f"`{namespace.get('__module__', '?')}.{name}`",
                    [f"`{attribute} = {value!r}` must be a property: {remedy}"],
                )
        return super().__new__(mcs, name, bases, namespace, **kwargs)


class Step(Configured, metaclass=_StepType):
    """Turns rows into rows.

    A subclass defines `process` and says with `inputs` and `outputs` which columns it reads
    and adds: a list of names, or `{name: required}`. A pipeline gives it one row at a time, so
    that what it yields is known to come of that row: none, one or several.

    Attributes:
        name: unique in a pipeline; by default the registered name, else the class name in kebab-case.
        input_mappings: the step's column name to the rows' name for it.
        output_mappings: the step's column name to the name it gets in the rows.
        on_error: in a pipeline, what becomes of a row on which `process` raises: "keep" it with
            nulls and the error beside them, "drop" it, or "raise".
    """

    _kind_of_class: ClassVar[str] = "step"

    version: ClassVar[str] = "1"
    """Part of what identifies stored results. Raise it when the code changes."""

    stored: ClassVar[bool] = False
    """Whether a pipeline keeps the results in its ledger, so that a resumed run takes them from
    there: for what costs more than reading it back."""

    cpu_bound: ClassVar[bool] = False
    """Whether a pipeline runs it in a pool of processes; the step must pickle."""

    in_order: ClassVar[bool] = False
    """Whether rows must come to it in their order: it keeps a state, and would else give other
    rows in every run."""

    name: str = ""
    input_mappings: dict[str, str] = Field(default_factory=dict)
    output_mappings: dict[str, str] = Field(default_factory=dict)
    on_error: OnError = "keep"

    def model_post_init(self, _context: Any, /) -> None:
        if not self.name:
            self.__dict__["name"] = self._default_name()  # not counted as set by the user
        self._check_columns()
        self._check_mappings()
        pipeline = open_pipeline.get()
        if pipeline is not None:
            pipeline.add(self)

    def __rshift__(self, following: Any) -> Any:
        """`a >> b` and `a >> [b, c]`: rows go on from here to there. Gives what stands on the right."""
        return _connected(self, following)

    def __rrshift__(self, before: Any) -> Any:
        """`[a, b] >> c`, and `rows >> c` for rows of any kind that a source may be."""
        return _connected(before, self)

    def _default_name(self) -> str:
        from ._registry.registry import default_registry

        cls = type(self)
        registered = default_registry().name_of(self._kind(), cls)
        return registered or re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", cls.__name__).lower()

    def _kind(self) -> Any:
        return "step"

    def _check_columns(self) -> None:
        for attribute in ("inputs", "outputs"):
            columns: Any = getattr(self, attribute)
            if isinstance(columns, str) or not isinstance(columns, Iterable):
                what = f"{columns!r}" if isinstance(columns, str) else f"a {type(columns).__name__}"
                remedy = "put `@property` above it" if callable(columns) else "return a list"
                raise PluginContractError(
                    f"`{type(self).__module__}.{type(self).__qualname__}`",
                    [f"`{attribute}` must be a property that gives a list of column names, and is {what}: {remedy}"],
                )

    def _check_mappings(self) -> None:
        for field, mapping, columns in (
            ("input_mappings", self.input_mappings, self.inputs),
            ("output_mappings", self.output_mappings, [*self.outputs, "model_name"]),
        ):
            for column in mapping:
                if column not in columns:
                    known = ", ".join(f"`{name}`" for name in columns) or "none"
                    raise ConfigurationError(
                        f"`{field}` of {self.name!r} renames the column {column!r}, which it does not have; "
                        f"its columns are {known}. A mapping goes from the step's own name to the name in the rows."
                    )
        self._check_collisions()

    def _check_collisions(self) -> None:
        own_by_name: dict[str, str] = {}
        for own in self._written_columns():
            name = self.output_mappings.get(own, own)
            other = own_by_name.setdefault(name, own)
            if other != own:
                raise ConfigurationError(
                    f"`output_mappings` of {self.name!r} puts both `{other}` and `{own}` into the column `{name}`. "
                    "Give each a name of its own."
                )

    def _written_columns(self) -> list[str]:
        """Every column that its rows get, by the step's own names."""
        return list(self.outputs)

    @property
    def inputs(self) -> Sequence[str] | Mapping[str, bool]:
        """The columns it reads: names, or `{name: required}`."""
        return []

    @property
    def outputs(self) -> Sequence[str] | Mapping[str, bool]:
        """The columns it adds: names, or `{name: required}`."""
        return []

    @property
    def dropped(self) -> Sequence[str]:
        """The columns, by their names in the rows, that it takes away."""
        return []

    @property
    def exhausted(self) -> bool:
        """Whether it wants no more rows, whatever comes: what leads to it alone is then stopped."""
        return False

    def columns_after(self, columns: Sequence[str]) -> list[str]:
        """The columns of the rows that leave, where `columns` are those of the rows that come."""
        gone = set(self.dropped)
        made = (self.output_mappings.get(name, name) for name in self._written_columns())
        return list(dict.fromkeys([*(column for column in columns if column not in gone), *made]))

    def load(self) -> None:
        """Acquire what processing needs. A pipeline calls it once."""

    def unload(self) -> None:
        """Release what `load` acquired; called even after a failure."""

    @abstractmethod
    def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
        """Yield lists of rows for a list of rows."""


class GlobalStep(Step):
    """A step whose `process` must see all rows at once (sorting, clustering)."""


class GeneratorStep(Step):
    """A step that makes rows from nothing: a source. Its `process` takes no rows."""

    @abstractmethod
    def process(self, inputs: list[Row] | None = None) -> Iterator[list[Row]]:
        """Yield lists of rows; `inputs` is always None."""


class Sink(Step):
    """A step that takes rows, in order, and gives none on: a file, standard output, a table.

    A pipeline calls `open` before anything else happens, `write` with chunks of rows on one
    thread, and `close` once, however the run ends.

    Attributes:
        overwrite: replace what is there already.
    """

    overwrite: bool = False

    def targets(self) -> list[str]:
        """The absolute paths or URLs that it will make; none for a stream."""
        return []

    def open(self, *, replace: bool) -> None:
        """Make sure that rows can be written. Nothing is touched yet.

        Args:
            replace: whether a target that exists may be replaced.

        Raises:
            ConfigurationError: it exists and may not, or cannot be written.
        """

    @abstractmethod
    def write(self, rows: list[Row]) -> None:
        """Write rows, which come in order."""

    def close(self, *, finished: bool) -> None:
        """Publish what was written, at once and whole; `finished` says that no row is missing."""

    def rows(self) -> Iterator[Row]:
        """What was written, read back.

        Raises:
            ConfigurationError: it cannot be.
        """
        raise ConfigurationError(f"The rows that {self.name!r} wrote cannot be read back.")

    def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
        """Write rows outside a pipeline; yields nothing."""
        self.write(inputs)
        return iter(())


class LoadDataFromDicts(GeneratorStep):
    """A source of rows held in memory.

    Attributes:
        data: the rows.
        batch_size: rows in each list that `process` yields.
    """

    data: list[dict[str, Any]]
    batch_size: int = Field(default=50, ge=1)

    @property
    def outputs(self) -> list[str]:
        return list(dict.fromkeys(column for row in self.data[:_DECLARING_ROWS] for column in row))

    def count(self) -> int:
        """How many rows there are."""
        return len(self.data)

    def process(self, inputs: list[Row] | None = None) -> Iterator[list[Row]]:  # noqa: ARG002 - a source takes none
        for start in range(0, len(self.data), self.batch_size):
            yield [dict(row) for row in self.data[start : start + self.batch_size]]


def _connected(before: Any, following: Any) -> Any:
    pipeline = open_pipeline.get()
    if pipeline is None:
        raise ConfigurationError(
            "`>>` joins steps inside `with Pipeline(…):`. Outside of one, write `Pipeline(first, second, …)`."
        )
    for each in following if isinstance(following, list | tuple) else [following]:
        pipeline.connect(before, each)
    return following


def required_columns(columns: Sequence[str] | Mapping[str, bool]) -> list[str]:
    """The names that must be there, of either form of `inputs` and `outputs`."""
    if isinstance(columns, dict):
        return [name for name, required in columns.items() if required]
    return list(columns)
