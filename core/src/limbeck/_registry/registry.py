"""Names to objects. A hit imports the one module that holds it, and nothing else."""

from __future__ import annotations

import importlib
import os
import sys
import threading
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ..errors import (
    AmbiguousNameError,
    PluginContractError,
    PluginLoadError,
    RegistrationError,
    RegistryError,
    UnknownNameError,
)
from .index import GROUPS, KNOWN_PACKS, NAME, OFFICIAL, Entry, Index
from .problems import LoadReport, Problem, describe_failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from .hooks import Hooks

Kind: TypeAlias = Literal["task", "llm", "step"]


@dataclass(frozen=True, slots=True)
class Listing:
    """One name as a listing shows it; nothing was imported to make it.

    Attributes:
        name: what to ask for (qualified where the short name is ambiguous).
        distribution, version, summary: who offers it. target: `module:object`.
        status: "available", "loaded", "failed: …", "ambiguous", "shadowed by …" or "disabled by …".
    """

    name: str
    qualified: str
    distribution: str
    version: str
    summary: str
    target: str
    status: str


@dataclass(frozen=True, slots=True)
class _Registered:
    target: Any
    distribution: str = ""
    version: str = ""


class Registry:
    """The names of tasks, LLMs and steps, declared by distributions or registered in the process.

    Args:
        path: where to look for distributions; `sys.path` by default.
    """

    def __init__(self, *, path: list[str] | None = None) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._local: dict[tuple[str, str], Any] = {}
        self._start()

    def _start(self) -> None:
        self.report = LoadReport()
        self._index: Index | None = None
        self._hooks: Hooks | None = None
        self._loaded: dict[Entry, Any] = {}
        self._failed: dict[Entry, RegistryError] = {}
        self._dynamic: dict[tuple[str, str], list[_Registered]] = {}

    def refresh(self) -> None:
        """Forget the scan and what was loaded, after an install in a running process. Registrations stay."""
        with self._lock:
            importlib.invalidate_caches()
            self._start()

    @property
    def index(self) -> Index:
        """The declared names; the first access scans the distributions."""
        with self._lock:
            if self._index is None:
                self._index = Index(self.report, path=self._path)
            return self._index

    @property
    def hooks(self) -> Hooks:
        """The hook plugins; the first access imports them."""
        with self._lock:
            if self._hooks is None:
                from .hooks import Hooks

                self._hooks = Hooks(self)
                self._hooks.load(self.index.entries["limbeck.plugins"])
            return self._hooks

    # Registering

    def register(self, kind: Kind, name: str, target: Any, *, replace: bool = False) -> None:
        """Give `target` a name in this process; it takes precedence over every installed one.

        Raises:
            RegistrationError: the name is malformed, or taken by another class.
            PluginContractError: `target` lacks what its kind must have.
        """
        _check_name(kind, name)
        _check_contract(kind, target, f"The {kind} registered as {name!r}")
        old = self._local.get((kind, name))
        if old is not None and not replace and not _same_definition(old, target):
            raise RegistrationError(
                f"The {kind} {name!r} is registered already, as `{_path_of(old)}`. "
                "Choose another name, or pass `replace=True`."
            )
        self._local[kind, name] = target

    def register_dynamic(self, kind: Kind, name: str, target: Any, *, distribution: str, version: str) -> None:
        """Give `target` a name on behalf of a distribution, whose declared names it may not shadow."""
        _check_name(kind, name)
        _check_contract(kind, target, f"The {kind} {name!r} of {distribution} {version}")
        declared = self.index.find(kind, name)
        if declared:
            raise RegistrationError(
                f"{distribution} {version} registers the {kind} {name!r} at run time, which {declared[0].distribution} "
                f"{declared[0].version} declares. A declared name cannot be shadowed."
            )
        self._dynamic.setdefault((kind, name), []).append(_Registered(target, distribution, version))

    # Looking up

    def get(self, kind: Kind, name: str) -> Any:
        """The class that `name` means.

        Precedence of a short name: registered in this process, the user's pin, an official
        pack, the only provider.

        Raises:
            UnknownNameError: nothing has that name.
            AmbiguousNameError: several distributions offer it.
            PluginLoadError: its plugin cannot be imported.
            PluginContractError: what it names is not a class of its kind.
        """
        if not isinstance(name, str):
            raise RegistryError(f"A {kind} is looked up by its name, a string, not {type(name).__name__}.")
        local = self._local.get((kind, name))
        if local is not None:
            return local
        entry = self._choose(kind, name, self.index.find(kind, name))
        if entry is not None:
            return self.load(entry)
        return self._get_dynamic(kind, name)

    def declares(self, kind: Kind, qualified: str) -> bool:
        """Whether an installed distribution declares exactly this `distribution/name`."""
        return any(entry.qualified == qualified for entry in self.index.find(kind, qualified))

    def _choose(self, kind: Kind, name: str, entries: list[Entry]) -> Entry | None:
        pinned = _pins().get(name)
        if pinned is not None and "/" not in name:
            return self._pinned(kind, name, pinned, entries)
        if len(entries) <= 1:
            return entries[0] if entries else None
        official = [entry for entry in entries if entry.distribution in OFFICIAL]
        if len(official) == 1:
            return official[0]
        raise AmbiguousNameError(
            kind, name, candidates=[(entry.qualified, entry.distribution, entry.version) for entry in entries]
        )

    def _pinned(self, kind: Kind, name: str, pinned: str, entries: list[Entry]) -> Entry | None:
        for entry in entries:
            if entry.distribution == pinned:
                return entry
        if not entries:
            return None
        raise RegistryError(
            f"LIMBECK_PIN says that the {kind} {name!r} comes from {pinned!r}, which does not offer it. "
            f"Offered by: {', '.join(entry.distribution for entry in entries)}."
        )

    def _get_dynamic(self, kind: Kind, name: str) -> Any:
        _ = self.hooks  # a name miss is what hook plugins are imported for
        short = name.rpartition("/")[2]
        offers = [
            offer for offer in self._dynamic.get((kind, short), ()) if name in (short, f"{offer.distribution}/{short}")
        ]
        if len(offers) > 1:
            raise AmbiguousNameError(
                kind, name, candidates=[(f"{o.distribution}/{short}", o.distribution, o.version) for o in offers]
            )
        if offers:
            return offers[0].target
        raise self._unknown(kind, name)

    def _unknown(self, kind: Kind, name: str) -> UnknownNameError:
        known = {listing.name for listing in self.listings(kind) if not listing.status.startswith("disabled")}
        pack = KNOWN_PACKS.get((kind, name))
        disabled = [reason for entry, reason in self.index.disabled if self._means(entry, kind, name)]
        installed = {entry.distribution for entries in self.index.entries.values() for entry in entries}
        suspects = {
            f"{p.distribution} {p.version}" for p in self.report.all() if p.distribution and p.kind != "observer"
        }
        return UnknownNameError(
            kind,
            name,
            known=sorted(known),
            suspects=sorted(suspects),
            install=pack if pack and pack not in installed and not disabled else None,
            disabled_by=disabled[0] if disabled else None,
        )

    @staticmethod
    def _means(entry: Entry, kind: Kind, name: str) -> bool:
        return entry.group == GROUPS[kind] and name in (entry.name, entry.qualified)

    # Loading

    def load(self, entry: Entry) -> Any:
        """Import what `entry` names, once; a failure is remembered and raised again."""
        if entry in self._loaded:
            return self._loaded[entry]
        if entry in self._failed:
            raise self._failed[entry]
        try:
            target = import_entry(entry)
            _check_loaded(entry, target)
        except RegistryError as exc:
            self._failed[entry] = exc
            kind: Literal["contract", "import"] = "contract" if isinstance(exc, PluginContractError) else "import"
            self.report.record(Problem(kind, entry.distribution, entry.version, entry.target, str(exc)), error=exc)
            raise
        self._loaded[entry] = target
        return target

    # Listing

    def names(self, kind: Kind) -> list[str]:
        """Every name that `get` takes, sorted; ambiguous ones qualified. Imports no plugin."""
        return sorted({listing.name for listing in self.listings(kind) if not listing.status.startswith("disabled")})

    def listings(self, kind: Kind) -> list[Listing]:
        """What is installed and registered, and its state. Imports no plugin."""
        rows = [self._listing(kind, entry) for entry in self.index.entries[GROUPS[kind]]]
        rows += [
            Listing(e.name, e.qualified, e.distribution, e.version, e.summary, e.target, f"disabled by {reason}")
            for e, reason in self.index.disabled
            if e.group == GROUPS[kind]
        ]
        rows += [
            Listing(name, f"{o.distribution}/{name}", o.distribution, o.version, "", _path_of(o.target), "loaded")
            for (of, name), offers in self._dynamic.items()
            if of == kind
            for o in offers
        ]
        rows += [
            Listing(name, name, "", "", "registered in this process", _path_of(target), "loaded")
            for (of, name), target in self._local.items()
            if of == kind
        ]
        return sorted(rows, key=lambda row: (row.name, row.distribution))

    def _listing(self, kind: Kind, entry: Entry) -> Listing:
        name, status = entry.name, self._status(entry)
        try:
            chosen = None if (kind, name) in self._local else self._choose(kind, name, self.index.find(kind, name))
        except RegistryError:
            name, status = entry.qualified, "ambiguous" if status == "available" else status
        else:
            if chosen != entry:
                shadow = chosen.distribution if chosen else "a registration in this process"
                name, status = entry.qualified, f"shadowed by {shadow}"
        return Listing(name, entry.qualified, entry.distribution, entry.version, entry.summary, entry.target, status)

    def _status(self, entry: Entry) -> str:
        if entry in self._failed:
            return f"failed: {self._failed[entry]}"
        return "loaded" if entry in self._loaded else "available"

    def name_of(self, kind: Kind, cls: type) -> str | None:
        """The short name under which `cls` is registered or declared, or None. Imports nothing."""
        for (of, name), target in self._local.items():
            if of == kind and target is cls:
                return name
        for entry in self.index.entries[GROUPS[kind]]:
            if _already_imported(entry.target) is cls:
                return entry.name
        for (of, name), offers in self._dynamic.items():
            if of == kind and any(offer.target is cls for offer in offers):
                return name
        return None

    def find_class(self, kind: Kind, class_name: str) -> Any:
        """The class of `kind` whose own name is `class_name`, for the lazy namespaces.

        Raises:
            UnknownNameError: no entry's value ends in that class name.
            AmbiguousNameError: several distributions have one.
        """
        for (of, _), target in self._local.items():
            if of == kind and getattr(target, "__name__", None) == class_name:
                return target
        entries = {e.target: e for e in self.index.entries[GROUPS[kind]] if e.target.rpartition(":")[2] == class_name}
        entry = self._choose(kind, class_name, list(entries.values()))
        if entry is not None:
            return self.load(entry)
        pack = next(
            (p for (of, name), p in KNOWN_PACKS.items() if of == kind and _camel(name) == class_name.lower()), None
        )
        raise UnknownNameError(kind, class_name, known=self.class_names(kind), install=pack)

    def class_names(self, kind: Kind) -> list[str]:
        """The class names that `find_class` knows, read from the entries' values."""
        declared = {entry.target.rpartition(":")[2] for entry in self.index.entries[GROUPS[kind]]}
        local = {target.__name__ for (of, _), target in self._local.items() if of == kind}
        return sorted(declared | local)


