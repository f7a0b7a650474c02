"""Steps and tasks for the tests of pipelines: what each makes of a row can be seen in the row."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, PrivateAttr

from limbeck import LLM, GlobalStep, Sink, Step, Task, task
from limbeck.steps import LoadDataFromDicts
from support.questions import ShuffledLLM, prompt_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from limbeck.types import Row


class SayingLLM(ShuffledLLM):
    """Answers `<model>(<prompt>)`; overtakes only with a `seed`."""

    model: str = "said"
    seed: int | None = Field(default=None, exclude=True)

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        self.script = lambda request: f"{self.model}({prompt_of(request)})"


@task(inputs=["text"], outputs=["said"])
def Say(row: Row) -> str:
    """Asks for the text."""
    return str(row["text"])


def say(name: str, *, llm: LLM | None = None, to: str | None = None, **fields: Any) -> Task:
    """A task that says a row's text, into the column `to` or one of its own name."""
    return Say(name=name, llm=llm or SayingLLM(model=name), output_mappings={"said": to or f"by_{name}"}, **fields)


class Mark(Step):
    """Adds its name to the column `marks`."""

    @property
    def outputs(self) -> list[str]:
        return ["marks"]

    def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
        for row in inputs:
            yield [{**row, "marks": [*row.get("marks", []), self.name]}]


class Multiply(Step):
    """Gives `times` rows for each, or the number in the column `times` of the row itself.

    Attributes:
        times: None to look into the row.
    """

    times: int | None = None

    @property
    def outputs(self) -> list[str]:
        return ["part"]

    def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
        for row in inputs:
            for part in range(row["times"] if self.times is None else self.times):
                yield [{**row, "part": part}]


class Fail(Step):
    """Raises on rows whose text is among `on`.

    Attributes:
        on: the texts.
    """

    on: list[str]

    @property
    def outputs(self) -> list[str]:
        return ["fine"]

    def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
        for row in inputs:
            if row["text"] in self.on:
                raise ValueError(f"cannot stand {row['text']!r}")
            yield [{**row, "fine": True}]


class Crunch(Step):
    """Works in another process, and says in which; dies on the text "die".

    Attributes:
        loaded: set by `load`, in each process.
    """

    cpu_bound: ClassVar[bool] = True

    loaded: bool = False

    @property
    def outputs(self) -> list[str]:
        return ["process", "was_loaded"]

    def load(self) -> None:
        self.loaded = True

    def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
        for row in inputs:
            if row["text"] == "die":
                os._exit(1)
            if row["text"] == "raise":
                raise ValueError("cannot crunch it")
            yield [{**row, "process": os.getpid(), "was_loaded": self.loaded}]


class First(Step):
    """Lets the first rows through.

    Attributes:
        n: how many.
    """

    in_order: ClassVar[bool] = True

    n: int

    _passed: int = PrivateAttr(default=0)

    @property
    def exhausted(self) -> bool:
        return self._passed >= self.n

    def load(self) -> None:
        self._passed = 0

    def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
        for row in inputs:
            self._passed += 1
            if self._passed <= self.n:
                yield [row]


class Reverse(GlobalStep):
    """Gives the rows from the last to the first."""

    def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
        yield inputs[::-1]


class Collect(Sink):
    """Keeps what is written, and how it was opened and closed."""

    _written: list[Row] = PrivateAttr(default_factory=list)
    _events: list[str] = PrivateAttr(default_factory=list)

    @property
    def written(self) -> list[Row]:
        """The rows."""
        return self._written

    @property
    def events(self) -> list[str]:
        """What happened to it."""
        return self._events

    def load(self) -> None:
        self._events.append("load")

    def unload(self) -> None:
        self._events.append("unload")

    def open(self, *, replace: bool) -> None:
        self._events.append(f"open replace={replace}")

    def write(self, rows: list[Row]) -> None:
        self._written += rows

    def close(self, *, finished: bool) -> None:
        self._events.append(f"close finished={finished}")

    def rows(self) -> Iterator[Row]:
        return iter(self._written)


def load(rows: list[Row], **fields: Any) -> LoadDataFromDicts:
    """A source of rows."""
    return LoadDataFromDicts(data=rows, **fields)


def texts(count: int) -> list[Row]:
    """So many rows with the column `text`."""
    return [{"text": f"t{number}"} for number in range(count)]


def column(rows: Any, name: str) -> list[Any]:
    """One column of rows."""
    return [row[name] for row in rows]
