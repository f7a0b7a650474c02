"""One guarded pass over the installed distributions: which names they declare, as data.

This is the only module that reads package metadata. Nothing is imported from a plugin
here, and what one distribution does wrong costs only that distribution.
"""

from __future__ import annotations

import os
import re
import sys
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import importlib_metadata

from ..errors import LimbeckWarning
from .problems import LoadReport, Problem, describe

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

GROUPS = {"task": "limbeck.tasks", "llm": "limbeck.llms", "step": "limbeck.steps"}
HOOKS_GROUP = "limbeck.plugins"
COMMANDS_GROUP = "limbeck.commands"
_ALL_GROUPS = frozenset({*GROUPS.values(), HOOKS_GROUP, COMMANDS_GROUP})

NAME = re.compile(r"[a-z0-9]+([-.][a-z0-9]+)*")

# The packs whose names a stranger's package can never take over.
OFFICIAL = frozenset(
    {
        "limbeck-core",
        "limbeck-tasks",
        "limbeck-openai",
        "limbeck-anthropic",
        "limbeck-huggingface",
        "limbeck-cli",
        "limbeck-data",
    }
)

# Where a name that is not installed comes from.
KNOWN_PACKS = {
    ("task", "text-generation"): "limbeck-tasks",
    ("task", "chat-generation"): "limbeck-tasks",
    ("task", "text-classification"): "limbeck-tasks",
    ("task", "structured-generation"): "limbeck-tasks",
    ("llm", "openai"): "limbeck-openai",
    ("llm", "azure-openai"): "limbeck-openai",
    ("llm", "anthropic"): "limbeck-anthropic",
    ("llm", "huggingface"): "limbeck-huggingface",
    ("llm", "transformers"): "limbeck-huggingface",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One declared name.

    Attributes:
        group: the entry-point group. name: the public name. target: `module:object`.
        distribution: normalised name of who declares it. version: its version.
        metadata: the distribution object, read only when more is asked of it.
    """

    group: str
    name: str
    target: str
    distribution: str
    version: str
    metadata: Any = field(default=None, compare=False, repr=False)

    @property
    def qualified(self) -> str:
        """The name that is unambiguous: `distribution/name`."""
        return f"{self.distribution}/{self.name}"

    @property
    def summary(self) -> str:
        """The distribution's one-line description, or an empty string."""
        try:
            return str(self.metadata.metadata["Summary"] or "")
        except Exception:  # noqa: BLE001 - a stranger's metadata may be anything; a listing must not fail for it
            return ""

    @property
    def requirements(self) -> list[str]:
        """What the distribution requires, as requirement strings."""
        try:
            return list(self.metadata.requires or ())
        except Exception:  # noqa: BLE001 - as above
            return []


@dataclass(slots=True)
class Disabled:
    """Which declared names the environment keeps out, and by which variable.

    A token is a distribution (`acme-judges`) or a qualified name (`acme-judges/pairwise-judge`).
    """

    deny: frozenset[str]
    only: frozenset[str] | None
    _met: set[str] = field(default_factory=set)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Disabled:
        environ = os.environ if environ is None else environ
        only = _tokens(environ.get("LIMBECK_ONLY_PLUGINS", ""))
        return cls(deny=_tokens(environ.get("LIMBECK_DISABLE_PLUGINS", "")), only=only or None)

    def reason(self, entry: Entry) -> str | None:
        """The variable that disables `entry`, or None. The core itself cannot be disabled."""
        tokens = {entry.distribution, entry.qualified}
        self._met |= tokens
        if tokens & self.deny:
            return "LIMBECK_DISABLE_PLUGINS"
        if self.only is not None and not tokens & self.only and entry.distribution != "limbeck-core":
            return "LIMBECK_ONLY_PLUGINS"
        return None

    def warn_unknown(self) -> None:
        """Warn of tokens that name nothing installed: they are probably misspelt."""
        for token in sorted((self.deny | (self.only or frozenset())) - self._met):
            warnings.warn(
                f"LIMBECK_DISABLE_PLUGINS or LIMBECK_ONLY_PLUGINS names {token!r}, which no installed plugin has. "
                "`limbeck plugins list` prints the names.",
                LimbeckWarning,
                stacklevel=2,
            )


def _tokens(text: str) -> frozenset[str]:
    return frozenset(token for token in re.split(r"[,\s]+", text.strip().lower()) if token)


class Index:
    """Every declared name of every distribution, by group.

    Attributes:
        entries: the usable ones. disabled: those the environment keeps out, with the variable.
    """

    def __init__(self, report: LoadReport, *, path: list[str] | None = None) -> None:
        self.entries: dict[str, list[Entry]] = {group: [] for group in _ALL_GROUPS}
        self.disabled: list[tuple[Entry, str]] = []
        rules = Disabled.from_environment()
        for entry in _scan(report, path):
            reason = rules.reason(entry)
            if reason:
                self.disabled.append((entry, reason))
            else:
                self.entries[entry.group].append(entry)
        rules.warn_unknown()

    def find(self, kind: str, name: str) -> list[Entry]:
        """The entries of `kind` that `name`, short or qualified, may mean."""
        group = GROUPS[kind]
        return [entry for entry in self.entries[group] if name in (entry.name, entry.qualified)]


def _scan(report: LoadReport, path: list[str] | None) -> Iterator[Entry]:
    seen: set[str] = set()
    distributions = importlib_metadata.distributions(path=path if path is not None else sys.path)
    for distribution in distributions:
        try:
            text = distribution.read_text("entry_points.txt")
            if not text or "limbeck." not in text:
                continue
            facts = distribution.metadata  # parsed anew at each access
            name = _normalise(facts["Name"])
            if name in seen:  # an earlier place on the path shadows a later one
                continue
            seen.add(name)
            yield from _declared(text, name, str(facts["Version"]), distribution, report)
        except Exception as exc:  # noqa: BLE001 - the isolation boundary of discovery: one distribution
            report.record(_unreadable(distribution, exc))


def _declared(text: str, name: str, version: str, distribution: Any, report: LoadReport) -> Iterator[Entry]:
    found: set[tuple[str, str]] = set()
    for group, key, value in _parse(text, distribution, name, version, report):
        if group not in _ALL_GROUPS:
            continue
        if not NAME.fullmatch(key):
            message = "the name is not lower-case words joined by '-' or '.'"
            report.record(Problem("name", name, version, f"{group}: {key!r}", message))
        elif (group, key) in found:
            report.record(Problem("duplicate", name, version, f"{group}: {key!r}", "declared twice; the first is used"))
        else:
            found.add((group, key))
            yield Entry(group, key, value, name, version, distribution)


def _parse(text: str, distribution: Any, name: str, version: str, report: LoadReport) -> Iterator[tuple[str, str, str]]:
    """The `(group, name, target)` of each well-formed line; a malformed line is reported and costs only itself."""
    group = ""
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith(("#", ";")):
            continue
        if line.startswith("[") and line.endswith("]"):
            group = line[1:-1].strip()
            continue
        key, equals, value = (part.strip() for part in line.partition("="))
        if equals and key and value:
            yield group, key, value
        else:
            where = f"{_location(distribution)} line {number}"
            report.record(
                Problem("metadata", name, version, where, f"{line!r} is not of the form `name = module:object`")
            )


def _location(distribution: Any) -> str:
    path = getattr(distribution, "_path", None)
    return str(path / "entry_points.txt") if path is not None else "entry_points.txt"


def _unreadable(distribution: Any, exc: Exception) -> Problem:
    try:
        name, version = _normalise(distribution.metadata["Name"]), str(distribution.version)
    except Exception:  # noqa: BLE001 - the metadata itself is what is broken
        name, version = "", ""
    return Problem("metadata", name, version, _location(distribution), f"its metadata cannot be read ({describe(exc)})")


def malformed_metadata(path: list[str] | None = None) -> list[Problem]:
    """Every malformed `entry_points.txt` on the path, of any package: pydantic trips over each of them."""
    report = LoadReport()
    for distribution in importlib_metadata.distributions(path=path if path is not None else sys.path):
        try:
            text = distribution.read_text("entry_points.txt") or ""
            name, version = _normalise(distribution.metadata["Name"]), str(distribution.version)
            for _ in _parse(text, distribution, name, version, report):
                pass
        except Exception as exc:  # noqa: BLE001 - the isolation boundary of discovery: one distribution
            report.record(_unreadable(distribution, exc))
    return report.all()


def _normalise(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
