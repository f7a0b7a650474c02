"""Names to objects: precedence, errors that say whose fault it is, listings.

Covers `_registry.loading`, `_registry.precedence` and `_registry.problems`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

import limbeck
from limbeck import get_llm, get_step, get_task, list_tasks, register_llm, register_step, register_task
from limbeck._registry.registry import default_registry
from limbeck.errors import (
    AmbiguousNameError,
    PluginContractError,
    PluginLoadError,
    RegistrationError,
    RegistryError,
    UnknownNameError,
)
from limbeck.testing import registry
from support.packs import LLM, STEP, TASK, seeing_only, write_pack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from limbeck._registry.registry import Listing, Registry


@pytest.fixture
def packs(tmp_path: Path) -> Iterator[Path]:
    with seeing_only(tmp_path) as folder:
        yield folder


def write_judge(folder: Path, distribution: str, *, version: str = "1.0", name: str = "judge") -> None:
    """A pack with one task, a class of its own."""
    module = f"{distribution.replace('-', '_')}_tasks"
    write_pack(
        folder,
        distribution,
        f"[limbeck.tasks]\n{name} = {module}:Judge\n",
        version=version,
        **{module: TASK.format(name="Judge")},
    )


def owner_of(name: str) -> str:
    """The module of the task of that name."""
    return get_task(name).__module__


# A hit


def test_a_name_gives_the_class_that_its_entry_point_names(packs: Path) -> None:
    source = TASK.format(name="Judge") + LLM.format(name="Gateway") + STEP.format(name="Sorter")
    groups = ("tasks", "judge = acme:Judge"), ("llms", "gateway = acme:Gateway"), ("steps", "sort = acme:Sorter")
    write_pack(packs, "acme", "\n".join(f"[limbeck.{group}]\n{line}" for group, line in groups), acme=source)

    names = [get_task("judge").__name__, get_llm("gateway").__name__, get_step("sort").__name__]

    assert names == ["Judge", "Gateway", "Sorter"]


def test_a_class_inside_a_class_can_be_named(packs: Path) -> None:
    source = "class Judges:\n" + "\n".join(f"    {line}" for line in TASK.format(name="Strict").splitlines())
    write_pack(packs, "acme", "[limbeck.tasks]\nstrict = acme:Judges.Strict\n", acme=source)

    assert get_task("strict").__qualname__ == "Judges.Strict"


def test_a_hit_imports_the_one_module_that_holds_the_name(packs: Path) -> None:
    write_judge(packs, "acme")
    write_pack(
        packs,
        "other",
        "[limbeck.tasks]\nother = other_tasks:T\n[limbeck.plugins]\nother = other_hooks\n",
        other_tasks="",
        other_hooks="",
    )

    get_task("judge")

    assert "acme_tasks" in sys.modules
    assert not {"other_tasks", "other_hooks"} & set(sys.modules)


def test_the_same_class_is_given_each_time(packs: Path) -> None:
    write_judge(packs, "acme")

    assert get_task("judge") is get_task("acme/judge")


def test_names_of_different_kinds_do_not_meet(packs: Path) -> None:
    write_judge(packs, "acme")

    with pytest.raises(UnknownNameError, match="There is no llm named 'judge'"):
        get_llm("judge")


# Who has precedence


def test_the_only_provider_of_a_short_name_has_it(packs: Path) -> None:
    write_judge(packs, "acme")

    assert owner_of("judge") == "acme_tasks"


def test_a_name_that_several_offer_is_an_error_that_names_each_with_its_version(packs: Path) -> None:
    write_judge(packs, "acme", version="1.2")
    write_judge(packs, "zenith", version="0.3")

    with pytest.raises(AmbiguousNameError) as caught:
        get_task("judge")

    assert sorted(caught.value.candidates) == ["acme/judge", "zenith/judge"]
    assert "acme 1.2 (`acme/judge`)" in str(caught.value)
    assert "zenith 0.3 (`zenith/judge`)" in str(caught.value)
    assert 'LIMBECK_PIN="judge=' in str(caught.value)


def test_each_provider_of_an_ambiguous_name_is_reached_by_its_qualified_name(packs: Path) -> None:
    write_judge(packs, "acme")
    write_judge(packs, "zenith")

    assert [owner_of("acme/judge"), owner_of("zenith/judge")] == ["acme_tasks", "zenith_tasks"]


def test_a_stranger_does_not_take_over_a_name_of_an_official_pack(packs: Path) -> None:
    write_judge(packs, "limbeck-tasks", name="text-generation")
    write_judge(packs, "stranger", name="text-generation")

    assert owner_of("text-generation") == "limbeck_tasks_tasks"
    assert owner_of("stranger/text-generation") == "stranger_tasks"


@pytest.mark.parametrize("pin", ["judge=zenith", "other=x, judge=zenith", "judge=Zenith other=x"])
def test_a_pin_chooses_among_several(packs: Path, monkeypatch: pytest.MonkeyPatch, pin: str) -> None:
    write_judge(packs, "acme")
    write_judge(packs, "zenith")
    monkeypatch.setenv("LIMBECK_PIN", pin)

    assert owner_of("judge") == "zenith_tasks"


def test_a_pin_wins_over_an_official_pack(packs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_judge(packs, "limbeck-tasks", name="text-generation")
    write_judge(packs, "acme-tasks", name="text-generation")
    monkeypatch.setenv("LIMBECK_PIN", "text-generation=acme_tasks")

    assert owner_of("text-generation") == "acme_tasks_tasks"


def test_a_pin_to_who_does_not_offer_the_name_is_an_error_and_no_fall_back(
    packs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_judge(packs, "acme")
    monkeypatch.setenv("LIMBECK_PIN", "judge=zenith")

    with pytest.raises(RegistryError, match=r"comes from 'zenith', which does not offer it\. Offered by: acme\."):
        get_task("judge")


def test_a_pin_does_not_touch_a_qualified_name(packs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_judge(packs, "acme")
    write_judge(packs, "zenith")
    monkeypatch.setenv("LIMBECK_PIN", "judge=zenith")

    assert owner_of("acme/judge") == "acme_tasks"


class LocalJudge:
    inputs = property(lambda self: ["text"])
    outputs = property(lambda self: ["verdict"])

    def format_input(self, input: Any) -> Any: ...
    def format_output(self, output: Any, input: Any) -> Any: ...


class OtherJudge(LocalJudge):
    pass


class LocalLLM:
    model_name = "local"

    async def agenerate(self, request: Any) -> Any: ...


class LocalStep:
    inputs = outputs = ()

    def process(self, inputs: Any) -> Any: ...


def test_a_registration_in_the_process_wins_over_a_pin_and_whatever_is_installed(
    packs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_judge(packs, "acme")
    monkeypatch.setenv("LIMBECK_PIN", "judge=acme")
    register_task("judge", LocalJudge)

    assert get_task("judge") is LocalJudge
    assert owner_of("acme/judge") == "acme_tasks"


# Registering


def test_a_class_of_each_kind_can_be_registered(packs: Path) -> None:
    register_task("judge", LocalJudge)
    register_llm("gateway", LocalLLM)
    register_step("sort", LocalStep)

    assert (get_task("judge"), get_llm("gateway"), get_step("sort")) == (LocalJudge, LocalLLM, LocalStep)


def test_registering_works_as_a_decorator_and_gives_the_class_back(packs: Path) -> None:
    decorated = register_llm("gateway")(LocalLLM)

    assert decorated is LocalLLM
    assert get_llm("gateway") is LocalLLM


def test_a_taken_name_is_not_given_to_another_class(packs: Path) -> None:
    register_task("judge", LocalJudge)

    with pytest.raises(RegistrationError, match=r"is registered already, as `.*LocalJudge`.*`replace=True`"):
        register_task("judge", OtherJudge)
    assert get_task("judge") is LocalJudge


def test_a_taken_name_is_given_to_another_class_when_asked(packs: Path) -> None:
    register_task("judge", LocalJudge)
    register_task("judge", OtherJudge, replace=True)

    assert get_task("judge") is OtherJudge


def test_the_same_definition_run_again_takes_its_name_over(packs: Path) -> None:
    def cell() -> type:
        class Judge(LocalJudge):
            pass

        return Judge

    first, second = cell(), cell()
    register_task("judge", first)
    register_task("judge", second)

    assert get_task("judge") is second


@pytest.mark.parametrize("name", ["Judge", "pairwise_judge", "acme/judge", "", "judge ", "-judge"])
def test_a_malformed_name_cannot_be_registered(packs: Path, name: str) -> None:
    with pytest.raises(
        RegistrationError, match=r"cannot name a task: a name is lower-case words .* such as 'pairwise-judge'"
    ):
        register_task(name, LocalJudge)


def test_a_decorator_without_a_name_is_refused_where_it_stands(packs: Path) -> None:
    with pytest.raises(RegistrationError, match="cannot name a task"):
        register_task(LocalJudge)  # type: ignore[call-overload]  # what is tested


def test_a_class_that_lacks_what_its_kind_must_have_cannot_be_registered(packs: Path) -> None:
    with pytest.raises(PluginContractError, match=r"The llm registered as 'gateway': it must define `agenerate`"):
        register_llm("gateway", LocalJudge)


def test_a_registration_ends_with_the_registry_that_holds_it(packs: Path) -> None:
    with registry(path=[str(packs)]):
        register_task("judge", LocalJudge)

    with pytest.raises(UnknownNameError):
        get_task("judge")


# A miss


def test_a_near_miss_is_told_the_names_that_are_close(packs: Path) -> None:
    write_judge(packs, "acme", name="pairwise-judge")

    with pytest.raises(UnknownNameError, match=r"no task named 'pairwise-juge'\. Did you mean `pairwise-judge`\?"):
        get_task("pairwise-juge")


def test_a_miss_lists_the_names_that_are_known(packs: Path) -> None:
    write_judge(packs, "acme", name="pairwise-judge")

    with pytest.raises(UnknownNameError, match=r"Known: pairwise-judge\."):
        get_task("summarise")


@pytest.mark.parametrize("name", ["text-generation", "limbeck-tasks/text-generation"])
def test_a_name_of_an_official_pack_that_is_not_installed_comes_with_the_pip_line(packs: Path, name: str) -> None:
    with pytest.raises(UnknownNameError, match=r"It comes with `limbeck-tasks`\. Run: pip install limbeck-tasks"):
        get_task(name)


def test_a_pack_that_is_installed_is_not_proposed_for_installation(packs: Path) -> None:
    write_judge(packs, "limbeck-tasks", name="other")

    with pytest.raises(UnknownNameError) as caught:
        get_task("text-generation")
    assert "pip install" not in str(caught.value)


@pytest.mark.parametrize("asked", ["judge", "acme/judge"])
def test_a_disabled_name_says_which_variable_disables_it(
    packs: Path, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    write_judge(packs, "acme")
    monkeypatch.setenv("LIMBECK_DISABLE_PLUGINS", "acme")

    with pytest.raises(UnknownNameError, match=r"It is disabled by LIMBECK_DISABLE_PLUGINS\."):
        get_task(asked)


def test_disabling_one_provider_leaves_the_name_to_the_other(packs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_judge(packs, "acme")
    write_judge(packs, "zenith")
    monkeypatch.setenv("LIMBECK_DISABLE_PLUGINS", "acme")

    assert owner_of("judge") == "zenith_tasks"


@pytest.mark.parametrize(
    ("points", "modules", "why"),
    [
        ("[limbeck.tasks]\nbroken\n", {}, r".* line 2: 'broken' is not of the form `name = module:object`"),
        (
            "[limbeck.tasks]\nBroken = bad:Broken\n",
            {},
            r"limbeck\.tasks: 'Broken': the name is not lower-case words .*",
        ),
        ("[limbeck.plugins]\nbad = bad_hooks\n", {"bad_hooks": "1 / 0"}, "bad_hooks: ZeroDivisionError: .*"),
    ],
    ids=["a malformed line", "a malformed name", "hooks that do not import"],
)
@pytest.mark.filterwarnings("ignore:A hook plugin is not used")
def test_a_miss_names_the_plugins_that_might_have_had_it_and_what_is_wrong_with_them(
    packs: Path, points: str, modules: dict[str, str], why: str
) -> None:
    write_pack(packs, "bad", points, version="3.2", **modules)

    with pytest.raises(
        UnknownNameError, match=rf"might have had it: bad 3\.2 \({why}\)\. For more: limbeck plugins check\."
    ):
        get_task("broken")


def test_a_plugin_whose_names_are_all_known_is_not_suspected(packs: Path) -> None:
    write_pack(packs, "bad", "[limbeck.tasks]\nother = bad:Other\n", bad="1 / 0")
    with pytest.raises(PluginLoadError):
        get_task("other")

    with pytest.raises(UnknownNameError) as caught:
        get_task("judge")
    assert "might have had it" not in str(caught.value)


def test_a_name_must_be_a_string(packs: Path) -> None:
    with pytest.raises(RegistryError, match="looked up by its name, a string, not type"):
        get_task(LocalJudge)  # type: ignore[arg-type]  # what is tested


# A plugin that fails to load


@pytest.mark.parametrize(
    ("target", "source", "cause"),
    [
        ("bad:Judge", "1 / 0", "ZeroDivisionError: division by zero"),
        ("bad:Judge", "import sys; sys.exit(3)", "it called sys.exit(3) while being imported"),
        ("bad:Judge", "def f(:", "SyntaxError: "),
        ("bad:Judge", "import there_is_no_such_sdk", "ModuleNotFoundError: No module named 'there_is_no_such_sdk'"),
        ("bad:Judge", "raise BaseException('odd')", "BaseException: odd"),
        ("bad:Judge", "", "AttributeError: module 'bad' has no attribute 'Judge'"),
        ("no_such_module:Judge", "", "ModuleNotFoundError: No module named 'no_such_module'"),
    ],
)
def test_a_failure_to_load_names_the_distribution_the_version_the_target_and_the_cause(
    packs: Path, target: str, source: str, cause: str
) -> None:
    write_pack(packs, "bad-pack", f"[limbeck.tasks]\njudge = {target}\n", version="3.2", bad=source)

    with pytest.raises(PluginLoadError) as caught:
        get_task("judge")

    error = caught.value
    assert (error.distribution, error.version, error.target) == ("bad-pack", "3.2", target)
    assert error.cause.startswith(cause)
    assert str(error).startswith(f"The plugin bad-pack 3.2 failed to load `{target}`: {cause}")
    assert 'set LIMBECK_DISABLE_PLUGINS="bad-pack" or: pip uninstall bad-pack' in str(error)


def test_what_a_plugin_raised_is_chained(packs: Path) -> None:
    write_pack(packs, "bad", "[limbeck.tasks]\njudge = bad:Judge\n", bad="1 / 0")

    with pytest.raises(PluginLoadError) as caught:
        get_task("judge")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_an_interrupt_during_an_import_is_not_the_plugins_fault(packs: Path) -> None:
    write_pack(packs, "slow", "[limbeck.tasks]\njudge = slow:Judge\n", slow="raise KeyboardInterrupt")

    with pytest.raises(KeyboardInterrupt):
        get_task("judge")


def test_a_failure_is_remembered_and_raised_again_without_growing(packs: Path) -> None:
    write_pack(packs, "bad", "[limbeck.tasks]\njudge = bad:Judge\n", bad="1 / 0")

    def depth() -> int:
        with pytest.raises(PluginLoadError) as caught:
            get_task("judge")
        return len(caught.traceback)

    depth()
    (packs / "bad.py").write_text("raise AssertionError('imported again')")

    assert depth() == depth()


def test_a_failure_is_reported_once(packs: Path) -> None:
    write_pack(packs, "bad", "[limbeck.tasks]\njudge = bad:Judge\n", bad="1 / 0")
    for _ in range(2):
        with pytest.raises(PluginLoadError):
            get_task("judge")

    (problem,) = default_registry().report.all()
    assert (problem.kind, problem.distribution, problem.version, problem.subject) == (
        "import",
        "bad",
        "1.0",
        "bad:Judge",
    )


def test_a_failing_plugin_costs_no_other_name(packs: Path) -> None:
    write_pack(packs, "bad", "[limbeck.tasks]\nbad-judge = bad:Judge\n", bad="import sys; sys.exit()")
    write_judge(packs, "acme")
    with pytest.raises(PluginLoadError):
        get_task("bad-judge")

    assert owner_of("judge") == "acme_tasks"


@pytest.mark.parametrize(
    "requirement", ["limbeck-core>=99", "limbeck_core[jsonschema] (>=99)", "Limbeck.Core >= 99 ; python_version > '3'"]
)
def test_a_plugin_that_asks_for_another_core_is_told_so_when_it_fails(packs: Path, requirement: str) -> None:
    write_pack(packs, "bad", "[limbeck.tasks]\njudge = bad:Judge\n", requires=("httpx>=99", requirement), bad="1 / 0")

    with pytest.raises(PluginLoadError) as caught:
        get_task("judge")
    assert f"It requires `{requirement}`, and limbeck-core {limbeck.__version__} is installed." in str(caught.value)


@pytest.mark.parametrize(
    "requirement", ["limbeck-core>=0.1", "limbeck-core", "limbeck-core-extras>=99", "limbeck-tasks>=99"]
)
def test_a_plugin_whose_core_is_installed_is_not_told_about_it(packs: Path, requirement: str) -> None:
    write_pack(packs, "bad", "[limbeck.tasks]\njudge = bad:Judge\n", requires=(requirement,), bad="1 / 0")

    with pytest.raises(PluginLoadError) as caught:
        get_task("judge")
    assert "It requires" not in str(caught.value)


def test_a_requirement_that_cannot_be_read_is_shown_beside_what_is_installed(packs: Path) -> None:
    write_pack(packs, "bad", "[limbeck.tasks]\njudge = bad:Judge\n", requires=("limbeck-core=>1",), bad="1 / 0")

    with pytest.raises(PluginLoadError, match=r"It requires `limbeck-core=>1`, and limbeck-core .* is installed"):
        get_task("judge")


# A plugin that loads, and is not what it should be


@pytest.mark.parametrize(
    ("kind", "source", "fault"),
    [
        ("tasks", "Thing = 1", "it must be a class, and `.*` is int"),
        ("tasks", "def Thing(): ...", "it must be a class, and `acme:Thing` is function"),
        ("tasks", "class Thing: ...", r"it must define `format_input\(self, input\)`; it must define `format_output\("),
        ("llms", "class Thing:\n  def agenerate(self, request): ...", "`agenerate` must be `async def`"),
        ("llms", "class Thing:\n  async def generate(self, request): ...", "`generate` must be a plain `def`"),
        ("llms", "class Thing:\n  async def agenerate(self): ...", "`agenerate` must accept one argument, `request`"),
        ("steps", "class Thing: ...", r"it must define `process\(self, inputs\)`"),
    ],
)
def test_an_object_that_breaks_the_contract_of_its_kind_is_refused_with_each_fault(
    packs: Path, kind: str, source: str, fault: str
) -> None:
    write_pack(packs, "acme", f"[limbeck.{kind}]\nthing = acme:Thing\n", version="1.2", acme=source)
    get = {"tasks": get_task, "llms": get_llm, "steps": get_step}[kind]

    with pytest.raises(PluginContractError, match=rf"The {kind[:-1]} 'thing' of acme 1\.2: .*{fault}"):
        get("thing")
    assert [problem.kind for problem in default_registry().report.all()] == ["contract"]


def test_a_step_and_a_source_of_the_core_keep_their_contract() -> None:
    assert get_step("load-data-from-dicts").__name__ == "LoadDataFromDicts"


# Strictness


def test_strictness_makes_a_malformed_file_an_error_of_every_lookup(
    packs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_judge(packs, "acme")
    write_pack(packs, "bad", "[limbeck.tasks]\nbroken\n")
    monkeypatch.setenv("LIMBECK_STRICT_PLUGINS", "1")

    for _ in range(2):
        with pytest.raises(RegistryError, match=r"^bad 1\.0: "):
            get_task("judge")


@pytest.mark.parametrize("value", ["", "0"])
def test_strictness_can_be_off_by_value(packs: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    write_judge(packs, "acme")
    write_pack(packs, "bad", "[limbeck.tasks]\nbroken\n")
    monkeypatch.setenv("LIMBECK_STRICT_PLUGINS", value)

    assert owner_of("judge") == "acme_tasks"


def test_strictness_leaves_a_failure_to_load_the_error_it_is(packs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pack(packs, "bad", "[limbeck.tasks]\njudge = bad:Judge\n", bad="1 / 0")
    monkeypatch.setenv("LIMBECK_STRICT_PLUGINS", "1")

    with pytest.raises(PluginLoadError, match="ZeroDivisionError"):
        get_task("judge")


# Refreshing


def test_a_distribution_installed_meanwhile_is_found_after_a_refresh(packs: Path) -> None:
    assert list_tasks() == []
    write_judge(packs, "acme")
    assert list_tasks() == []

    limbeck.refresh()

    assert list_tasks() == ["judge"]


def test_a_plugin_that_failed_is_tried_again_after_a_refresh(packs: Path) -> None:
    write_pack(packs, "acme", "[limbeck.tasks]\njudge = acme:Judge\n", acme="import there_is_no_such_sdk")
    with pytest.raises(PluginLoadError):
        get_task("judge")
    (packs / "acme.py").write_text(TASK.format(name="Judge") + "# mended\n")

    limbeck.refresh()

    assert owner_of("judge") == "acme"


def test_registrations_outlive_a_refresh(packs: Path) -> None:
    register_task("judge", LocalJudge)
    limbeck.refresh()

    assert get_task("judge") is LocalJudge


# Listings


def test_listing_is_sorted_and_imports_nothing(packs: Path) -> None:
    for name in ("zeta", "alpha"):
        write_pack(packs, name, f"[limbeck.tasks]\n{name} = there_is_no_such_module:T\n")

    assert list_tasks() == ["alpha", "zeta"]


def test_a_listing_gives_only_names_that_can_be_asked_for(packs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_judge(packs, "acme")
    write_judge(packs, "zenith")
    write_judge(packs, "limbeck-tasks", name="text-generation")
    write_judge(packs, "stranger", name="text-generation")
    write_judge(packs, "hidden", name="hidden")
    monkeypatch.setenv("LIMBECK_DISABLE_PLUGINS", "hidden")

    assert list_tasks() == ["acme/judge", "stranger/text-generation", "text-generation", "zenith/judge"]
    assert [get_task(name).__name__ for name in list_tasks()] == ["Judge"] * 4


def listings(registry: Registry) -> dict[str, Listing]:
    return {listing.qualified: listing for listing in registry.listings("task")}


def test_a_listing_tells_the_state_of_each_name(packs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for distribution in ("acme", "zenith", "limbeck-tasks"):
        write_judge(packs, distribution)
    for name in ("one", "two", "only", "mine"):
        write_judge(packs, f"{name}-pack", name=name if name in ("only", "mine") else "both")
    write_judge(packs, "hidden", name="hidden")
    write_pack(packs, "bad", "[limbeck.tasks]\nbad = bad:Bad\n", bad="1 / 0")
    monkeypatch.setenv("LIMBECK_DISABLE_PLUGINS", "hidden")
    register_task("mine", LocalJudge)
    get_task("only")
    with pytest.raises(PluginLoadError):
        get_task("bad")

    states = {qualified: (each.name, each.status) for qualified, each in listings(default_registry()).items()}

    failure = states.pop("bad/bad")
    assert failure[1].startswith("failed: The plugin bad 1.0 failed to load `bad:Bad`: ZeroDivisionError")
    assert states == {
        "acme/judge": ("acme/judge", "shadowed by limbeck-tasks"),
        "zenith/judge": ("zenith/judge", "shadowed by limbeck-tasks"),
        "limbeck-tasks/judge": ("judge", "available"),
        "one-pack/both": ("one-pack/both", "ambiguous"),
        "two-pack/both": ("two-pack/both", "ambiguous"),
        "only-pack/only": ("only", "loaded"),
        "mine-pack/mine": ("mine-pack/mine", "shadowed by a registration in this process"),
        "hidden/hidden": ("hidden", "disabled by LIMBECK_DISABLE_PLUGINS"),
        "mine": ("mine", "loaded"),
    }


def test_a_listing_shows_who_offers_a_name_and_where_it_lies(packs: Path) -> None:
    write_judge(packs, "acme", version="1.2")

    listing = listings(default_registry())["acme/judge"]

    assert (listing.distribution, listing.version, listing.summary, listing.target) == (
        "acme",
        "1.2",
        "The pack acme.",
        "acme_tasks:Judge",
    )


# From a class back to its name


def test_a_class_is_known_by_the_name_it_is_registered_under(packs: Path) -> None:
    register_task("judge", LocalJudge)

    assert default_registry().name_of("task", LocalJudge) == "judge"


def test_a_class_is_known_by_the_name_its_distribution_declares(packs: Path) -> None:
    write_judge(packs, "acme")

    assert default_registry().name_of("task", get_task("judge")) == "judge"


def test_a_class_declared_under_another_class_name_has_its_name(packs: Path) -> None:
    source = TASK.format(name="Judge") + "Referee = Judge\n"
    write_pack(packs, "acme", "[limbeck.tasks]\nreferee = acme:Referee\n", acme=source)

    assert default_registry().name_of("task", get_task("referee")) == "referee"


def test_a_class_that_nobody_named_has_no_name(packs: Path) -> None:
    write_judge(packs, "acme")

    assert default_registry().name_of("task", LocalJudge) is None
    assert "acme_tasks" not in sys.modules


def test_asking_for_a_name_imports_nothing_of_a_lazy_package(packs: Path) -> None:
    lazy = "imported = []\ndef __getattr__(name):\n    imported.append(name)\n    raise AttributeError(name)\n"
    write_pack(packs, "acme", "[limbeck.tasks]\njudge = acme_lazy:Judge\n", acme_lazy=lazy)
    import acme_lazy  # type: ignore[import-not-found]  # written above

    assert default_registry().name_of("task", LocalJudge) is None
    assert acme_lazy.imported == []


def test_a_class_declared_through_a_lazy_package_has_its_name(packs: Path) -> None:
    lazy = "def __getattr__(name):\n    import acme_judge\n    return getattr(acme_judge, name)\n"
    write_pack(
        packs,
        "acme",
        "[limbeck.tasks]\njudge = acme_lazy:Judge\n",
        acme_lazy=lazy,
        acme_judge=TASK.format(name="Judge"),
    )

    assert default_registry().name_of("task", get_task("judge")) == "judge"
