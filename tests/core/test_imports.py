"""What an import costs: the modules that are loaded, and those that must not be."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from support.packs import LLM, TASK, environment, result_of, write_pack

REPOSITORY = Path(__file__).parents[2]

# Never loaded by a lookup: other packages of the official plugins, and what the engine alone needs.
HEAVY = [
    "pluggy",
    "sqlite3",
    "openai",
    "anthropic",
    "huggingface_hub",
    "jinja2",
    "jsonschema",
    "rich",
    "typer",
    "yaml",
    "pandas",
]
ENGINE = "limbeck._engine"
MOST_MODULES = 14  # of one folder
PYDANTIC_ALONE = "import pydantic\nclass Model(pydantic.BaseModel):\n    field: int"


def modules_after(program: str, *folders: Path) -> set[str]:
    return set(result_of(f"{program}\nimport sys\nresult = sorted(sys.modules)", *folders))


def loaded(modules: set[str], packages: list[str]) -> list[str]:
    """Those of `packages` of which some module is loaded."""
    return [name for name in packages if any(module == name or module.startswith(f"{name}.") for module in modules)]


def test_importing_the_package_loads_next_to_nothing() -> None:
    modules = modules_after("import limbeck")

    assert loaded(modules, ["asyncio", "pydantic", "importlib_metadata", "dataclasses", *HEAVY]) == []
    assert {name for name in modules if name.startswith("limbeck")} == {"limbeck"}


def test_every_public_module_can_be_the_first_import() -> None:
    for name in (
        "limbeck.errors",
        "limbeck.types",
        "limbeck.protocols",
        "limbeck.tasks",
        "limbeck.llms",
        "limbeck.steps",
        "limbeck.plugins",
        "limbeck.recipes",
        "limbeck.tools",
    ):
        assert loaded(modules_after(f"import {name}"), ["asyncio", "pydantic", *HEAVY]) == [], name


def test_the_door_to_runs_loads_what_reads_a_ledger_and_no_more() -> None:
    modules = modules_after("import limbeck.runs")

    assert loaded(modules, ["asyncio", "pydantic", *HEAVY]) == ["sqlite3"]


def test_the_door_to_files_loads_what_pydantic_loads_and_no_sdk() -> None:
    beyond_pydantic = modules_after("import limbeck.files") - modules_after(PYDANTIC_ALONE)

    assert loaded(beyond_pydantic, ["asyncio", "limbeck._llm", "limbeck._pipeline", "fsspec", "pyarrow", *HEAVY]) == []


def test_listing_names_loads_no_pydantic_and_no_engine() -> None:
    modules = modules_after(
        "from limbeck import list_tasks, list_llms, list_steps\nlist_tasks(), list_llms(), list_steps()"
    )

    assert loaded(modules, ["asyncio", "pydantic", ENGINE, *HEAVY]) == []


def test_a_tool_is_made_without_pydantic_until_its_schema_is_needed() -> None:
    program = "from limbeck import tool\n@tool\ndef look_up(word: str) -> str:\n    return word\n"

    assert loaded(modules_after(program), ["asyncio", "pydantic", ENGINE, *HEAVY]) == []
    assert loaded(modules_after(f"{program}look_up.parameters"), ["pydantic"]) == ["pydantic"]


def test_a_hit_loads_no_pydantic_where_the_plugin_needs_none(tmp_path: Path) -> None:
    points = "[limbeck.tasks]\njudge = acme:Judge\n[limbeck.llms]\ngateway = acme:Gateway\n"
    write_pack(tmp_path, "acme", points, acme=TASK.format(name="Judge") + LLM.format(name="Gateway"))
    write_pack(tmp_path, "other", "[limbeck.tasks]\nother = other:T\n[limbeck.plugins]\nother = other\n", other="")

    modules = modules_after("from limbeck import get_llm, get_task\nget_task('judge'), get_llm('gateway')", tmp_path)

    assert loaded(modules, ["asyncio", "pydantic", "other", ENGINE, *HEAVY]) == []


def test_a_hit_parses_no_metadata(tmp_path: Path) -> None:
    write_pack(tmp_path, "acme", "[limbeck.tasks]\njudge = acme:Judge\n", acme=TASK.format(name="Judge"))

    modules = modules_after("from limbeck import get_task\nget_task('judge')", tmp_path)

    assert loaded(modules, ["email.parser", "csv", "json.decoder"]) == loaded(
        modules_after("import importlib_metadata"), ["email.parser", "csv", "json.decoder"]
    )


@pytest.mark.workspace
@pytest.mark.parametrize(
    "name",
    [
        *("text-generation", "text-generation-with-image", "chat-generation"),
        *("text-classification", "structured-generation"),
    ],
)
def test_a_hit_on_an_official_task_loads_its_module_and_what_pydantic_loads(name: str) -> None:
    modules = modules_after(f"from limbeck import get_task\nget_task({name!r})")
    beyond_pydantic = modules - modules_after(PYDANTIC_ALONE)

    assert loaded(beyond_pydantic, ["asyncio", ENGINE, "limbeck._llm", *HEAVY]) == []
    assert {each.partition(".")[0] for each in modules if each.startswith("limbeck")} == {"limbeck", "limbeck_tasks"}
    assert f"limbeck_tasks.{name.replace('-', '_')}" in modules


@pytest.mark.workspace
@pytest.mark.parametrize("name", ["openai", "azure-openai", "anthropic", "huggingface", "transformers"])
def test_a_hit_on_an_official_llm_loads_no_sdk(name: str) -> None:
    modules = modules_after(f"from limbeck import get_llm\nget_llm({name!r})")
    beyond_pydantic = modules - modules_after(PYDANTIC_ALONE)

    assert loaded(beyond_pydantic, [ENGINE, "torch", "transformers", "aiohttp", "httpx", *HEAVY]) == []
    packages = {each.partition(".")[0] for each in modules if each.startswith("limbeck_")}
    assert len(packages) == 1


def test_the_engine_is_loaded_by_the_first_process() -> None:
    program = (
        "import sys\nfrom limbeck import task\n"
        "@task(inputs=['text'], outputs=['answer'])\ndef ask(row):\n    return row['text']\n"
        "step = ask(llm='offline')\nresult = ['limbeck._engine.stream.stream' in sys.modules]\n"
        "next(step.process([{'text': 'x'}]))\nresult.append('limbeck._engine.stream.stream' in sys.modules)\n"
    )

    assert result_of(program) == [False, True]


def test_the_core_neither_logs_nor_hooks_into_the_interpreter() -> None:
    program = (
        "import logging, sys\n"
        "before = (sys.excepthook, sys.displayhook, logging.root.handlers[:], logging.root.level)\n"
        "import limbeck.testing, limbeck.tasks\nfrom limbeck import LLM, Task, get_llm, get_step, task\n"
        "get_llm('offline'), get_step('load-data-from-dicts')\n"
        "result = before == (sys.excepthook, sys.displayhook, logging.root.handlers[:], logging.root.level)\n"
    )

    assert result_of(program) is True


@pytest.mark.workspace
def test_imports_point_one_way() -> None:
    """The contracts stand in the `[tool.importlinter]` tables of pyproject.toml."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=REPOSITORY,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("floor", ["_engine", "_pipeline"])
