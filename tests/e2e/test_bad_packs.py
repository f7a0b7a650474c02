"""Packs that do it wrong, in processes of their own: what each costs, and who is told what."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.packs import TASK, error_of, result_of, run_python, write_pack

if TYPE_CHECKING:
    from pathlib import Path

JUDGE = {"acme_tasks": TASK.format(name="Judge")}


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    """Three bad packs, in a folder before everything else on the path."""
    write_pack(tmp_path, "bad-raises", "[limbeck.tasks]\nraises = bad_raises:T\n", version="1.1", bad_raises="1 / 0")
    write_pack(
        tmp_path,
        "bad-exits",
        "[limbeck.tasks]\nexits = bad_exits:T\n",
        version="1.2",
        bad_exits="import sys\nsys.exit(3)",
    )
    write_pack(tmp_path, "bad-file", "[limbeck.tasks]\nmalformed bad_file:T\n", version="1.3", bad_file="")
    return tmp_path


# Three bad packs


def test_every_lookup_of_another_name_still_works(bad: Path) -> None:
    write_pack(bad, "acme", "[limbeck.tasks]\njudge = acme_tasks:Judge\n", **JUDGE)
    program = (
        "from limbeck import get_llm, get_step, get_task, list_llms, list_steps, list_tasks\n"
        "for name in ('raises', 'exits', 'malformed'):\n"
        "    try:\n        get_task(name)\n"
        "    except ImportError:\n        pass\n"
        "good = [name for name in list_tasks() if name not in ('raises', 'exits')]\n"
        "result = [get_task(name).__name__ for name in good if name in ('judge', 'text-generation', 'evol-instruct')]\n"
        "result.append(all(isinstance(get_task(name), type) for name in good))\n"
        "result += [get_llm(name).__name__ for name in list_llms()]\n"
        "result += [get_step(name).__name__ for name in list_steps() if name.startswith('load-data-from-d')]\n"
        "result.append(all(isinstance(get_step(name), type) for name in list_steps()))\n"
    )

    assert result_of(program, bad) == [
        "EvolInstruct",
        "Judge",
        "TextGeneration",
        True,
        "AnthropicLLM",
        "AzureOpenAILLM",
        "InferenceEndpointsLLM",
        "OfflineLLM",
        "OpenAILLM",
        "TransformersLLM",
        "LoadDataFromDicts",
        True,
    ]


def test_another_task_still_runs(bad: Path) -> None:
    program = (
        "from limbeck import get_task\n"
        "task = get_task('text-generation')(llm='offline')\n"
        "result = next(task.process([{'instruction': 'Say hello.'}]))[0]['model_name']\n"
    )

    assert result_of(program, bad) == "offline/stand-in"


@pytest.mark.parametrize(
    ("name", "distribution", "version", "cause"),
    [
        ("raises", "bad-raises", "1.1", "ZeroDivisionError: division by zero"),
        ("exits", "bad-exits", "1.2", "it called sys.exit(3) while being imported"),
    ],
)
def test_the_error_for_a_bad_name_tells_the_distribution_the_version_and_the_cause(
    bad: Path, name: str, distribution: str, version: str, cause: str
) -> None:
    error = error_of(f"from limbeck import get_task\nget_task({name!r})", bad)

    assert error["type"] == "PluginLoadError"
    assert (error["distribution"], error["version"], error["cause"]) == (distribution, version, cause)
    assert f"The plugin {distribution} {version} failed to load `bad_{name}:T`: {cause}." in error["message"]
    assert f'To run without it, set LIMBECK_DISABLE_PLUGINS="{distribution}"' in error["message"]


def test_the_error_for_a_name_in_a_malformed_file_tells_the_file_and_whose_it_is(bad: Path) -> None:
    error = error_of("from limbeck import get_task\nget_task('malformed')", bad)

    assert error["type"] == "UnknownNameError"
    file = bad / "bad_file-1.3.dist-info" / "entry_points.txt"
    assert f"bad-file 1.3 ({file} line 2: 'malformed bad_file:T' is not of the form" in error["message"]


def test_the_message_survives_the_import_statement(bad: Path) -> None:
    done = run_python("from limbeck.tasks import TextGeneratoin", bad)

    assert done.stderr.splitlines()[-1].startswith(
        "limbeck.errors.UnknownNameError: There is no task named 'TextGeneratoin'. Did you mean `TextGeneration`"
    )


@pytest.mark.parametrize("name", ["raises", "exits"])
def test_a_disabled_pack_is_not_imported(tmp_path: Path, bad: Path, name: str) -> None:
    trace = tmp_path / "imported"
    (bad / f"bad_{name}.py").write_text(f"open({str(trace)!r}, 'w').close()")
    error = error_of(f"from limbeck import get_task\nget_task({name!r})", bad, LIMBECK_DISABLE_PLUGINS=f"bad-{name}")

    assert error["type"] == "UnknownNameError"
    assert "It is disabled by LIMBECK_DISABLE_PLUGINS." in error["message"]
    assert not trace.exists()


# Packs that claim one name


@pytest.fixture
def rivals(tmp_path: Path) -> Path:
    """Two packs that offer `judge`."""
    for pack, version in (("acme", "1.0"), ("zenith", "2.0")):
        points = f"[limbeck.tasks]\njudge = {pack}_tasks:Judge\n"
        write_pack(tmp_path, pack, points, version=version, **{f"{pack}_tasks": TASK.format(name="Judge")})
    return tmp_path


def owner(name: str, folder: Path, **variables: str) -> str:
    """The module of the task of that name."""
    return str(result_of(f"from limbeck import get_task\nresult = get_task({name!r}).__module__", folder, **variables))


def test_a_name_that_two_packs_offer_is_an_error_that_names_both(rivals: Path) -> None:
    error = error_of("from limbeck import get_task\nget_task('judge')", rivals)

    assert error["type"] == "AmbiguousNameError"
    assert sorted(error["candidates"]) == ["acme/judge", "zenith/judge"]
    assert "acme 1.0 (`acme/judge`)" in error["message"]
    assert "zenith 2.0 (`zenith/judge`)" in error["message"]


@pytest.mark.parametrize("pack", ["acme", "zenith"])
def test_each_is_reached_by_its_qualified_name_and_by_a_pin(rivals: Path, pack: str) -> None:
    assert owner(f"{pack}/judge", rivals) == f"{pack}_tasks"
    assert owner("judge", rivals, LIMBECK_PIN=f"judge={pack}") == f"{pack}_tasks"


def test_disabling_one_leaves_the_name_to_the_other(rivals: Path) -> None:
    assert owner("judge", rivals, LIMBECK_DISABLE_PLUGINS="acme") == "zenith_tasks"
    assert owner("judge", rivals, LIMBECK_DISABLE_PLUGINS="zenith/judge") == "acme_tasks"
    assert owner("judge", rivals, LIMBECK_ONLY_PLUGINS="zenith") == "zenith_tasks"


def test_only_the_named_plugins_are_left(rivals: Path) -> None:
    program = "from limbeck import list_llms, list_tasks\nresult = list_tasks() + list_llms()"

    assert result_of(program, rivals, LIMBECK_ONLY_PLUGINS="zenith") == ["judge", "offline"]


@pytest.fixture
def claim(tmp_path: Path) -> Path:
    """A stranger's pack that claims the name and the class name of an official task."""
    source = TASK.format(name="TextGeneration")
    write_pack(tmp_path, "stranger", "[limbeck.tasks]\ntext-generation = stranger:TextGeneration\n", stranger=source)
    return tmp_path


