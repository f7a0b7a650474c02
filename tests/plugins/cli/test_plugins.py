"""`limbeck plugins`, commands that plugins bring, and environments with something wrong in them."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from limbeck._registry.index import COMMANDS_GROUP
from limbeck._registry.registry import Registry, default_registry
from limbeck.testing import fake_distribution
from support.command import REPOSITORY, invoke, limbeck, rows_of
from support.packs import write_pack

HELLO = """
import typer
app = typer.Typer()

@app.command()
def hello(name: str = "world"):
    "Greet."
    print("Hello,", name)
"""
LATE = """
from limbeck import Task, hookimpl

class Late(Task):
    inputs = property(lambda self: [])
    outputs = property(lambda self: ["late"])
    def format_input(self, input): return []
    def format_output(self, output, input): return {"late": output}

@hookimpl
def limbeck_register(registry):
    registry.task("late-task", Late)
"""
BROKEN_FILE = "[console_scripts]\nthis line has no equals sign\n"


# list


def test_the_list_has_every_distribution_with_its_names_and_problems(tmp_path: Path) -> None:
    entry_points = {
        "limbeck.tasks": {"judge": "acme_none:Judge", "Bad_Name": "acme_none:Bad"},
        "limbeck.commands": {"hello": "acme_none:app"},
        "limbeck.plugins": {"hooks": "acme_none"},
    }
    with fake_distribution(tmp_path, "acme-judges", entry_points=entry_points, summary="Judges."):
        (found,) = [
            each
            for each in json.loads(invoke("plugins", "list", "--json").stdout)
            if each["distribution"] == "acme-judges"
        ]
        shown = invoke("plugins", "list").stdout
    assert {(each["kind"], each["name"]) for each in found["names"]} == {
        ("task", "judge"),
        ("command", "hello"),
        ("hooks", "hooks"),
    }
    assert "'Bad_Name'" in found["problems"][0]
    assert "acme-judges 1.0  Judges.\n  command  hello\n  hooks    hooks\n  task     judge\n  problem  " in shown


# check


def test_a_check_imports_everything_and_reports_every_fault_by_its_owner(tmp_path: Path) -> None:
    entry_points = {
        "limbeck.tasks": {"gone": "acme_gone:Task", "number": "acme_number:NUMBER"},
        "limbeck.commands": {"quits": "acme_quits:app", "text": "acme_number:TEXT"},
    }
    modules = {"acme_number": "NUMBER = 3\nTEXT = 'x'\n", "acme_quits": "import sys\nsys.exit(4)\n"}
    with fake_distribution(tmp_path, "acme-faulty", entry_points=entry_points, modules=modules):
        result = invoke("plugins", "check", "--json")
        told = invoke("plugins", "check").stdout
    assert result.exit_code == 1
    problems = {each["subject"]: each for each in json.loads(result.stdout) if each["distribution"] == "acme-faulty"}
    assert {subject: each["kind"] for subject, each in problems.items()} == {
        "acme_gone:Task": "import",
        "acme_number:NUMBER": "contract",
        "acme_quits:app": "import",
        "acme_number:TEXT": "contract",
    }
    assert "No module named 'acme_gone'" in told
    assert "it called sys.exit(4)" in told
    assert "must be a `typer.Typer` app, not str" in told


def test_a_check_reports_all_under_strictness_too(tmp_path: Path) -> None:
    entry_points = {"limbeck.tasks": {"a": "acme_gone:A", "b": "acme_gone:B"}}
    with fake_distribution(tmp_path, "acme-faulty", entry_points=entry_points):
        result = invoke("plugins", "check", "--json", LIMBECK_STRICT_PLUGINS="1")
    subjects = {each["subject"] for each in json.loads(result.stdout)}
    assert {"acme_gone:A", "acme_gone:B"} <= subjects


def test_a_check_says_each_problem_once(tmp_path: Path) -> None:
    write_pack(
        tmp_path,
        "acme-hooks",
        "[limbeck.plugins]\nacme = acme_hooks\ngone = acme_gone\n",
        acme_hooks="from limbeck import hookimpl\n@hookimpl\ndef limbeck_run_startd(run):\n    pass\n",
    )
    done = limbeck("--disable-plugin", "no-such-pack", "plugins", "check", env={"PYTHONPATH": str(tmp_path)})
    told = done.stdout + done.stderr
    assert done.returncode == 1
    assert told.count("limbeck_run_startd") == 1
    assert told.count("acme_gone") == 2  # the target, and the module that there is not
    assert told.count("'no-such-pack'") == 1
    assert "2 problems." in told


# why


def why(name: str, **variables: str) -> str:
    return " ".join(invoke("plugins", "why", name, **variables).stdout.split())


def test_why_says_that_nobody_else_offers_a_name() -> None:
    assert "limbeck-core/offline: nobody else offers it" in why("offline")


def test_why_says_that_an_official_pack_goes_first(tmp_path: Path) -> None:
    entry_points = {"limbeck.tasks": {"text-generation": "acme_none:Own"}}
    with fake_distribution(tmp_path, "acme-own", entry_points=entry_points):
        told = why("text-generation")
        pinned = why("text-generation", LIMBECK_PIN="text-generation=Acme_.Own")
        qualified = why("acme-own/text-generation")
    assert "acme-own/text-generation 1.0 acme_none:Own shadowed by limbeck-tasks" in told
    assert "-> limbeck-tasks/text-generation: it is an official pack" in told
    assert '-> acme-own/text-generation: LIMBECK_PIN="text-generation=acme-own" chooses it' in pinned
    assert "-> acme-own/text-generation: a qualified name means one distribution" in qualified


def test_why_says_that_nobody_gets_a_name_that_several_offer(tmp_path: Path) -> None:
    entry_points = {"limbeck.tasks": {"judge": "acme_none:Judge"}}
    with (
        fake_distribution(tmp_path / "one", "acme-one", entry_points=entry_points),
        fake_distribution(tmp_path / "two", "acme-two", entry_points=entry_points),
    ):
        told = why("judge")
        pinned = why("judge", LIMBECK_PIN="judge=acme-three")
    assert "-> an error: several offer it. Use a qualified name" in told
    assert "-> an error" in pinned
    assert "chooses a distribution that does not offer it" in pinned


def test_why_says_what_disables_a_name(tmp_path: Path) -> None:
    with fake_distribution(tmp_path, "acme-off", entry_points={"limbeck.tasks": {"off": "acme_none:Off"}}):
        assert "-> nothing: disabled by LIMBECK_DISABLE_PLUGINS" in why("off", LIMBECK_DISABLE_PLUGINS="acme-off")


def test_why_knows_commands(tmp_path: Path) -> None:
    with fake_distribution(tmp_path, "acme-cmd", entry_points={"limbeck.commands": {"hello": "acme_none:app"}}):
        assert "command hello" in why("hello")


def test_why_asks_the_hook_plugins_for_a_name_that_no_metadata_has(tmp_path: Path) -> None:
    entry_points = {"limbeck.plugins": {"acme-late": "acme_late"}}
    with fake_distribution(tmp_path, "acme-late", entry_points=entry_points, modules={"acme_late": LATE}):
        told = why("late-task")
    assert "acme_late:Late: a hook plugin registers it" in told


def test_a_command_of_an_official_package_that_is_not_installed_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(default_registry().index.entries, COMMANDS_GROUP, [])
    result = invoke("report", "runs/x")
    assert result.exit_code == 1
    assert result.stderr.endswith(
        "`limbeck report` needs the package `limbeck-report`, which is not installed. "
        "Run: pip install 'limbeck-report'\n"
    )


def test_a_command_that_is_kept_out_or_that_nobody_has_is_no_command() -> None:
    for command in ("report", "reprot", "limbeck-tasks"):
        done = limbeck(command, env={"LIMBECK_DISABLE_PLUGINS": "limbeck-report"})
        assert done.returncode == 2
        assert "No such command" in done.stderr


def test_why_of_a_name_that_nobody_has_is_an_error_with_what_is_close() -> None:
    result = invoke("plugins", "why", "text-generatoin")
    assert result.exit_code == 1
    assert "Did you mean `text-generation`" in result.stderr
    nothing = invoke("plugins", "why", "zzz")
    assert nothing.exit_code == 1
    assert "There is no task, LLM, step or command named 'zzz'." in nothing.stderr


# Commands of plugins


def commands(tmp_path: Path, **modules: str) -> AbstractContextManager[Registry]:
    entry_points = {"limbeck.commands": {name: f"acme_{name}:app" for name in modules}}
    return fake_distribution(
        tmp_path,
        "acme-tools",
        entry_points=entry_points,
        modules={f"acme_{name}": source for name, source in modules.items()},
        summary="Tools.",
    )


def test_a_command_of_a_plugin_is_in_the_help_without_being_imported(tmp_path: Path) -> None:
    with commands(tmp_path, quits="import sys\nsys.exit(4)\n"):
        result = invoke("--help")
    assert result.exit_code == 0
    assert "quits" in result.stdout
    assert "From acme-tools 1.0: Tools." in result.stdout


def test_a_command_of_a_plugin_runs_with_its_own_options(tmp_path: Path) -> None:
    with commands(tmp_path, hello=HELLO):
        assert invoke("hello", "--name", "you").stdout == "Hello, you\n"
        assert "Greet." in invoke("hello", "--help").stdout
        assert invoke("acme-tools/hello").stdout == "Hello, world\n"


def test_a_command_that_cannot_be_imported_costs_only_itself(tmp_path: Path) -> None:
    with commands(tmp_path, quits="import sys\nsys.exit(4)\n", hello=HELLO):
        failed = invoke("quits")
        assert invoke("hello").exit_code == 0
        assert invoke("tasks").exit_code == 0
    assert failed.exit_code == 1
    assert "The plugin acme-tools 1.0 failed to load `acme_quits:app`: it called sys.exit(4)" in failed.stderr


def test_a_plugin_cannot_replace_a_command_of_ours(tmp_path: Path) -> None:
    with commands(tmp_path, tasks=HELLO):
        result = invoke("tasks")
    assert "Hello" not in result.stdout
    assert "text-generation" in result.stdout


def test_a_command_that_several_offer_is_called_by_its_qualified_name(tmp_path: Path) -> None:
    entry_points = {"limbeck.commands": {"hello": "acme_hello:app"}}
    with (
        fake_distribution(tmp_path / "one", "acme-one", entry_points=entry_points, modules={"acme_hello": HELLO}),
        fake_distribution(tmp_path / "two", "acme-two", entry_points=entry_points),
    ):
        help = invoke("--help").stdout
        short = invoke("hello")
        assert invoke("acme-two/hello").stdout == "Hello, world\n"
        assert invoke("hello", LIMBECK_PIN="hello=acme-one").stdout == "Hello, world\n"
    assert "acme-one/hello" in help
    assert short.exit_code == 1
    assert "acme-one 1.0 (`acme-one/hello`), acme-two 1.0 (`acme-two/hello`)" in short.stderr


# Malformed metadata: a process of its own, since pydantic looks only once


def broken(tmp_path: Path) -> dict[str, str]:
    write_pack(tmp_path, "broken-pkg", BROKEN_FILE)
    return {"PYTHONPATH": str(tmp_path)}


def test_a_malformed_file_of_any_package_is_named_with_its_owner_and_the_remedy(tmp_path: Path) -> None:
    done = limbeck("plugins", "list", env=broken(tmp_path))
    assert done.returncode == 0
    place = f"{tmp_path}/broken_pkg-1.0.dist-info/entry_points.txt line 2"
    assert f"broken-pkg 1.0\n  problem  {place}" in done.stdout
    assert "pip uninstall broken-pkg; or set PYDANTIC_DISABLE_PLUGINS=1" in done.stderr
    assert "text-generation" in done.stdout


def test_a_check_reports_a_malformed_file_and_imports_the_plugins_all_the_same(tmp_path: Path) -> None:
    done = limbeck("plugins", "check", "--json", env=broken(tmp_path))
    assert done.returncode == 1
    problems = [(each["distribution"], each["kind"]) for each in json.loads(done.stdout)]
    assert ("broken-pkg", "metadata") in problems
    assert "import" not in [kind for _, kind in problems]


def test_listings_work_beside_a_malformed_file(tmp_path: Path) -> None:
    done = limbeck("tasks", env=broken(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert "text-generation" in done.stdout


def test_runs_work_beside_a_malformed_file_with_a_warning(tmp_path: Path) -> None:
    done = limbeck("run", str(REPOSITORY / "examples" / "capitals.yaml"), env=broken(tmp_path))
    assert done.returncode == 0
    assert len(rows_of(done.stdout)) == 3
    assert "warning: Malformed package metadata, over which pydantic trips: broken-pkg 1.0" in done.stderr


def test_a_misspelt_token_is_a_warning() -> None:
    done = limbeck("--disable-plugin", "no-such-pack", "tasks")
    assert done.returncode == 0
    assert "warning: " in done.stderr
    assert "'no-such-pack'" in done.stderr
    assert ".py:" not in done.stderr


def test_a_plugin_that_runs_the_command_s_own_app_gets_a_code_and_no_exception() -> None:
    from limbeck_cli.app import app

    result = CliRunner().invoke(app, ["show", "task", "no-such-name"])
    assert isinstance(result.exception, SystemExit)
    assert result.exit_code == 1