def test_no_folder_of_a_large_floor_has_more_modules_than_can_be_surveyed(floor: str) -> None:
    counts: dict[str, int] = {}
    for module in (REPOSITORY / "core/src/limbeck" / floor).rglob("*.py"):
        if module.name != "__init__.py":
            folder = str(module.parent.relative_to(REPOSITORY))
            counts[folder] = counts.get(folder, 0) + 1

    assert {folder: count for folder, count in counts.items() if count > MOST_MODULES} == {}


@pytest.mark.workspace
def test_no_plugin_imports_a_private_module_of_the_core_not_even_for_its_annotations() -> None:
    sources = sorted((REPOSITORY / "plugins").glob("*/src/**/*.py"))
    private = [
        f"{source.relative_to(REPOSITORY)}: {name}"
        for source in sources
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        for name in imported_by(node)
        if name.startswith("limbeck._")
    ]
    assert sources != []
    assert private == []


def imported_by(node: ast.AST) -> list[str]:
    """What an import names, with the module that it is taken from."""
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module}.{each.name}" for each in node.names if not node.level]
    return [each.name for each in node.names] if isinstance(node, ast.Import) else []


@pytest.mark.workspace
def test_the_contract_of_plugins_names_every_plugin_and_every_private_module() -> None:
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    contract = next(each for each in settings["contracts"] if each["id"] == "plugins-use-public-doors")
    packages = {path.parent.name for path in (REPOSITORY / "plugins").glob("*/src/*/__init__.py")}
    core = REPOSITORY / "core" / "src" / "limbeck"
    private = {path.stem for path in core.glob("_*") if not path.name.startswith("__")}

    assert set(contract["source_modules"]) == packages
    assert set(settings["root_packages"]) == {"limbeck", *packages}
    assert set(contract["forbidden_modules"]) == {f"limbeck.{name}" for name in private}
    assert "ignore_imports" not in contract
