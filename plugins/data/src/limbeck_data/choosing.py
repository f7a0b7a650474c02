"""Steps that let some rows through and not others, one row at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, PrivateAttr

from limbeck import Step

from .equality import IncomparableError, digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from limbeck.types import Row


class Limit(Step):
    """Lets the first rows through, in the order of their sources, and no more; then what leads to it alone is stopped.

    Behind a task, answers to rows that are not let through may have been asked for by then.

    Attributes:
        n: how many.
    """

    in_order: ClassVar[bool] = True

    n: int = Field(ge=0)

    _passed: int = PrivateAttr(default=0)

    @property
    def exhausted(self) -> bool:
        """True if no further row will go through."""
        return self._passed >= self.n

    def load(self) -> None:
        self._passed = 0

    def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
        rows = inputs[: self.n - self._passed]
        self._passed += len(rows)
        yield rows


class Sample(Step):
    """Lets a fraction of the rows through, chosen by a hash of each row and the seed.

    A row's fate depends on nothing but the row and the seed, so it is the same in every run and
    in whatever order rows come; rows that are equal, as in `deduplicate`, share it, and one with a value that
    equals nothing but itself fails. For an exact number there is `sample-rows`.

    Attributes:
        fraction: of the rows, between 0 and 1. seed: another one gives another sample.
        columns: what is hashed; by default the whole row.
    """

    fraction: float = Field(ge=0, le=1)
    seed: int = 0
    columns: list[str] = Field(default_factory=list)

    @property
    def inputs(self) -> list[str]:
        return self.columns

    def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
        salt = str(self.seed).encode()
        yield [row for row in inputs if _position(digest(row, self.columns, salt)) < self.fraction]


class Deduplicate(Step):
    """Lets the first of equal rows through. It remembers 16 bytes of each row that it let through.

    Values are equal that are of one kind and have one value. So are 1 and 1.0, a list and a tuple, a dict in any order,
    the same moment in two zones, and NaN with itself; a text is no bytes, no day and no number, and true is not 1. A
    row with a value that equals nothing but itself, such as a function, goes through.

    Attributes:
        columns: what must be equal; by default all of the row.
    """

    in_order: ClassVar[bool] = True

    columns: list[str] = Field(default_factory=list)

    _seen: set[bytes] = PrivateAttr(default_factory=set)

    @property
    def inputs(self) -> list[str]:
        return self.columns

    def load(self) -> None:
        self._seen = set()

    def unload(self) -> None:
        self._seen = set()

    def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
        yield [row for row in inputs if self._is_new(row)]

    def _is_new(self, row: Row) -> bool:
        before = len(self._seen)
        try:
            self._seen.add(digest(row, self.columns))
        except IncomparableError:
            return True
        return len(self._seen) > before


def _position(digest: bytes) -> float:
    """A place between 0 and 1."""
    return int.from_bytes(digest[:7]) / (1 << 56)
