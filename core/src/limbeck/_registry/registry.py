"""Names to objects. A hit imports the one module that holds it, and nothing else."""

from __future__ import annotations

import importlib
import threading
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, cast, overload

from ..errors import (
    AmbiguousNameError,
    PluginContractError,
    RegistrationError,
    RegistryError,
    UnknownNameError,
)
from .index import GROUPS, HOOKS_GROUP, NAME, Entry, Index, Kind, known_pack
from .loading import check_contract, check_loaded, import_entry, is_imported_as, path_of
from .precedence import decide, pins
from .problems import LoadReport, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .hooks import Hooks
    from .precedence import AnyOffer, Offer

Class = TypeVar("Class", bound=type)
AnyTool = TypeVar("AnyTool")


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
class _Dynamic:
    """A name that a hook plugin registered."""

    name: str
    target: Any
    distribution: str
    version: str

    @property
    def qualified(self) -> str:
        return f"{self.distribution}/{self.name}"


class Registry:
    """The names of tasks, models, steps, tools and stores, declared by distributions or registered in the process.

    Args:
        path: where to look for distributions; `sys.path` by default.
    """

    def __init__(self, *, path: list[str] | None = None) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._local: dict[tuple[str, str], Any] = {}
        self._plugins: list[tuple[object, str]] = []
        self._start()

    def _start(self) -> None:
        self.report = LoadReport()
        self._index: Index | None = None
        self._hooks: Hooks | None = None
        self._loaded: dict[Entry, Any] = {}
        self._failed: dict[Entry, RegistryError] = {}
        self._dynamic: dict[tuple[str, str], dict[str, _Dynamic]] = {}

    def refresh(self) -> None:
        """Forget the scan and what was loaded, after an install in a running process. Registrations stay."""
        with self._lock:
            importlib.invalidate_caches()
            self._start()

    @property
    def index(self) -> Index:
        """The declared names; the first access scans the distributions."""
        if (
            self._index is not None
        ):  # without the lock: a module that looks a name up while it is imported must not wait
            return self._index
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

                hooks = self._hooks = Hooks(self)  # a plugin may look names up while it is loaded
                try:
                    hooks.load(self.index.entries[HOOKS_GROUP])
                    for plugin, label in self._plugins:
                        hooks.register_local(plugin, label)
                except BaseException:  # strictness: not half of them, the next access tries again
                    self._hooks = None
                    raise
            return self._hooks

    # Registering

    def register(self, kind: Kind, name: str, target: Any, *, replace: bool = False) -> None:
        """Give `target` a name in this process; it takes precedence over every installed one.

        Raises:
            RegistrationError: the name is malformed, or taken by another class.
            PluginContractError: `target` lacks what its kind must have.
        """
        _check_name(kind, name)
        check_contract(kind, target, f"The {kind} registered as {name!r}")
        old = self._local.get((kind, name))
        if old is not None and not replace and not _same_definition(old, target):
            raise RegistrationError(
                f"The {kind} {name!r} is registered already, as `{path_of(old)}`. "
                "Choose another name, or pass `replace=True`."
            )
        self._local[kind, name] = target

    def register_dynamic(self, kind: Kind, name: str, target: Any, *, distribution: str, version: str) -> None:
        """Give `target` a name on behalf of a distribution, whose declared names it may not shadow.

        Raises:
            RegistrationError: the name is malformed, declared by a distribution, or taken by another class.
            PluginContractError: `target` lacks what its kind must have.
        """
        _check_name(kind, name)
        check_contract(kind, target, f"The {kind} {name!r} of {distribution} {version}")
        who = f"{distribution} {version} registers the {kind} {name!r} at run time"
        declared = self.index.find(kind, name)
        if declared:
            raise RegistrationError(
                f"{who}, which {declared[0].distribution} {declared[0].version} declares. "
                "A declared name cannot be shadowed."
            )
        offers = self._dynamic.setdefault((kind, name), {})
        old = offers.get(distribution)
        if old is not None and not _same_definition(old.target, target):
            raise RegistrationError(f"{who} twice, as `{path_of(old.target)}` and as `{path_of(target)}`.")
        offers[distribution] = _Dynamic(name, target, distribution, version)

    def register_plugin(self, plugin: object, label: str) -> None:
        """Take in an object with hook implementations; the same object again changes nothing.

        Raises:
            PluginContractError: its implementations do not fit the hooks.
        """
        from .hooks import plugin_faults

        faults = plugin_faults(plugin)
        if faults:
            raise PluginContractError(f"The plugin {label!r}", [f"`{hook}`: {fault}" for hook, fault in faults])
        with self._lock:
            if any(known is plugin for known, _ in self._plugins):
                return
            self._plugins.append((plugin, label))
            if self._hooks is not None:
                self._hooks.register_local(plugin, label)

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
        """Tell whether an installed distribution declares exactly this `distribution/name`."""
        return any(entry.qualified == qualified for entry in self.index.find(kind, qualified))

    def _choose(self, kind: Kind, name: str, offers: Sequence[AnyOffer]) -> AnyOffer | None:
        """Choose the offer that has precedence for `name`."""
        winner = decide(name, offers).winner if offers else None
        if winner is not None or not offers:
            return winner
        pinned = pins().get(name)
        if pinned is not None:
            raise RegistryError(
                f"LIMBECK_PIN says that the {kind} {name!r} comes from {pinned!r}, which does not offer it. "
                f"Offered by: {', '.join(offer.distribution for offer in offers)}."
            )
        raise AmbiguousNameError(
            kind, name, candidates=[(offer.qualified, offer.distribution, offer.version) for offer in offers]
        )

    def _get_dynamic(self, kind: Kind, name: str) -> Any:
        _ = self.hooks  # a name miss is what hook plugins are imported for
        offer = self._choose(kind, name, self._dynamic_offers(kind, name))
        if offer is None:
            raise self._unknown(kind, name, known=self.names(kind))
        return offer.target

    def _dynamic_offers(self, kind: Kind, name: str) -> list[_Dynamic]:
        offers = self._dynamic.get((kind, name.rpartition("/")[2]), {})
        return [offer for offer in offers.values() if name in (offer.name, offer.qualified)]

    def _unknown(self, kind: Kind, name: str, *, known: Sequence[str]) -> UnknownNameError:
        from .._elsewhere import instead_of

        disabled = [reason for entry, reason in self.index.disabled if self._means(entry, kind, name)]
        installed = {entry.distribution for entries in self.index.entries.values() for entry in entries}
        pack = known_pack(kind, name)
        return UnknownNameError(
            kind,
            name,
            known=known,
            suspects=self._suspects(),
            install=pack if pack not in installed and not disabled else None,
            disabled_by=disabled[0] if disabled else None,
            instead=instead_of(kind, name),
        )

    @staticmethod
    def _means(entry: Entry, kind: Kind, name: str) -> bool:
        return entry.group == GROUPS[kind] and name in (entry.name, entry.qualified, _class_name(entry))

    def _suspects(self) -> list[str]:
        """The distributions that might offer a missing name: those whose names could not all be read or registered."""
        problems = {
            f"{problem.distribution or 'an unnamed distribution'} {problem.version}".strip()
            + f" ({problem.subject}: {problem.message})"
            for problem in self.report.all()
            if problem.kind in ("metadata", "name", "hook")
        }
        failed = {
            f"{entry.distribution} {entry.version} ({entry.target}: {getattr(error, 'cause', error)})"
            for entry, error in self._failed.items()
            if entry.group == HOOKS_GROUP
        }
        return sorted(problems | failed)

    # Loading

    def load(self, entry: Entry) -> Any:
        """Import what `entry` names, once; a failure is remembered and raised again."""
        if entry in self._loaded:
            return self._loaded[entry]
        if entry in self._failed:
            raise self._failed[entry].with_traceback(None)  # or it would grow with each raise
        try:
            target = import_entry(entry)
            check_loaded(entry, target)
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
        """The installed and registered names of a kind, with their state. Imports no plugin."""
        rows = [self._listing(kind, entry) for entry in self.index.entries[GROUPS[kind]]]
        rows += [
            Listing(e.name, e.qualified, e.distribution, e.version, e.summary, e.target, f"disabled by {reason}")
            for e, reason in self.index.disabled
            if e.group == GROUPS[kind]
        ]
        rows += [
            self._dynamic_listing(kind, offer)
            for (of, _), offers in self._dynamic.items()
            if of == kind
            for offer in offers.values()
        ]
        rows += [
            Listing(name, name, "", "", "registered in this process", path_of(target), "loaded")
            for (of, name), target in self._local.items()
            if of == kind
        ]
        return sorted(rows, key=lambda row: (row.name, row.distribution))

    def _listing(self, kind: Kind, entry: Entry) -> Listing:
        name, status = self._standing(kind, entry, self.index.find(kind, entry.name), self._status(entry))
        return Listing(name, entry.qualified, entry.distribution, entry.version, entry.summary, entry.target, status)

    def _dynamic_listing(self, kind: Kind, offer: _Dynamic) -> Listing:
        name, status = self._standing(kind, offer, self._dynamic_offers(kind, offer.name), "loaded")
        return Listing(name, offer.qualified, offer.distribution, offer.version, "", path_of(offer.target), status)

    def _standing(self, kind: Kind, offer: Entry | _Dynamic, offers: Sequence[Offer], status: str) -> tuple[str, str]:
        """The name to ask for, and the status, among all that offer the same short name."""
        if (kind, offer.name) in self._local:
            return offer.qualified, "shadowed by a registration in this process"
        try:
            chosen = self._choose(kind, offer.name, offers)
        except RegistryError:
            return offer.qualified, "ambiguous" if status == "available" else status
        if chosen is None or chosen == offer:
            return offer.name, status
        return offer.qualified, f"shadowed by {chosen.distribution}"

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
            if is_imported_as(cls, entry.target):
                return entry.name
        for (of, name), offers in self._dynamic.items():
            if of == kind and any(offer.target is cls for offer in offers.values()):
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
        entry = self._choose(kind, class_name, self._entries_of_class(kind, class_name))
        if entry is None:
            raise self._unknown(kind, class_name, known=self.class_names(kind))
        return self.load(entry)

    def _entries_of_class(self, kind: Kind, class_name: str) -> list[Entry]:
        """The entries whose value ends in that class name, one a class; a pin on their own names decides."""
        named = [entry for entry in self.index.entries[GROUPS[kind]] if _class_name(entry) == class_name]
        pinned = [entry for entry in named if pins().get(entry.name) == entry.distribution]
        return list({(entry.distribution, entry.target): entry for entry in pinned or named}.values())

    def class_names(self, kind: Kind) -> list[str]:
        """The class names that `find_class` knows, read from the entries' values."""
        declared = {_class_name(entry) for entry in self.index.entries[GROUPS[kind]]}
        local = {target.__name__ for (of, _), target in self._local.items() if of == kind}
        return sorted(declared | local)