def test_a_strangers_pack_does_not_take_over_an_official_name(claim: Path) -> None:
    assert owner("text-generation", claim) == "limbeck_tasks.text_generation"
    assert owner("stranger/text-generation", claim) == "stranger"
    program = "from limbeck.tasks import TextGeneration\nresult = TextGeneration.__module__"
    assert result_of(program, claim) == "limbeck_tasks.text_generation"


def test_a_pin_is_the_users_own_word(claim: Path) -> None:
    assert owner("text-generation", claim, LIMBECK_PIN="text-generation=stranger") == "stranger"


def test_a_strangers_hook_does_not_take_over_an_official_name(tmp_path: Path) -> None:
    source = TASK.format(name="T") + (
        "from limbeck import hookimpl\n"
        "@hookimpl\ndef limbeck_register(registry):\n    registry.task('text-generation', T)\n"
    )
    write_pack(tmp_path, "stranger", "[limbeck.plugins]\nstranger = stranger\n", stranger=source)
    program = (
        "from limbeck import get_task, list_tasks\n"
        "try:\n    get_task('a-miss-that-loads-the-hooks')\n"
        "except LookupError:\n"
        "    result = [get_task('text-generation').__module__, list_tasks().count('text-generation')]\n"
    )

    assert result_of(program, tmp_path) == ["limbeck_tasks.text_generation", 1]


