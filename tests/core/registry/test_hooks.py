"""Hook plugins: when they are imported, what they may register, and how little a bad one costs."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, get_type_hints

import pytest

from limbeck import Task, errors, get_task, hookimpl, list_tasks, refresh, register_plugin, register_task, types
from limbeck._registry import hooks
from limbeck._registry.registry import default_registry
from limbeck.errors import (
    AmbiguousNameError,
    LimbeckWarning,
    PluginContractError,
    PluginLoadError,
    RateLimitError,
    TransientError,
    UnknownNameError,
)
from limbeck.testing import EchoLLM, ScriptedLLM, registry
from support.packs import TASK, seeing_only, write_pack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from limbeck.types import ChatType, Row


@pytest.fixture(autouse=True)
def packs(tmp_path: Path) -> Iterator[Path]:
    with seeing_only(tmp_path) as folder:
        yield folder


REGISTERS = (
    "from limbeck import hookimpl\n"
    f"{TASK.format(name='Dynamic')}\n"
    "@hookimpl\n"
    "def limbeck_register(registry):\n"
    "    registry.task('dynamic', Dynamic)\n"
)


def write_hooks(folder: Path, distribution: str, source: str, *, tasks: str = "") -> None:
    """A pack with hooks in the module `<distribution>_hooks`."""
    module = f"{distribution.replace('-', '_')}_hooks"
    points = f"[limbeck.plugins]\nhooks = {module}\n[limbeck.tasks]\n{tasks}\n"
    write_pack(folder, distribution, points, version="1.2", **{module: source})


class Shout(Task):
    """Asks with a row's text."""

    @property
    def inputs(self) -> list[str]:
        return ["text"]

    @property
    def outputs(self) -> list[str]:
        return ["answer"]

    def format_input(self, input: Row) -> ChatType:
        return [{"role": "user", "content": input["text"]}]

    def format_output(self, output: str | None, input: Row) -> Row:
        return {"answer": output}


def shout(llm: Any = None, *, rows: int = 1) -> list[Row]:
    return next(Shout(llm=llm or EchoLLM()).process([{"text": f"row {number}"} for number in range(rows)]))


def problems() -> list[str]:
    return [str(problem) for problem in default_registry().report.all()]


# When they are imported


def test_a_hit_and_a_listing_import_no_hook_plugin(packs: Path) -> None:
    write_hooks(packs, "acme", REGISTERS)
    register_task("shout", Shout)

    get_task("shout")
    list_tasks()

    assert "acme_hooks" not in sys.modules


def test_a_miss_imports_the_hook_plugins(packs: Path) -> None:
    write_hooks(packs, "acme", "")

    with pytest.raises(UnknownNameError):
        get_task("there-is-none")
    assert "acme_hooks" in sys.modules


def test_the_start_of_a_run_imports_the_hook_plugins(packs: Path) -> None:
    write_hooks(packs, "acme", "")
    task = Shout(llm=EchoLLM())
    assert "acme_hooks" not in sys.modules

    next(task.process([{"text": "x"}]))

    assert "acme_hooks" in sys.modules


