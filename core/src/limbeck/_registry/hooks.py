"""Hook plugins: names known only at run time, and observers of a run.

pluggy defines and validates the hooks. Observers are called one by one, each behind its own
guard, because one raising implementation would discard its peers' results.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

import pluggy

from ..errors import LimbeckWarning, PluginContractError, RegistryError, did_you_mean
from .problems import LoadReport, Problem, describe
from .shown import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ..errors import GenerationError
    from ..types import PipelineInfo, Request, Response, Row, RunInfo, RunReport, RunStats, Usage
    from .index import Entry
    from .registry import Registry

hookspec = pluggy.HookspecMarker("limbeck")
hookimpl = pluggy.HookimplMarker("limbeck")


class HookSpecs:
    """Every hook. An implementation may take any subset of the arguments, by name."""

    @hookspec
    def limbeck_register(self, registry: Registrar) -> None:
        """Register names that are known only at run time, through `registry.task(name, cls)` and the like.

        Its methods are `task`, `step`, `tool`, `llm`, `embedder`, `scorer` and `image_generator`.
        """

    @hookspec
    def limbeck_pipeline_started(self, pipeline: PipelineInfo) -> None:
        """A pipeline begins. `pipeline` has `id`, `name`, `steps` (names) and `edges` (pairs of names)."""

    @hookspec
    def limbeck_pipeline_finished(self, pipeline: PipelineInfo, report: RunReport, error: BaseException | None) -> None:
        """A pipeline ended; `error` is what stopped it, or None."""

    @hookspec
    def limbeck_run_started(self, run: RunInfo) -> None:
        """A task, or another step of a pipeline, begins to take rows.

        `run` has `id`, `task` (its name), `model_name`, `kind`, `stats` (its counters, live) and `pipeline`.
        """

    @hookspec
    def limbeck_run_finished(self, run: RunInfo, stats: RunStats, error: BaseException | None) -> None:
        """A run ended; `stats` are its counters, `error` what stopped it or None."""

    @hookspec
    def limbeck_request_started(self, run: RunInfo, request: Request, id: str, turn: str | None) -> None:
        """A request is about to be sent; called for every attempt of every row, also where rows share one.

        `id` is the row's, and `turn` its place in the row's conversation, None for the one call of a row.
        """

    @hookspec
    def limbeck_request_finished(  # noqa: PLR0917 - an implementation names those it takes
        self,
        run: RunInfo,
        request: Request,
        response: Response,
        latency: float,
        id: str,
        turn: str | None,
    ) -> None:
        """A request was answered, after `latency` seconds."""

    @hookspec
    def limbeck_request_failed(  # noqa: PLR0917 - as above
        self,
        run: RunInfo,
        request: Request,
        error: GenerationError,
        attempt: int,
        will_retry: bool,
        id: str,
        turn: str | None,
    ) -> None:
        """An attempt failed with a typed `error`."""

    @hookspec
    def limbeck_row_failed(self, run: RunInfo, id: str, row: Row, error: GenerationError) -> None:
        """A row failed, with a typed `error`; `row` is as it came, and `id` says where from."""

    @hookspec
    def limbeck_rows_written(self, run: RunInfo, rows: Sequence[Row]) -> None:
        """Rows left the run, in order."""

    @hookspec
    def limbeck_price(self, model: str, provider: str, base_url: str | None, usage: Usage) -> float | None:
        """US dollars that one response cost, or None where it is unknown; the first plugin that knows counts.

        `provider` is the LLM's registered name, `base_url` its server where it has one, and
        `usage` a `limbeck.types.Usage`. It is also asked what a request may cost, before it is sent.
        """


class Registrar:
    """What `limbeck_register` is given: registers names on behalf of the plugin's distribution."""

    def __init__(self, registry: Registry, *, distribution: str, version: str) -> None:
        self._registry = registry
        self._owner = {"distribution": distribution, "version": version}

    def task(self, name: str, cls: type) -> None:
        """Register a task class."""
        self._registry.register_dynamic("task", name, cls, **self._owner)

    def llm(self, name: str, cls: type) -> None:
        """Register an LLM class."""
        self._registry.register_dynamic("llm", name, cls, **self._owner)

    def embedder(self, name: str, cls: type) -> None:
        """Register an embedder class."""
        self._registry.register_dynamic("embedder", name, cls, **self._owner)

    def scorer(self, name: str, cls: type) -> None:
        """Register a scorer class."""
        self._registry.register_dynamic("scorer", name, cls, **self._owner)

    def image_generator(self, name: str, cls: type) -> None:
        """Register an image generator class."""
        self._registry.register_dynamic("image_generator", name, cls, **self._owner)

    def step(self, name: str, cls: type) -> None:
        """Register a step class."""
        self._registry.register_dynamic("step", name, cls, **self._owner)

    def tool(self, name: str, tool: Any) -> None:
        """Register a tool: a typed function, an object with the methods of a tool, or a class of such."""
        self._registry.register_dynamic("tool", name, tool, **self._owner)