def _check_name(kind: str, name: object) -> None:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise RegistrationError(
            f"{name!r} cannot name a {kind}: a name is lower-case words of letters and digits "
            "joined by '-' or '.', such as 'pairwise-judge'."
        )


def _same_definition(old: Any, new: Any) -> bool:
    """Tell whether `new` is `old`, or its definition run once more (a notebook's cell)."""
    return old is new or path_of(old) == path_of(new)


def _class_name(entry: Entry) -> str:
    return entry.target.rpartition(":")[2].rpartition(".")[2]


_process_registry = Registry()  # the one piece of global state the library has; empty until it is asked
_override: ContextVar[Registry | None] = ContextVar("limbeck_registry", default=None)


def default_registry() -> Registry:
    """The registry of this context: the process's own, unless `limbeck.testing.registry` swapped it."""
    return _override.get() or _process_registry


def get_task(name: str) -> type[Any]:
    """The task class of that name, short (`text-generation`) or qualified (`acme-judges/pairwise-judge`).

    Raises:
        UnknownNameError, AmbiguousNameError, PluginLoadError, PluginContractError
    """
    return default_registry().get("task", name)  # type: ignore[no-any-return]  # a plugin's class


def get_llm(name: str) -> type[Any]:
    """The LLM class of that name. Raises as `get_task`."""
    return default_registry().get("llm", name)  # type: ignore[no-any-return]  # a plugin's class


