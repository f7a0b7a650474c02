"""One guarded pass over the installed distributions: which names they declare, as data.

This is the only module that reads package metadata, and the only one that imports
`importlib_metadata`. Nothing is imported from a plugin here, and what one distribution does
wrong costs only that distribution.
"""

from __future__ import annotations

import os
import re
import sys
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import importlib_metadata

from ..errors import LimbeckWarning, RegistryError
from .problems import LoadReport, Problem, describe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Kind: TypeAlias = Literal["task", "llm", "embedder", "scorer", "image_generator", "step", "tool", "ledger"]

GROUPS: Final[dict[Kind, str]] = {
    "task": "limbeck.tasks",
    "llm": "limbeck.llms",
    "embedder": "limbeck.embedders",
    "scorer": "limbeck.scorers",
    "image_generator": "limbeck.image_generators",
    "step": "limbeck.steps",
    "tool": "limbeck.tools",
    "ledger": "limbeck.ledgers",
}
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
        "limbeck-mcp",
        "limbeck-prices",
        "limbeck-report",
        "limbeck-instruct",
        "limbeck-judges",
    }
)

# What the official packs offer: what a user is told to install who asks for one of these names.
_KNOWN_NAMES = (
    ("task", "text-generation", "TextGeneration", "limbeck-tasks"),
    ("task", "text-generation-with-image", "TextGenerationWithImage", "limbeck-tasks"),
    ("task", "chat-generation", "ChatGeneration", "limbeck-tasks"),
    ("task", "text-classification", "TextClassification", "limbeck-tasks"),
    ("task", "structured-generation", "StructuredGeneration", "limbeck-tasks"),
    ("task", "evol-instruct", "EvolInstruct", "limbeck-instruct"),
    ("task", "evol-instruct-generator", "EvolInstructGenerator", "limbeck-instruct"),
    ("task", "evol-complexity", "EvolComplexity", "limbeck-instruct"),
    ("task", "evol-complexity-generator", "EvolComplexityGenerator", "limbeck-instruct"),
    ("task", "evol-quality", "EvolQuality", "limbeck-instruct"),
    ("task", "self-instruct", "SelfInstruct", "limbeck-instruct"),
    ("task", "genstruct", "Genstruct", "limbeck-instruct"),
    ("task", "clair", "CLAIR", "limbeck-instruct"),
    ("task", "urial", "URIAL", "limbeck-instruct"),
    ("task", "persona-generator", "PersonaGenerator", "limbeck-instruct"),
    ("task", "conversation-simulation", "ConversationSimulation", "limbeck-instruct"),
    ("task", "math-shepherd-generator", "MathShepherdGenerator", "limbeck-instruct"),
    ("task", "math-shepherd-completer", "MathShepherdCompleter", "limbeck-instruct"),
    ("task", "ultrafeedback", "UltraFeedback", "limbeck-judges"),
    ("task", "prometheus-eval", "PrometheusEval", "limbeck-judges"),
    ("task", "complexity-scorer", "ComplexityScorer", "limbeck-judges"),
    ("task", "quality-scorer", "QualityScorer", "limbeck-judges"),
    ("task", "instruction-backtranslation", "InstructionBacktranslation", "limbeck-judges"),
    ("task", "pairwise-comparison", "PairwiseComparison", "limbeck-judges"),
    ("task", "rubric-scorer", "RubricScorer", "limbeck-judges"),
    ("task", "panel-of-judges", "PanelOfJudges", "limbeck-judges"),
    ("task", "generate-embeddings", "GenerateEmbeddings", "limbeck-tasks"),
    ("task", "generate-images", "GenerateImages", "limbeck-tasks"),
    ("task", "rank", "Rank", "limbeck-tasks"),
    ("task", "score", "Score", "limbeck-tasks"),
    ("llm", "openai", "OpenAILLM", "limbeck-openai"),
    ("llm", "azure-openai", "AzureOpenAILLM", "limbeck-openai"),
    ("llm", "anthropic", "AnthropicLLM", "limbeck-anthropic"),
    ("llm", "huggingface", "InferenceEndpointsLLM", "limbeck-huggingface"),
    ("llm", "transformers", "TransformersLLM", "limbeck-huggingface"),
    ("embedder", "openai", "OpenAIEmbedder", "limbeck-openai"),
    ("embedder", "huggingface", "InferenceEmbedder", "limbeck-huggingface"),
    ("embedder", "sentence-transformers", "SentenceTransformersEmbedder", "limbeck-huggingface"),
    ("scorer", "huggingface", "InferenceScorer", "limbeck-huggingface"),
    ("scorer", "sentence-transformers", "CrossEncoderScorer", "limbeck-huggingface"),
    ("image_generator", "openai", "OpenAIImageGenerator", "limbeck-openai"),
    ("image_generator", "huggingface", "InferenceImageGenerator", "limbeck-huggingface"),
    ("step", "combine-columns", "CombineColumns", "limbeck-data"),
    ("step", "deduplicate", "Deduplicate", "limbeck-data"),
    ("step", "drop-columns", "DropColumns", "limbeck-data"),
    ("step", "expand-columns", "ExpandColumns", "limbeck-data"),
    ("step", "filter-rows", "FilterRows", "limbeck-data"),
    ("step", "format-for-dpo", "FormatForDPO", "limbeck-data"),
    ("step", "format-for-sft", "FormatForSFT", "limbeck-data"),
    ("step", "keep-columns", "KeepColumns", "limbeck-data"),
    ("step", "limit", "Limit", "limbeck-data"),
    ("step", "load-data-from-arrow", "LoadDataFromArrow", "limbeck-data"),
    ("step", "load-data-from-parquet", "LoadDataFromParquet", "limbeck-data"),
    ("step", "load-data-from-text-files", "LoadDataFromTextFiles", "limbeck-data"),
    ("step", "map-rows", "MapRows", "limbeck-data"),
    ("step", "rename-columns", "RenameColumns", "limbeck-data"),
    ("step", "sample", "Sample", "limbeck-data"),
    ("step", "sample-rows", "SampleRows", "limbeck-data"),
    ("step", "save-to-arrow", "SaveToArrow", "limbeck-data"),
    ("step", "save-to-parquet", "SaveToParquet", "limbeck-data"),
    ("step", "shuffle", "Shuffle", "limbeck-data"),
    ("step", "sort", "Sort", "limbeck-data"),
    ("step", "attribute-grid", "AttributeGrid", "limbeck-instruct"),
    ("step", "format-prm", "FormatPRM", "limbeck-instruct"),
    ("tool", "mcp", "McpServer", "limbeck-mcp"),
    ("command", "report", "report", "limbeck-report"),
)