# The same objects in all hooks of one run. Nothing of them can be set.
_THE_SAME = frozenset({"run", "pipeline"})


def _facts_for(impl: Any, facts: dict[str, Any]) -> list[Any]:
    """What an implementation has asked for: copies, of which it may make what it likes."""
    return [facts[name] if name in _THE_SAME else shown(facts[name]) for name in impl.argnames]


def _call(impl: Any, facts: dict[str, Any]) -> Any:
    answer = impl.function(*_facts_for(impl, facts))
    if isinstance(answer, Coroutine):
        answer.close()
        raise TypeError("it is `async def`, and nobody awaits it; make it a plain `def`")
    return answer


def _is_the_users(error: BaseException) -> bool:
    """Whether an error is a Ctrl-C: Python raises those in the main thread, and no hook may take them."""
    return isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread()


class Observer:
    """All implementations of one observing hook."""

    __slots__ = ("_hooks", "_impls")

    def __init__(self, impls: Sequence[Any], hooks: Hooks) -> None:
        self._impls = impls
        self._hooks = hooks

    def __call__(self, **facts: Any) -> None:
        for impl in self._impls:
            try:
                _call(impl, facts)
            except BaseException as exc:  # the isolation boundary of observers: one of them
                if _is_the_users(exc):
                    raise
                self._hooks.hook_failed("observer", impl, exc)


class Asker:
    """All implementations of one hook that answers: the first answer that is not None counts."""

    __slots__ = ("_check", "_hooks", "_impls")

    def __init__(self, impls: Sequence[Any], hooks: Hooks, check: Callable[[Any], object]) -> None:
        self._impls = impls
        self._hooks = hooks
        self._check = check

    def __call__(self, **facts: Any) -> Any:
        for impl in self._impls:
            try:
                answer = _call(impl, facts)
                if answer is not None:
                    self._check(answer)
                    return answer
            except BaseException as exc:  # the isolation boundary of answering hooks: one of them
                if _is_the_users(exc):
                    raise
                self._hooks.hook_failed("hook", impl, exc)
        return None