def get_embedder(name: str) -> type[Any]:
    """The embedder class of that name. Raises as `get_task`."""
    return default_registry().get("embedder", name)  # type: ignore[no-any-return]  # a plugin's class


def get_scorer(name: str) -> type[Any]:
    """The scorer class of that name. Raises as `get_task`."""
    return default_registry().get("scorer", name)  # type: ignore[no-any-return]  # a plugin's class


def get_image_generator(name: str) -> type[Any]:
    """The image generator class of that name. Raises as `get_task`."""
    return default_registry().get("image_generator", name)  # type: ignore[no-any-return]  # a plugin's class


def get_step(name: str) -> type[Any]:
    """The step class of that name. Raises as `get_task`."""
    return default_registry().get("step", name)  # type: ignore[no-any-return]  # a plugin's class


def list_tasks() -> list[str]:
    """The names of all tasks, sorted. Imports no plugin; names that hook plugins add appear once those are loaded."""
    return default_registry().names("task")


def list_llms() -> list[str]:
    """The names of all LLMs; as `list_tasks`."""
    return default_registry().names("llm")


def list_embedders() -> list[str]:
    """The names of all embedders; as `list_tasks`."""
    return default_registry().names("embedder")


def list_scorers() -> list[str]:
    """The names of all scorers; as `list_tasks`."""
    return default_registry().names("scorer")