def import_entry(entry: Entry) -> Any:
    """Import the object an entry names, attributing any failure to its distribution.

    Raises:
        PluginLoadError: the module or the attribute cannot be had.
    """
    module_name, _, attributes = entry.target.partition(":")
    try:
        target: Any = importlib.import_module(module_name)
        for attribute in filter(None, attributes.split(".")):
            target = getattr(target, attribute)
    except KeyboardInterrupt:
        raise
    except BaseException as exc:  # noqa: BLE001 - the isolation boundary of loading: one plugin, SystemExit included
        cause = exc if isinstance(exc, Exception) else None
        raise PluginLoadError(
            distribution=entry.distribution,
            version=entry.version,
            target=entry.target,
            cause=describe_failure(exc),
            hint=_compatibility(entry),
        ) from cause
    return target


def _compatibility(entry: Entry) -> str | None:
    """What the plugin asks of the core, where that is not what is installed."""
    from importlib_metadata import version

    installed = version("limbeck-core")
    wanted = [req for req in entry.requirements if req.replace("_", "-").lower().startswith("limbeck-core")]
    for requirement in wanted:
        try:
            from packaging.requirements import Requirement

            if Requirement(requirement).specifier.contains(installed, prereleases=True):
                continue
        except Exception:  # noqa: BLE001, S110 - without `packaging`, or with an odd requirement, say both and let the reader judge
            pass
        return f"It requires `{requirement}`, and limbeck-core {installed} is installed."
    return None


