"""`from limbeck.tasks import PairwiseJudge`: a class by its own name, without importing any other plugin.

Covers `_registry.namespace`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

import limbeck
import limbeck.llms
import limbeck.steps
import limbeck.tasks
from limbeck import register_task
from limbeck.errors import AmbiguousNameError, LimbeckError, PluginLoadError, UnknownNameError
from support.packs import TASK, seeing_only, write_pack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def packs(tmp_path: Path) -> Iterator[Path]:
    with seeing_only(tmp_path) as folder:
        yield folder


def write_judge(folder: Path, distribution: str, *, name: str = "judge", cls: str = "Judge") -> None:
    module = f"{distribution.replace('-', '_')}_tasks"
    write_pack(folder, distribution, f"[limbeck.tasks]\n{name} = {module}:{cls}\n", **{module: TASK.format(name=cls)})


def imported(name: str) -> Any:
    """What `from limbeck.tasks import <name>` binds."""
    namespace: dict[str, Any] = {}
    exec(f"from limbeck.tasks import {name}", namespace)
    return namespace[name]


def test_a_class_is_found_by_the_class_name_of_its_entry_point(packs: Path) -> None:
    write_judge(packs, "acme", cls="PairwiseJudge")

    assert imported("PairwiseJudge").__module__ == "acme_tasks"


def test_finding_a_class_imports_no_other_plugin(packs: Path) -> None:
    write_judge(packs, "acme")
    write_judge(packs, "other", name="ranker", cls="Ranker")
    write_pack(packs, "hooks", "[limbeck.plugins]\nhooks = hooks_module\n", hooks_module="")

    imported("Judge")

    assert not {"other_tasks", "hooks_module"} & set(sys.modules)


@pytest.mark.parametrize("name", ["__path__", "__all__", "judge", "_private"])
def test_dunder_and_lower_case_names_are_attributes_that_are_not_there(name: str) -> None:
    with pytest.raises(AttributeError, match=f"module 'limbeck.tasks' has no attribute '{name}'"):
        getattr(limbeck.tasks, name)


def test_an_unknown_class_is_an_error_whose_message_survives_the_import_statement(packs: Path) -> None:
    write_judge(packs, "acme", cls="PairwiseJudge")

    with pytest.raises(
        ImportError, match=r"There is no task named 'PairwiseJuge'\. Did you mean `PairwiseJudge`\?"
    ) as caught:
        imported("PairwiseJuge")
    assert [base for base in (LimbeckError, LookupError, ImportError) if not isinstance(caught.value, base)] == []


@pytest.mark.parametrize(
    ("namespace", "name", "pack"),
    [
        (limbeck.tasks, "TextGeneration", "limbeck-tasks"),
        (limbeck.llms, "InferenceEndpointsLLM", "limbeck-huggingface"),
        (limbeck.llms, "OpenAILLM", "limbeck-openai"),
    ],
)
def test_a_class_of_an_official_pack_that_is_not_installed_comes_with_the_pip_line(
    namespace: object, name: str, pack: str
) -> None:
    with pytest.raises(UnknownNameError, match=f"Run: pip install {pack}"):
        getattr(namespace, name)


def test_a_class_that_is_disabled_says_so(packs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_judge(packs, "acme")
    monkeypatch.setenv("LIMBECK_ONLY_PLUGINS", "limbeck-core/offline")

    with (
        pytest.warns(limbeck.errors.LimbeckWarning, match="limbeck-core/offline"),
        pytest.raises(UnknownNameError, match="It is disabled by LIMBECK_ONLY_PLUGINS"),
    ):
        imported("Judge")


def test_a_class_whose_plugin_fails_is_that_plugins_error(packs: Path) -> None:
    write_pack(packs, "bad", "[limbeck.tasks]\njudge = bad:Judge\n", bad="import sys; sys.exit()")

    with pytest.raises(PluginLoadError, match=r"The plugin bad 1\.0 failed to load `bad:Judge`"):
        imported("Judge")


def test_a_class_name_that_several_have_is_ambiguous(packs: Path) -> None:
    write_judge(packs, "acme")
    write_judge(packs, "zenith", name="other-judge")

    with pytest.raises(AmbiguousNameError) as caught:
        imported("Judge")
    assert sorted(caught.value.candidates) == ["acme/judge", "zenith/other-judge"]


def test_distributions_that_name_one_module_are_still_several(packs: Path) -> None:
    write_judge(packs, "acme")
    write_pack(packs, "zenith", "[limbeck.tasks]\njudge = acme_tasks:Judge\n")

    with pytest.raises(AmbiguousNameError):
        imported("Judge")


def test_two_names_of_one_class_are_no_ambiguity(packs: Path) -> None:
    source = TASK.format(name="Judge")
    write_pack(packs, "acme", "[limbeck.tasks]\njudge = acme:Judge\nreferee = acme:Judge\n", acme=source)

    assert imported("Judge").__module__ == "acme"


def test_an_official_packs_class_is_not_taken_over(packs: Path) -> None:
    write_judge(packs, "limbeck-tasks", name="text-generation", cls="TextGeneration")
    write_judge(packs, "stranger", name="better-generation", cls="TextGeneration")

    assert imported("TextGeneration").__module__ == "limbeck_tasks_tasks"


@pytest.mark.parametrize("pinned", ["judge", "Judge"])
def test_a_pin_on_the_name_or_on_the_class_chooses(packs: Path, monkeypatch: pytest.MonkeyPatch, pinned: str) -> None:
    write_judge(packs, "acme")
    write_judge(packs, "zenith")
    monkeypatch.setenv("LIMBECK_PIN", f"{pinned}=zenith")

    assert imported("Judge").__module__ == "zenith_tasks"


class Referee:
    inputs = outputs = ()

    def format_input(self, input: Any) -> Any: ...
    def format_output(self, output: Any, input: Any) -> Any: ...


def test_a_class_registered_in_the_process_is_found_first(packs: Path) -> None:
    write_judge(packs, "acme", cls="Referee")
    register_task("mine", Referee)

    assert imported("Referee") is Referee


def test_the_names_that_can_be_imported_are_listed(packs: Path) -> None:
    write_judge(packs, "acme")
    register_task("mine", Referee)

    assert dir(limbeck.tasks) == ["Judge", "Referee"]
    assert dir(limbeck.llms) == []
    assert "acme_tasks" not in sys.modules


def test_each_namespace_is_of_one_kind(packs: Path) -> None:
    write_judge(packs, "acme")

    for other, kind in ((limbeck.llms, "llm"), (limbeck.steps, "step")):
        with pytest.raises(UnknownNameError, match=f"There is no {kind} named 'Judge'"):
            getattr(other, "Judge")  # noqa: B009 - as an import statement does


def test_every_public_name_of_the_package_can_be_had() -> None:
    assert [name for name in limbeck.__all__ if getattr(limbeck, name, None) is None] == []
    assert set(limbeck.__all__) <= set(dir(limbeck))


def test_a_name_that_the_package_does_not_have_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'limbeck' has no attribute 'Taks'"):
        limbeck.Taks  # type: ignore[attr-defined]  # noqa: B018 - what is tested