def known_pack(kind: str, name: str) -> str | None:
    """The official pack that has `name`, a short or qualified one or that of a class, whether installed or not."""
    for of, short, class_name, pack in _KNOWN_NAMES:
        if of == kind and name in (short, class_name, f"{pack}/{short}"):
            return pack
    return None


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
        """The requirements of the distribution, as strings."""
        try:
            return list(self.metadata.requires or ())
        except Exception:  # noqa: BLE001 - as above
            return []


@dataclass(slots=True)
class Disabled:
    """The declared names that the environment keeps out, and the variable that says so.

    A token is a distribution (`acme-judges`), a qualified name (`acme-judges/pairwise-judge`)
    or a short one (`pairwise-judge`, whoever declares it).
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
        """The variable that disables `entry`, or None. `LIMBECK_ONLY_PLUGINS` leaves the core's own names in."""
        tokens = {normalise(token) for token in (entry.distribution, entry.qualified, entry.name)}
        self._met |= tokens
        if tokens & self.deny:
            return "LIMBECK_DISABLE_PLUGINS"
        if self.only is not None and not tokens & self.only and entry.distribution != "limbeck-core":
            return "LIMBECK_ONLY_PLUGINS"
        return None

    def denies(self, distribution: str) -> bool:
        """Tell whether everything of `distribution` is kept out; its problems are then no errors."""
        self._met.add(distribution)
        return distribution in self.deny

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
    return frozenset(normalise(token) for token in re.split(r"[,\s]+", text) if token)


class Index:
    """Every declared name of every distribution, by group.

    Attributes:
        entries: the usable ones. disabled: those the environment keeps out, with the variable.
    """

    def __init__(self, report: LoadReport, *, path: list[str] | None = None) -> None:
        self.entries: dict[str, list[Entry]] = {group: [] for group in _ALL_GROUPS}
        self.disabled: list[tuple[Entry, str]] = []
        rules = Disabled.from_environment()
        for entry in _scan(report, rules, path):
            reason = rules.reason(entry)
            if reason:
                self.disabled.append((entry, reason))
            else:
                self.entries[entry.group].append(entry)
        rules.warn_unknown()

    def find(self, kind: Kind, name: str) -> list[Entry]:
        """The entries of `kind` that `name`, short or qualified, may mean."""
        group = GROUPS[kind]
        return [entry for entry in self.entries[group] if name in (entry.name, entry.qualified)]