def _check_loaded(entry: Entry, target: Any) -> None:
    kind = next((kind for kind, group in GROUPS.items() if group == entry.group), None)
    if kind is not None:
        _check_contract(kind, target, f"The {kind} {entry.name!r} of {entry.distribution} {entry.version}")


def _check_contract(kind: str, target: Any, subject: str) -> None:
    if not isinstance(target, type):
        raise PluginContractError(subject, [f"it must be a class, and `{_path_of(target)}` is {type(target).__name__}"])
    from ..protocols import class_faults

    faults = class_faults(kind, target)
    if faults:
        raise PluginContractError(subject, faults)


def _check_name(kind: str, name: str) -> None:
    if not NAME.fullmatch(name):
        raise RegistrationError(
            f"{name!r} cannot name a {kind}: a name is lower-case words of letters and digits "
            "joined by '-' or '.', such as 'pairwise-judge'."
        )


def _same_definition(old: Any, new: Any) -> bool:
    """Whether `new` is `old`, or its definition run once more (a notebook's cell)."""
    return old is new or _path_of(old) == _path_of(new)


def _path_of(target: Any) -> str:
    return f"{getattr(target, '__module__', '?')}:{getattr(target, '__qualname__', type(target).__qualname__)}"


def _already_imported(target: str) -> Any:
    module_name, _, attribute = target.partition(":")
    return getattr(sys.modules.get(module_name), attribute, None)


