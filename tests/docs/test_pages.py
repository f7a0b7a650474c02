"""What the pages say is complete, and leads somewhere."""

from __future__ import annotations

import re
import tomllib
from itertools import chain
from pathlib import Path
from types import ModuleType

import pytest

import limbeck
from limbeck import errors, files, list_steps, plugins, recipes, runs
from limbeck._registry.hooks import HookSpecs
from limbeck._registry.index import COMMANDS_GROUP, GROUPS, HOOKS_GROUP
from limbeck.tasks import TextGeneration
from limbeck.types import RunStats

from .pages import REPOSITORY, anchors_of, blocks_of, links_of, page_name, pages

DOCS = REPOSITORY / "docs"
SOURCES = [*(REPOSITORY / "core" / "src").rglob("*.py"), *(REPOSITORY / "plugins").glob("*/src/**/*.py")]


def text_of(*parts: str) -> str:
    return DOCS.joinpath(*parts).read_text(encoding="utf-8")


def lacking(names: list[str], text: str) -> list[str]:
    """The names that do not stand in backticks in the text, alone or before an argument list."""
    return [name for name in names if not re.search(rf"`{re.escape(name)}[`(]", text)]


@pytest.mark.parametrize("page", pages(), ids=page_name)
def test_every_link_of_a_page_leads_to_a_file_and_a_heading_that_are_there(page: Path) -> None:
    broken = []
    for link in links_of(page):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.is_file() or (anchor and anchor not in anchors_of(target)):
            broken.append(link)
    assert broken == []


def test_every_page_of_the_documentation_is_reached_from_its_index() -> None:
    reached: set[Path] = set()
    ahead = [DOCS / "README.md"]
    while ahead:
        page = ahead.pop()
        if page not in reached and page.suffix == ".md" and page.is_relative_to(DOCS):
            reached.add(page)
            ahead += [(page.parent / link.partition("#")[0]).resolve() for link in links_of(page)]
    assert set(DOCS.rglob("*.md")) - reached == set()


def test_each_word_of_the_glossary_names_a_file_that_is_there() -> None:
    rows = re.findall(r"^\| (.+?) \| .+ \| `(.+?)` \|$", text_of("architecture", "glossary.md"), re.MULTILINE)
    files = {word: file for word, file in rows if word != "Word"}
    assert files
    source = REPOSITORY / "core" / "src" / "limbeck"
    assert [word for word, file in files.items() if not (source / file).is_file()] == []


def test_the_files_that_a_decision_names_are_there() -> None:
    named = {
        record.name: re.findall(r"`([^`]+)`", line)
        for record in DOCS.glob("architecture/[0-9]*.md")
        for line in record.read_text(encoding="utf-8").splitlines()
        if line.startswith("In the code: ")
    }
    assert named
    lacking_files = {
        name: [each for each in paths if not (REPOSITORY / each).is_file()] for name, paths in named.items()
    }
    assert {name: paths for name, paths in lacking_files.items() if paths} == {}


def test_every_public_name_is_in_the_reference() -> None:
    assert lacking(list(limbeck.__all__), text_of("reference", "names.md")) == []


@pytest.mark.parametrize("door", [files, plugins, recipes, runs], ids=lambda door: door.__name__)
def test_every_name_of_a_door_is_on_its_page(door: ModuleType) -> None:
    page = text_of("plugins", "reference", f"{door.__name__.rpartition('.')[2]}.md")
    assert lacking(list(door.__all__), page) == []


def test_every_error_is_in_the_reference() -> None:
    documented = text_of("reference", "errors.md")
    assert lacking([name for name in errors.__all__ if name != "LimbeckError"], documented) == []


def test_every_hook_has_a_section_with_an_example() -> None:
    sections = re.split(r"^## ", text_of("plugins", "how-to", "hooks.md"), flags=re.MULTILINE)[1:]
    with_example = [section.split()[0] for section in sections if f"def {section.split()[0]}(" in section]
    assert with_example == [name for name in vars(HookSpecs) if name.startswith("limbeck_")]


