"""The load report: what is wrong with installed plugins, and whose fault it is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..errors import LimbeckError, RegistryError, described, has_message

ProblemKind: TypeAlias = Literal["metadata", "name", "duplicate", "import", "contract", "hook", "observer"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of one distribution.

    Attributes:
        kind: what failed. distribution, version: whose fault it is ("" where nobody's is known).
        subject: the name, target or file concerned. message: what is wrong.
    """

    kind: ProblemKind
    distribution: str
    version: str
    subject: str
    message: str

    def __str__(self) -> str:
        owner = f"{self.distribution} {self.version}".strip() or "an unnamed distribution"
        return f"{owner}: {self.subject}: {self.message}"


class LoadReport:
    """Collects problems, each once; under `LIMBECK_STRICT_PLUGINS=1` the first one raises."""

    def __init__(self) -> None:
        self._problems: dict[Problem, None] = {}

    @property
    def strict(self) -> bool:
        """True if the environment asks that every recorded problem be an error."""
        return os.environ.get("LIMBECK_STRICT_PLUGINS", "") not in ("", "0")

    def all(self) -> list[Problem]:
        """Every problem so far, in the order they were found."""
        return list(self._problems)

    def note(self, problem: Problem) -> None:
        """Keep `problem` without raising: a run in progress is not stopped for it."""
        self._problems[problem] = None

    def record(self, problem: Problem, *, error: BaseException | None = None) -> None:
        """Keep `problem`.

        Raises:
            RegistryError: the environment asks for strictness.
        """
        self.note(problem)
        if self.strict:
            if isinstance(error, LimbeckError):
                raise error
            raise RegistryError(f"{problem} (raised because LIMBECK_STRICT_PLUGINS is set)") from error


def describe(error: BaseException) -> str:
    """`Type: message`, the way a traceback ends."""
    if not has_message(error):
        return described(error)
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def describe_failure(error: BaseException) -> str:
    """As `describe`, saying what a `SystemExit` means inside an import."""
    if isinstance(error, SystemExit):
        return f"it called sys.exit({error.code!r}) while being imported"
    return describe(error)
