"""`limbeck.plugins`, as a program uses it that lists, loads or diagnoses what is installed."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from limbeck import plugins, register_task
from limbeck.errors import PluginContractError, PluginLoadError, RegistryError, UnknownNameError
from limbeck.plugins import COMMANDS_GROUP, GROUPS, Entry, decide
from limbeck.testing import fake_distribution
from support.packs import TASK, result_of, seeing_only, write_pack

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def packs(tmp_path: Path) -> Iterator[Path]:
    with seeing_only(tmp_path) as folder:
        yield folder


def write_judge(folder: Path, distribution: str, more: str = "") -> None:
    module = distribution.replace("-", "_")
    points = f"[limbeck.tasks]\njudge = {module}:Judge\n{more}"
    write_pack(folder, distribution, points, version="1.2", **{module: TASK.format(name="Judge")})


def test_the_names_of_a_kind_are_listed_with_who_offers_them_and_their_state(packs: Path) -> None:
    write_judge(packs, "acme-judges")
    (listing,) = [each for each in plugins.listings("task") if each.distribution]
    assert (listing.name, listing.qualified, listing.version) == ("judge", "acme-judges/judge", "1.2")
    assert listing.status == "available"

    assert plugins.get("task", "judge").__name__ == "Judge"
    assert [each.status for each in plugins.listings("task") if each.distribution] == ["loaded"]


def test_the_entries_of_a_group_without_a_kind_are_declared_too(packs: Path) -> None:
    write_judge(packs, "acme", "[limbeck.commands]\ndrink = acme:drink\n")
    assert [entry.qualified for entry in plugins.declared(COMMANDS_GROUP)] == ["acme/drink"]
    assert {entry.group for entry in plugins.declared()} == {COMMANDS_GROUP, GROUPS["task"]}


def test_what_the_environment_keeps_out_is_told_with_its_variable(packs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_judge(packs, "acme")
    monkeypatch.setenv("LIMBECK_DISABLE_PLUGINS", "acme")
    assert plugins.declared() == []
    assert [(entry.name, reason) for entry, reason in plugins.disabled()] == [("judge", "LIMBECK_DISABLE_PLUGINS")]


def test_a_name_that_nobody_has_is_an_error_of_its_kind() -> None:
    with pytest.raises(UnknownNameError, match="no llm named 'acme'"):
        plugins.get("llm", "acme")


def test_a_plugin_that_cannot_be_imported_is_a_problem_of_its_distribution(packs: Path) -> None:
    write_pack(packs, "acme", "[limbeck.tasks]\njudge = acme_absent:Judge\n")
    assert plugins.problems() == []
    (entry,) = plugins.declared()
    with pytest.raises(PluginLoadError, match="acme_absent"):
        plugins.load(entry)
    assert [(problem.kind, problem.distribution) for problem in plugins.problems()] == [("import", "acme")]


def test_a_hook_that_there_is_not_is_a_problem_once_hooks_are_loaded(packs: Path) -> None:
    hook = "from limbeck import hookimpl\n@hookimpl\ndef limbeck_row_faild(row):\n    pass\n"
    write_pack(packs, "acme", "[limbeck.plugins]\nhooks = acme_hooks\n", acme_hooks=hook)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plugins.load_hooks()
    assert [(problem.kind, problem.subject) for problem in plugins.problems()] == [("hook", "limbeck_row_faild")]


def test_what_a_loader_finds_wrong_with_an_entry_is_a_problem_as_any_other(packs: Path) -> None:
    write_judge(packs, "acme", "[limbeck.commands]\ndrink = acme:Judge\n")
    (entry,) = plugins.declared(COMMANDS_GROUP)
    error = plugins.contract_error(entry, ["it must be a command"], what="command")
    assert isinstance(error, PluginContractError)
    assert str(error).startswith("The command 'drink' of acme ")
    assert [problem.message for problem in plugins.problems()] == [str(error)]


def test_under_strictness_what_a_loader_finds_wrong_is_raised_at_once(
    packs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_judge(packs, "acme")
    (entry,) = plugins.declared()
    monkeypatch.setenv("LIMBECK_STRICT_PLUGINS", "1")
    with pytest.raises(RegistryError, match="it must be green"):
        plugins.contract_error(entry, ["it must be green"], what="task")


def test_metadata_that_is_malformed_is_told_whoever_s_it_is(tmp_path: Path) -> None:
    with fake_distribution(tmp_path / "more", "stranger", entry_points={"other.group": {"x": "a:b"}}):
        (points,) = (tmp_path / "more").rglob("entry_points.txt")
        points.write_text("[other.group]\nno equals sign\n", encoding="utf-8")
        assert [problem.distribution for problem in plugins.malformed_metadata()] == ["stranger"]


# Precedence


def entries(*distributions: str) -> list[Entry]:
    return [Entry("limbeck.tasks", "judge", "m:C", each, "1") for each in distributions]


@pytest.mark.parametrize(
    ("name", "distributions", "pin", "winner", "reason"),
    [
        ("judge", ["acme"], "", "acme", "nobody else offers it"),
        ("acme/judge", ["acme"], "", "acme", "qualified name"),
        ("judge", ["acme", "limbeck-tasks"], "", "limbeck-tasks", "official pack"),
        ("judge", ["acme", "zenith"], "", None, 'LIMBECK_PIN="judge=acme"'),
        ("judge", ["acme", "limbeck-tasks"], "judge=Acme", "acme", "chooses it"),
        ("judge", ["acme"], "judge=zenith", None, "does not offer it"),
    ],
)
def test_who_gets_a_name_is_decided_with_a_reason(
    monkeypatch: pytest.MonkeyPatch, name: str, distributions: list[str], pin: str, winner: str | None, reason: str
) -> None:
    monkeypatch.setenv("LIMBECK_PIN", pin)
    decision = decide(name, entries(*distributions))
    assert (decision.winner and decision.winner.distribution) == winner
    assert reason in decision.reason


def test_a_registration_of_the_process_is_listed_among_the_rest() -> None:
    @register_task("loud")
    class Loud:
        inputs = outputs = property(lambda self: [])

        def format_input(self, input: object) -> list[object]:
            return []

        def format_output(self, output: object, input: object) -> dict[str, object]:
            return {}

    (listing,) = [each for each in plugins.listings("task") if each.name == "loud"]
    assert (listing.distribution, listing.status) == ("", "loaded")
    assert plugins.get("task", "loud") is Loud


def test_the_door_needs_neither_pydantic_nor_the_engine() -> None:
    modules = set(result_of("import sys, limbeck.plugins as p\np.listings('task')\nresult = sorted(sys.modules)"))
    assert modules.isdisjoint({"pydantic", "asyncio", "sqlite3", "pluggy", "limbeck._engine"})


def test_every_name_of_the_door_is_there() -> None:
    assert [name for name in plugins.__all__ if not hasattr(plugins, name)] == []