def test_every_field_of_a_task_is_in_the_reference() -> None:
    shared = [name for name in limbeck.Task.model_fields if name in TextGeneration.model_fields]
    assert lacking(shared, text_of("reference", "tasks.md")) == []


def test_every_field_of_a_backend_is_in_the_reference() -> None:
    assert lacking(list(limbeck.LLM.model_fields), text_of("reference", "llms.md")) == []


def test_every_counter_of_a_run_is_in_the_reference() -> None:
    assert lacking(list(RunStats.__dataclass_fields__), text_of("reference", "running.md")) == []


def test_every_entry_point_group_is_in_the_reference() -> None:
    assert (
        lacking([*GROUPS.values(), HOOKS_GROUP, COMMANDS_GROUP], text_of("plugins", "reference", "entry-points.md"))
        == []
    )


def test_every_environment_variable_of_limbeck_is_in_the_reference() -> None:
    named = {
        name for source in SOURCES for name in re.findall(r"\bLIMBECK_[A-Z_]+", source.read_text(encoding="utf-8"))
    }
    assert lacking(sorted(named), text_of("reference", "environment.md")) == []


def test_the_four_commands_of_the_contributors_are_what_ci_runs() -> None:
    script = (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8")
    set_up, commands = [block.text for block in blocks_of(REPOSITORY / "CONTRIBUTING.md") if block.language == "sh"]
    *checks, tests = commands.splitlines()
    assert [check for check in checks if check not in script] == []
    assert set_up.strip().endswith(tests)
    assert set_up in (REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_the_set_up_is_that_of_the_files_of_requirements() -> None:
    commands = [block.text for block in blocks_of(REPOSITORY / "README.md") if "venv" in block.text]
    assert [re.findall(r"-r (\S+)", command) for command in commands[:2]] == [
        ["requirements.txt"],
        ["requirements-dev.txt"],
    ]


WORKSPACE = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
PLUGINS = sorted(folder.parent.name for folder in REPOSITORY.glob("plugins/*/pyproject.toml"))


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_plugin_is_in_every_table_of_the_workspace(plugin: str) -> None:
    project, tool = WORKSPACE["project"], WORKSPACE["tool"]
    required = [*project["dependencies"], *chain.from_iterable(project["optional-dependencies"].values())]
    files = [(REPOSITORY / name).read_text(encoding="utf-8") for name in ("requirements.txt", "requirements-dev.txt")]
    tables = {
        "requirements-dev.txt": f"-e ./plugins/{plugin}" in "".join(files).splitlines(),
        "dependencies": any(re.split(r"[^a-z0-9-]", each)[0] == f"limbeck-{plugin}" for each in required),
        "tool.uv.sources": tool["uv"]["sources"].get(f"limbeck-{plugin}") == {"workspace": True},
        "mypy_path": f"plugins/{plugin}/src" in tool["mypy"]["mypy_path"],
    }
    assert [table for table, named in tables.items() if not named] == []


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_plugin_says_what_its_tests_need(plugin: str) -> None:
    project = tomllib.loads((REPOSITORY / "plugins" / plugin / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "test" in project["optional-dependencies"]
    assert project["name"] == f"limbeck-{plugin}"


def test_the_tutorial_of_plugins_needs_the_lines_that_its_title_says() -> None:
    tutorial = DOCS / "plugins" / "tutorial.md"
    first = next(block.text for block in blocks_of(tutorial) if block.language == "toml")
    assert len(first.splitlines()) == 5
    assert "one file and five lines of TOML" in tutorial.read_text(encoding="utf-8").splitlines()[0]
    assert tomllib.loads(first)["project"]["entry-points"]


def test_every_step_is_in_the_reference() -> None:
    named = [name for name in list_steps() if "/" not in name]
    assert lacking(named, text_of("reference", "steps.md")) == []