class Hooks:
    """The plugins that implement hooks, and the report of those that do it wrong."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._owners: dict[str, tuple[str, str]] = {}
        self._manager = _manager()

    @property
    def _report(self) -> LoadReport:
        return self._registry.report

    def load(self, entries: Sequence[Entry]) -> None:
        """Import and register the plugins that `entries` name; each failure costs only its plugin.

        Raises:
            RegistryError: the environment asks for strictness.
        """
        for entry in entries:
            try:
                plugin = self._registry.load(entry)
            except RegistryError as exc:
                if self._report.strict:
                    raise
                _warn(f"A hook plugin is not used: {exc}")
                continue
            self._register(plugin, name=entry.qualified, distribution=entry.distribution, version=entry.version)

    def register_local(self, plugin: object, label: str) -> None:
        """Take in a plugin that was registered in this process, and that is known to fit the hooks."""
        self._register(plugin, name=f"{label}#{id(plugin)}", distribution=label, version="")

    def with_plugins(self, plugins: Sequence[object]) -> Hooks:
        """These hooks, and for one run those of `plugins` too.

        Raises:
            PluginContractError: an implementation is misspelt, not marked, or has arguments that its hook lacks.
        """
        scoped = Hooks(self._registry)
        scoped._owners.update(self._owners)
        for name, plugin in self._manager.list_name_plugin():
            scoped._manager.register(plugin, name=name)
        for plugin in plugins:
            label = type(plugin).__name__
            faults = plugin_faults(plugin)
            if faults:
                raise PluginContractError(f"The observer `{label}`", [f"`{hook}`: {fault}" for hook, fault in faults])
            scoped.register_local(plugin, label)
        return scoped

    def _register(self, plugin: object, *, name: str, distribution: str, version: str) -> None:
        self._owners[name] = (distribution, version)
        try:
            self._manager.register(plugin, name=name)
        except Exception as exc:  # noqa: BLE001 - the isolation boundary of hook plugins: one of them
            self._blame(name, "its hooks cannot be registered", describe(exc))
            return
        for hook, fault in _unheard(self._manager, plugin):
            self._blame(name, hook, fault)
        self._let_register(plugin, name)

    def _let_register(self, plugin: object, name: str) -> None:
        distribution, version = self._owners[name]
        registrar = Registrar(self._registry, distribution=distribution, version=version)
        for impl in self._manager.hook.limbeck_register.get_hookimpls():
            if impl.plugin is plugin:
                try:
                    impl.function(*([registrar] if impl.argnames else []))
                except BaseException as exc:  # the isolation boundary of registration: one plugin
                    if _is_the_users(exc):
                        raise
                    self._blame(name, "limbeck_register", describe(exc), error=exc)

    def observer(self, hook: str) -> Observer | None:
        """The implementations of `hook`, or None: who has no observer pays nothing."""
        impls = list(reversed(getattr(self._manager.hook, hook).get_hookimpls()))
        return Observer(impls, self) if impls else None

    def asker(self, hook: str, *, check: Callable[[Any], object]) -> Asker | None:
        """The implementations of a hook that answers, or None; `check` raises for what is no answer."""
        impls = list(reversed(getattr(self._manager.hook, hook).get_hookimpls()))
        return Asker(impls, self, check) if impls else None

    def hook_failed(self, kind: Literal["observer", "hook"], impl: Any, exc: BaseException) -> None:
        """Report a failing hook, once for each kind of failure; the run goes on, even where warnings are errors."""
        distribution, version = self._owners[impl.plugin_name]
        problem = Problem(kind, distribution, version, impl.function.__name__, describe(exc))
        if problem not in self._report.all():
            self._report.note(problem)
            with suppress(LimbeckWarning):
                _warn(f"{'An observer' if kind == 'observer' else 'A hook'} failed and was ignored: {problem}")

    def _blame(self, name: str, subject: str, message: str, *, error: BaseException | None = None) -> None:
        distribution, version = self._owners[name]
        problem = Problem("hook", distribution, version, subject, message)
        self._report.record(problem, error=error if isinstance(error, RegistryError) else None)
        _warn(f"A hook of a plugin is not used: {problem}")


def _manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager("limbeck")
    manager.add_hookspecs(HookSpecs)
    return manager


def plugin_faults(plugin: object) -> list[tuple[str, str]]:
    """The hook and the fault, for each implementation of `plugin` that does not fit a hook."""
    manager = _manager()
    try:
        manager.register(plugin)
    except (pluggy.PluginValidationError, ValueError) as exc:
        return [("hookimpl", describe(exc))]
    return list(_unheard(manager, plugin))


def _unheard(manager: pluggy.PluginManager, plugin: object) -> Iterator[tuple[str, str]]:
    """Implementations that pluggy takes and never calls: misspelt, or not marked."""
    hooks = [name for name in vars(HookSpecs) if name.startswith("limbeck_")]
    for caller in manager.get_hookcallers(plugin) or ():
        if caller.spec is None:
            yield caller.name, f"there is no such hook.{did_you_mean(caller.name, hooks)}"
    for hook in hooks:
        implementations = getattr(manager.hook, hook).get_hookimpls()
        if hasattr(plugin, hook) and not any(impl.plugin is plugin for impl in implementations):
            yield hook, "it is not marked; put `@hookimpl` (from limbeck) above it"


def _warn(message: str) -> None:
    warnings.warn(message, LimbeckWarning, stacklevel=2)


def register_plugin(plugin: object, *, name: str | None = None) -> None:
    """Register an object or module with hook implementations in this process.

    Args:
        plugin: has functions marked with `limbeck.hookimpl`.
        name: how reports call it; its class or module name by default.

    Raises:
        PluginContractError: an implementation is misspelt, not marked, or has arguments that its hook lacks.
    """
    from .registry import default_registry

    label = name or str(getattr(plugin, "__name__", type(plugin).__name__))
    default_registry().register_plugin(plugin, label)