def list_image_generators() -> list[str]:
    """The names of all image generators; as `list_tasks`."""
    return default_registry().names("image_generator")


def list_steps() -> list[str]:
    """The names of all steps; as `list_tasks`."""
    return default_registry().names("step")


def list_tools() -> list[str]:
    """The names of all tools; as `list_tasks`."""
    return default_registry().names("tool")


class Registrar(Protocol):
    """Names a class in this process, also as a decorator: `@register_task("my-name")`."""

    @overload
    def __call__(self, name: str, cls: Class, *, replace: bool = False) -> Class: ...
    @overload
    def __call__(self, name: str, *, replace: bool = False) -> Callable[[Class], Class]: ...


class ToolRegistrar(Protocol):
    """Names a tool in this process: a typed function, an object with the methods of a tool, or a class of such."""

    @overload
    def __call__(self, name: str, tool: AnyTool, *, replace: bool = False) -> AnyTool: ...
    @overload
    def __call__(self, name: str, *, replace: bool = False) -> Callable[[AnyTool], AnyTool]: ...


def _registrar(kind: Kind) -> Registrar:
    def register(name: str, cls: Any = None, *, replace: bool = False) -> Any:
        _check_name(kind, name)
        if cls is None:
            return lambda decorated: register(name, decorated, replace=replace)
        default_registry().register(kind, name, cls, replace=replace)
        return cls

    register.__name__ = register.__qualname__ = f"register_{kind}"
    register.__doc__ = (
        f"Give a {'tool' if kind == 'tool' else 'class'} its name among the {kind}s of this process; "
        f"also a decorator, `@register_{kind}('my-name')`.\n\n"
        f"Raises:\n    RegistrationError: the name is malformed, or taken by another class.\n"
        f"    PluginContractError: the class lacks what a {kind} must have.\n"
    )
    return register


register_task = _registrar("task")
register_llm = _registrar("llm")
register_embedder = _registrar("embedder")
register_scorer = _registrar("scorer")
register_image_generator = _registrar("image_generator")
register_step = _registrar("step")
register_tool = cast("ToolRegistrar", _registrar("tool"))


def refresh() -> None:
    """Scan the distributions anew, after a `pip install` in a running process (a notebook)."""
    default_registry().refresh()