# Strictness


def test_strictness_turns_a_problem_of_any_pack_into_an_error(bad: Path) -> None:
    error = error_of("from limbeck import get_task\nget_task('text-generation')", bad, LIMBECK_STRICT_PLUGINS="1")

    assert error["type"] == "RegistryError"
    assert error["message"].startswith("bad-file 1.3: ")
    assert error["message"].endswith("(raised because LIMBECK_STRICT_PLUGINS is set)")


def test_strictness_spares_what_is_disabled(bad: Path) -> None:
    assert owner("text-generation", bad, LIMBECK_STRICT_PLUGINS="1", LIMBECK_DISABLE_PLUGINS="bad-file") == (
        "limbeck_tasks.text_generation"
    )


# A malformed file, and pydantic, which reads them all

MAKE = "from limbeck import get_task\nget_task('text-generation')(llm='offline')"
OWN_MODEL = "import pydantic\nclass Model(pydantic.BaseModel):\n    field: int"


@pytest.fixture
def malformed(tmp_path: Path) -> Path:
    """A package that has nothing to do with Limbeck, and whose file is malformed."""
    write_pack(tmp_path, "some-tool", "[console_scripts]\nsome-tool\n", version="4.5")
    return tmp_path


def test_making_a_task_survives_a_malformed_file_with_a_warning_that_tells_whose_it_is(malformed: Path) -> None:
    done = run_python(MAKE, malformed)

    assert done.returncode == 0, done.stderr
    file = malformed / "some_tool-4.5.dist-info" / "entry_points.txt"
    assert (
        f"LimbeckWarning: pydantic trips over malformed package metadata: some-tool 4.5: {file} line 2" in done.stderr
    )
    assert "Mend or uninstall that, or set PYDANTIC_DISABLE_PLUGINS=1." in done.stderr


def test_without_pydantics_plugins_there_is_nothing_to_warn_of(malformed: Path) -> None:
    done = run_python(MAKE, malformed, PYDANTIC_DISABLE_PLUGINS="1")

    assert (done.returncode, done.stderr) == (0, "")


def test_a_model_of_ones_own_needs_the_variable_that_the_warning_names(malformed: Path) -> None:
    assert "TypeError" in run_python(OWN_MODEL, malformed).stderr
    assert run_python(f"{OWN_MODEL}\n{MAKE}", malformed, PYDANTIC_DISABLE_PLUGINS="1").stderr == ""


def test_a_pydantic_plugin_is_still_used_where_all_is_well(tmp_path: Path) -> None:
    plugin = (
        "class Plugin:\n"
        "    made = []\n"
        "    def new_schema_validator(self, schema, schema_type, schema_type_path, *rest):\n"
        "        Plugin.made.append(schema_type_path.name)\n"
        "        return None, None, None\n"
        "plugin = Plugin()\n"
    )
    write_pack(tmp_path, "acme-pydantic", "[pydantic]\nacme = acme_pydantic:plugin\n", acme_pydantic=plugin)

    made = result_of(f"{MAKE}\nimport acme_pydantic\nresult = acme_pydantic.plugin.made", tmp_path)

    assert any("TextGeneration" in name for name in made)


def test_the_command_line_lists_the_problem_where_pydantic_does_not_work(bad: Path) -> None:
    done = run_python("from limbeck_cli.app import main\nimport sys\nsys.argv[1:] = ['plugins', 'list']\nmain()", bad)

    assert done.returncode == 0, done.stderr
    assert "bad-file 1.3" in done.stdout
    assert "entry_points.txt line 2: 'malformed bad_file:T' is not of the form" in done.stdout