def test_a_disabled_hook_plugin_is_never_imported(packs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_hooks(packs, "acme", REGISTERS)
    monkeypatch.setenv("LIMBECK_DISABLE_PLUGINS", "acme")

    with pytest.raises(UnknownNameError):
        get_task("dynamic")
    assert "acme_hooks" not in sys.modules


# Names known only at run time


@pytest.mark.parametrize("name", ["dynamic", "acme/dynamic"])
def test_a_name_that_a_hook_registers_is_found(packs: Path, name: str) -> None:
    write_hooks(packs, "acme", REGISTERS)

    assert get_task(name).__name__ == "Dynamic"


def test_a_registered_name_is_listed_once_its_plugin_is_loaded(packs: Path) -> None:
    write_hooks(packs, "acme", REGISTERS)
    assert list_tasks() == []

    get_task("dynamic")

    assert list_tasks() == ["dynamic"]


def test_every_kind_of_name_can_be_registered_by_a_hook(packs: Path) -> None:
    class Plugin:
        @hookimpl
        def limbeck_register(self, registry: Any) -> None:
            registry.llm("echo", EchoLLM)
            registry.step("shout", Shout)

    register_plugin(Plugin(), name="acme")

    assert default_registry().get("llm", "acme/echo") is EchoLLM
    assert default_registry().get("step", "shout") is Shout


def test_a_class_knows_the_name_that_a_hook_gave_it(packs: Path) -> None:
    write_hooks(packs, "acme", REGISTERS)

    assert default_registry().name_of("task", get_task("dynamic")) == "dynamic"


def test_a_declared_name_cannot_be_shadowed_by_a_hook(packs: Path) -> None:
    write_pack(packs, "honest", "[limbeck.tasks]\ndynamic = honest:Judge\n", honest=TASK.format(name="Judge"))
    write_hooks(packs, "acme", REGISTERS)

    with pytest.warns(LimbeckWarning, match="A hook of a plugin is not used: acme 1.2: limbeck_register"):
        shout()

    assert get_task("dynamic").__module__ == "honest"
    (problem,) = problems()
    assert "acme 1.2 registers the task 'dynamic' at run time, which honest 1.0 declares" in problem


def test_a_name_that_two_hooks_register_is_ambiguous(packs: Path) -> None:
    write_hooks(packs, "acme", REGISTERS)
    write_hooks(packs, "zenith", REGISTERS)

    with pytest.raises(AmbiguousNameError, match=r"acme 1\.2 \(`acme/dynamic`\)") as caught:
        get_task("dynamic")
    assert [get_task(name).__module__ for name in sorted(caught.value.candidates)] == ["acme_hooks", "zenith_hooks"]
    assert list_tasks() == ["acme/dynamic", "zenith/dynamic"]


def test_a_pin_chooses_among_hooks_too(packs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_hooks(packs, "acme", REGISTERS)
    write_hooks(packs, "zenith", REGISTERS)
    monkeypatch.setenv("LIMBECK_PIN", "dynamic=zenith")

    assert get_task("dynamic").__module__ == "zenith_hooks"


def test_a_registration_in_the_process_wins_over_a_hook(packs: Path) -> None:
    write_hooks(packs, "acme", REGISTERS)
    with pytest.raises(UnknownNameError):
        get_task("other")
    register_task("dynamic", Shout)

    assert get_task("dynamic") is Shout
    assert list_tasks() == ["acme/dynamic", "dynamic"]


def test_a_plugin_cannot_register_two_classes_under_one_name(packs: Path) -> None:
    twice = REGISTERS + "    registry.task('dynamic', type('Second', (Dynamic,), {}))\n"
    write_hooks(packs, "acme", twice)

    with pytest.warns(LimbeckWarning, match="registers the task 'dynamic' at run time twice"):
        assert get_task("dynamic").__name__ == "Dynamic"


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("registry.task('Bad Name', Dynamic)", "'Bad Name' cannot name a task"),
        ("registry.task('bad', int)", "The task 'bad' of acme 1.2: it must define"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import sys; sys.exit()", "SystemExit"),
    ],
)
def test_a_registration_that_fails_is_reported_and_costs_only_itself(packs: Path, body: str, fault: str) -> None:
    write_hooks(packs, "acme", f"{REGISTERS}    {body}\n")
    write_hooks(packs, "zenith", REGISTERS.replace("'dynamic'", "'other'"))

    with pytest.warns(LimbeckWarning, match=re.escape(fault)):
        assert get_task("other").__module__ == "zenith_hooks"
    assert get_task("dynamic").__module__ == "acme_hooks"


def test_a_hook_may_look_names_up_while_it_registers(packs: Path) -> None:
    asks = REGISTERS + (
        "    from limbeck import get_task\n"
        "    try:\n        get_task('there-is-none')\n"
        "    except LookupError:\n        registry.task('asked', Dynamic)\n"
    )
    write_hooks(packs, "acme", asks)

    assert get_task("asked").__name__ == "Dynamic"


# Plugins that do it wrong

WRONG = [
    (
        "@hookimpl\ndef limbeck_run_startd(run): ...",
        "limbeck_run_startd",
        "there is no such hook. Did you mean `limbeck_run_started`",
    ),
    (
        "def limbeck_run_started(run): ...",
        "limbeck_run_started",
        "it is not marked; put `@hookimpl` (from limbeck) above it",
    ),
    ("@hookimpl\ndef limbeck_run_started(rum): ...", "its hooks cannot be registered", "hook 'limbeck_run_started'"),
]


@pytest.mark.parametrize(("source", "subject", "message"), WRONG)
def test_a_hook_that_would_never_be_called_is_reported_with_its_distribution(
    packs: Path, source: str, subject: str, message: str
) -> None:
    write_hooks(packs, "acme", f"from limbeck import hookimpl\n{source}\n")

    with pytest.warns(LimbeckWarning, match="A hook of a plugin is not used: acme 1.2: "):
        shout()

    (problem,) = default_registry().report.all()
    assert (problem.kind, problem.distribution, problem.version, problem.subject) == ("hook", "acme", "1.2", subject)
    assert message in problem.message


@pytest.mark.parametrize("source", ["1 / 0", "import sys; sys.exit()"])
def test_a_hook_plugin_that_does_not_import_costs_only_itself(packs: Path, source: str) -> None:
    write_hooks(packs, "bad", source)
    write_hooks(packs, "good", REGISTERS)

    with pytest.warns(
        LimbeckWarning, match=r"A hook plugin is not used: The plugin bad 1\.2 failed to load `bad_hooks`"
    ):
        assert get_task("dynamic").__module__ == "good_hooks"
    assert [row["answer"] for row in shout()] == ["row 0"]


def test_strictness_makes_a_hook_plugin_that_does_not_import_an_error_of_every_run(
    packs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_hooks(packs, "bad", "1 / 0")
    monkeypatch.setenv("LIMBECK_STRICT_PLUGINS", "1")

    for _ in range(2):
        with pytest.raises(PluginLoadError, match=r"The plugin bad 1\.2 failed to load"):
            shout()


# Observers


class Recorder:
    """Notes every call it is told of."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []

    @hookimpl
    def limbeck_run_started(self, run: Any) -> None:
        self.calls.append(("run_started", {"run": run}))

    @hookimpl
    def limbeck_run_finished(self, run: Any, stats: Any, error: Any) -> None:
        self.calls.append(("run_finished", {"run": run, "stats": stats, "error": error}))

    @hookimpl
    def limbeck_request_started(self, run: Any, request: Any) -> None:
        self.calls.append(("request_started", {"run": run, "request": request}))

    @hookimpl
    def limbeck_request_finished(self, run: Any, request: Any, response: Any, latency: float) -> None:
        self.calls.append(("request_finished", {"request": request, "response": response, "latency": latency}))

    @hookimpl
    def limbeck_request_failed(self, run: Any, request: Any, error: Any, attempt: int, will_retry: bool) -> None:
        self.calls.append(("request_failed", {"error": error, "attempt": attempt, "will_retry": will_retry}))

    @hookimpl
    def limbeck_rows_written(self, run: Any, rows: Any) -> None:
        self.calls.append(("rows_written", {"rows": list(rows)}))

    def facts(self, name: str) -> list[dict[str, Any]]:
        return [facts for called, facts in self.calls if called == name]


@pytest.fixture
def recorder() -> Recorder:
    recorder = Recorder()
    register_plugin(recorder)
    return recorder


def test_a_run_tells_its_observers_what_happens_in_order(recorder: Recorder) -> None:
    shout()

    assert [name for name, _ in recorder.calls] == [
        "run_started",
        "request_started",
        "request_finished",
        "rows_written",
        "run_finished",
    ]


def test_observers_are_told_the_facts(recorder: Recorder) -> None:
    rows = shout()

    (started,), (asked,), (answered,), (written,), (finished,) = map(
        recorder.facts, ["run_started", "request_started", "request_finished", "rows_written", "run_finished"]
    )
    assert (started["run"].task, started["run"].model_name) == ("shout", "echo")
    assert asked["request"].messages == [{"role": "user", "content": "row 0"}]
    assert answered["response"].generations[0].text == "row 0"
    assert answered["latency"] >= 0
    assert written["rows"] == rows
    assert (finished["error"], finished["stats"].rows_done) == (None, 1)
    assert finished["run"].id == started["run"].id


def test_observers_are_told_of_failed_attempts_and_whether_they_are_repeated(recorder: Recorder) -> None:
    script = [TransientError("down", retry_after=0.0), RateLimitError("slow down", retry_after=0.0), "yes"]

    shout(ScriptedLLM(script=script))

    failed = recorder.facts("request_failed")
    assert [type(facts["error"]) for facts in failed] == [TransientError, RateLimitError]
    assert [facts["will_retry"] for facts in failed] == [True, True]
    assert len(recorder.facts("request_started")) == 3


def test_an_implementation_takes_only_the_arguments_it_wants() -> None:
    told = []

    class Plugin:
        @hookimpl
        def limbeck_run_finished(self, error: Any) -> None:
            told.append(error)

    register_plugin(Plugin())
    shout()

    assert told == [None]


def test_all_observers_of_a_hook_are_called(packs: Path, recorder: Recorder) -> None:
    second = Recorder()
    register_plugin(second, name="second")

    shout()

    assert [name for name, _ in second.calls] == [name for name, _ in recorder.calls]


def test_a_hook_that_nobody_observes_has_no_observer(recorder: Recorder) -> None:
    class Other:
        @hookimpl
        def limbeck_run_started(self) -> None: ...

    with registry(path=[]) as fresh:
        register_plugin(Other())
        assert fresh.hooks.observer("limbeck_run_started") is not None
        assert fresh.hooks.observer("limbeck_request_started") is None


class Failing:
    """An observer that raises whatever it is told of."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    @hookimpl(tryfirst=True)
    def limbeck_request_started(self) -> None:
        raise self.error


class UntellableError(Exception):
    """Has no message that could be shown."""

    def __str__(self) -> str:
        raise AttributeError("no message")


@pytest.mark.parametrize(
    "error",
    [ValueError("no room"), SystemExit(1), UntellableError()],
    ids=["an exception", "sys.exit", "without a message"],
)
def test_a_failing_observer_is_named_and_stops_neither_the_run_nor_its_peers(
    recorder: Recorder, error: BaseException
) -> None:
    register_plugin(Failing(error), name="acme-audit")

    with pytest.warns(
        LimbeckWarning, match=f"An observer failed and was ignored: acme-audit: .*: {type(error).__name__}"
    ):
        rows = shout()

    assert [row["answer"] for row in rows] == ["row 0"]
    assert len(recorder.facts("request_started")) == 1


def test_an_observer_that_fails_the_same_way_again_is_reported_once() -> None:
    register_plugin(Failing(ValueError("no room")), name="acme-audit")

    with pytest.warns(LimbeckWarning) as warned:
        shout(rows=5)

    assert len(warned) == 1
    assert problems() == ["acme-audit: limbeck_request_started: ValueError: no room"]


def test_a_failing_observer_stops_no_run_where_warnings_are_errors() -> None:
    register_plugin(Failing(ValueError("no room")), name="acme-audit")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [row["answer"] for row in shout()] == ["row 0"]
    assert len(problems()) == 1


def test_a_failing_observer_stops_no_run_under_strictness(monkeypatch: pytest.MonkeyPatch) -> None:
    register_plugin(Failing(ValueError("no room")), name="acme-audit")
    monkeypatch.setenv("LIMBECK_STRICT_PLUGINS", "1")

    with pytest.warns(LimbeckWarning, match="acme-audit"):
        assert [row["answer"] for row in shout()] == ["row 0"]


# Plugins of the process


@pytest.mark.parametrize(("source", "subject", "message"), WRONG)
def test_a_plugin_of_the_process_that_does_it_wrong_is_refused_where_it_is_registered(
    source: str, subject: str, message: str
) -> None:
    namespace: dict[str, Any] = {"hookimpl": hookimpl}
    exec(f"class Plugin:\n  {source.replace(chr(10), chr(10) + '  ')}".replace("(r", "(self, r"), namespace)

    with pytest.raises(PluginContractError, match=re.escape(message)):
        register_plugin(namespace["Plugin"](), name="mine")
    shout()
    assert problems() == []


def test_registering_a_plugin_imports_no_other(packs: Path) -> None:
    write_hooks(packs, "acme", REGISTERS)

    register_plugin(Recorder())

    assert "acme_hooks" not in sys.modules


def test_a_plugin_registered_after_a_run_observes_the_next(recorder: Recorder) -> None:
    shout()
    late = Recorder()
    register_plugin(late, name="late")

    shout()

    assert len(late.facts("run_started")) == 1


def test_a_plugin_registered_twice_is_called_once(recorder: Recorder) -> None:
    register_plugin(recorder)
    shout()
    register_plugin(recorder)
    shout()

    assert len(recorder.facts("run_started")) == 2


def test_a_plugin_of_the_process_outlives_a_refresh(recorder: Recorder) -> None:
    shout()
    refresh()
    shout()

    assert len(recorder.facts("run_started")) == 2


def test_every_argument_of_a_hook_has_a_public_type() -> None:
    public = {**vars(errors), **vars(types), **vars(hooks), "Sequence": Sequence}
    hints = {
        f"{name}.{argument}": hint
        for name, hook in vars(hooks.HookSpecs).items()
        if name.startswith("limbeck_")
        for argument, hint in get_type_hints(hook, public).items()
    }
    assert len(hints) > 20
    assert [argument for argument, hint in hints.items() if hint is Any] == []