def _scan(report: LoadReport, rules: Disabled, path: list[str] | None) -> Iterator[Entry]:
    seen: set[str] = set()
    for distribution in _distributions(path):
        try:
            if not _declares_names(distribution):
                continue
            name, _ = _name_and_version(distribution)
            if name not in seen:
                seen.add(name)
                record = report.note if rules.denies(name) else report.record
                yield from _declared(_first_of(name, path) or distribution, record)
        except RegistryError:  # strictness
            raise
        except Exception as exc:  # noqa: BLE001 - the isolation boundary of discovery: one distribution
            report.record(_unreadable(distribution, exc))


def _distributions(path: list[str] | None, **wanted: str) -> Iterator[Any]:
    return iter(importlib_metadata.distributions(path=sys.path if path is None else path, **wanted))


def _declares_names(distribution: Any) -> bool:
    return "limbeck." in (distribution.read_text("entry_points.txt") or "")


def _first_of(name: str, path: list[str] | None) -> Any:
    """The distribution of that name that comes first on the path: it shadows the others, as it does in `import`."""
    return next((found for found in _distributions(path, name=name) if "Name" in _facts(found)), None)


_FACT = re.compile(r"^(Name|Version):[ \t]*(\S+)", re.MULTILINE | re.IGNORECASE)


def _facts(distribution: Any) -> dict[str, str]:
    """The name and the version, read without `email`, whose import would cost more than the whole scan."""
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    headers, _, _ = text.partition("\n\n")
    return {key.title(): value for key, value in _FACT.findall(headers)}


def _name_and_version(distribution: Any) -> tuple[str, str]:
    facts = _facts(distribution) or distribution.metadata
    return normalise(facts["Name"]), str(facts["Version"])


def _declared(distribution: Any, record: Callable[[Problem], None]) -> Iterator[Entry]:
    name, version = _name_and_version(distribution)
    found: set[tuple[str, str]] = set()
    for group, key, value in _parse(distribution, record):
        if group not in _ALL_GROUPS:
            continue
        if not NAME.fullmatch(key):
            message = "the name is not lower-case words joined by '-' or '.'"
            record(Problem("name", name, version, f"{group}: {key!r}", message))
        elif (group, key) in found:
            record(Problem("duplicate", name, version, f"{group}: {key!r}", "declared twice; the first is used"))
        else:
            found.add((group, key))
            yield Entry(group, key, value, name, version, distribution)


def _parse(distribution: Any, record: Callable[[Problem], None]) -> Iterator[tuple[str, str, str]]:
    """The `(group, name, target)` of each well-formed line; a malformed line is reported and costs only itself."""
    group = ""
    for number, raw in enumerate((distribution.read_text("entry_points.txt") or "").splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith(("#", ";")):
            continue
        if line.startswith("[") and line.endswith("]"):
            group = line[1:-1].strip()
            continue
        key, equals, value = (part.strip() for part in line.partition("="))
        if equals and key and value:
            yield group, key, value.partition("[")[0].strip()  # `module:object [extra]` is an old form
        else:
            where = f"{_location(distribution)} line {number}"
            message = f"{line!r} is not of the form `name = module:object`"
            record(Problem("metadata", *_name_and_version(distribution), where, message))


def _location(distribution: Any) -> str:
    path = getattr(distribution, "_path", None)
    return str(path / "entry_points.txt") if path is not None else "entry_points.txt"


def _unreadable(distribution: Any, exc: Exception) -> Problem:
    try:
        name, version = _name_and_version(distribution)
    except Exception:  # noqa: BLE001 - the metadata itself is what is broken
        name, version = "", ""
    return Problem("metadata", name, version, _location(distribution), f"its metadata cannot be read ({describe(exc)})")


def malformed_metadata(path: list[str] | None = None) -> list[Problem]:
    """Every malformed `entry_points.txt` on the path, of any package: pydantic trips over each of them."""
    report = LoadReport()
    for distribution in _distributions(path):
        try:
            for _ in _parse(distribution, report.note):
                pass
        except Exception as exc:  # noqa: BLE001 - the isolation boundary of discovery: one distribution
            report.note(_unreadable(distribution, exc))
    return report.all()


def installed_version(distribution: str) -> str | None:
    """The version of an installed distribution, or None."""
    try:
        return importlib_metadata.version(distribution)
    except importlib_metadata.PackageNotFoundError:
        return None


def normalise(name: str) -> str:
    """A distribution's name as indexes compare it: lower case, words joined by one hyphen."""
    return re.sub(r"[-_.]+", "-", name).lower()