def _camel(name: str) -> str:
    return name.replace("-", "").replace(".", "")


def _pins() -> dict[str, str]:
    pairs = (item.partition("=") for item in os.environ.get("LIMBECK_PIN", "").replace(",", " ").split())
    return {name.strip(): distribution.strip().lower() for name, _, distribution in pairs}


_process_registry: Registry | None = None
_override: ContextVar[Registry | None] = ContextVar("limbeck_registry", default=None)


def default_registry() -> Registry:
    """The registry of this context: the process's own, unless `limbeck.testing.registry` swapped it."""
    global _process_registry  # noqa: PLW0603 - the one piece of global state the library has
    override = _override.get()
    if override is not None:
        return override
    if _process_registry is None:
        _process_registry = Registry()
    return _process_registry


def get_task(name: str) -> type[Any]:
    """The task class of that name, short (`text-generation`) or qualified (`acme-judges/pairwise-judge`).

    Raises:
        UnknownNameError, AmbiguousNameError, PluginLoadError, PluginContractError
    """
    return default_registry().get("task", name)  # type: ignore[no-any-return]  # a plugin's class


def get_llm(name: str) -> type[Any]:
    """The LLM class of that name. Raises as `get_task`."""
    return default_registry().get("llm", name)  # type: ignore[no-any-return]  # a plugin's class


def get_step(name: str) -> type[Any]:
    """The step class of that name. Raises as `get_task`."""
    return default_registry().get("step", name)  # type: ignore[no-any-return]  # a plugin's class


def list_tasks() -> list[str]:
    """The names of all tasks, sorted. Imports no plugin; names that hook plugins add appear once those are loaded."""
    return default_registry().names("task")


def list_llms() -> list[str]:
    """The names of all LLMs; as `list_tasks`."""
    return default_registry().names("llm")


def list_steps() -> list[str]:
    """The names of all steps; as `list_tasks`."""
    return default_registry().names("step")


def _registrar(kind: Kind) -> Callable[..., Any]:
    def register(name: str, cls: type | None = None, *, replace: bool = False) -> Any:
        if cls is None:
            return lambda decorated: register(name, decorated, replace=replace)
        default_registry().register(kind, name, cls, replace=replace)
        return cls

    register.__name__ = f"register_{kind}"
    register.__doc__ = (
        f"Name an {kind} class in this process; also a decorator, `@register_{kind}('my-name')`.\n\n"
        f"Raises:\n    RegistrationError: the name is malformed, or taken by another class.\n"
        f"    PluginContractError: the class lacks what a {kind} must have.\n"
    )
    return register


register_task = _registrar("task")
register_llm = _registrar("llm")
register_step = _registrar("step")


def refresh() -> None:
    """Scan the distributions anew, after a `pip install` in a running process (a notebook)."""
    default_registry().refresh()
