"""`limbeck tasks`, `llms` and `steps`: what is installed, read from metadata alone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from limbeck.testing import fake_distribution
from support.command import environment, invoke, limbeck

JUDGE = """
from limbeck import Task

class Judge(Task):
    inputs = property(lambda self: ["generation"])
    outputs = property(lambda self: ["verdict"])

    def format_input(self, input):
        return [{"role": "user", "content": input["generation"]}]

    def format_output(self, output, input):
        return {"verdict": output}
"""


@pytest.fixture
def acme(tmp_path: Path) -> Iterator[None]:
    """A distribution with a task and an LLM whose modules cannot be imported."""
    entry_points = {
        "limbeck.tasks": {"judge": "acme_broken:Judge", "text-generation": "acme_broken:Own"},
        "limbeck.llms": {"acme": "acme_broken:AcmeLLM"},
        "limbeck.steps": {"acme-sort": "acme_broken:Sort"},
        "limbeck.embedders": {"acme-vectors": "acme_broken:Vectors"},
        "limbeck.scorers": {"acme-scores": "acme_broken:Scores"},
        "limbeck.image_generators": {"acme-pictures": "acme_broken:Pictures"},
        "limbeck.tools": {"acme-search": "acme_broken:search"},
    }
    modules = {"acme_broken": "raise RuntimeError('imported')\n"}
    with fake_distribution(
        tmp_path, "acme-judges", entry_points=entry_points, modules=modules, summary="Judges of Acme."
    ):
        yield


@pytest.mark.usefixtures("acme")
@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("tasks", "judge"),
        ("llms", "acme"),
        ("steps", "acme-sort"),
        ("tools", "acme-search"),
        ("embedders", "acme-vectors"),
        ("scorers", "acme-scores"),
        ("image-generators", "acme-pictures"),
    ],
)
def test_a_listing_has_each_name_with_its_pack_and_imports_none(command: str, name: str) -> None:
    result = invoke(command)
    assert result.exit_code == 0
    (line,) = [line.split() for line in result.stdout.splitlines() if line.startswith(f"{name} ")]
    assert line == [name, "acme-judges", "1.0", "available", "Judges", "of", "Acme."]


@pytest.mark.usefixtures("acme")
def test_a_listing_is_json_for_programs() -> None:
    listed = {each["name"]: each for each in json.loads(invoke("tasks", "--json").stdout)}
    assert listed["judge"] == {
        "name": "judge",
        "qualified": "acme-judges/judge",
        "distribution": "acme-judges",
        "version": "1.0",
        "summary": "Judges of Acme.",
        "target": "acme_broken:Judge",
        "status": "available",
    }
    assert listed["acme-judges/text-generation"]["status"] == "shadowed by limbeck-tasks"
    assert listed["text-generation"]["distribution"] == "limbeck-tasks"


@pytest.mark.usefixtures("acme")
def test_a_disabled_plugin_is_listed_as_such() -> None:
    listed = json.loads(invoke("--disable-plugin", "acme-judges", "llms", "--json").stdout)
    status = {each["name"]: each["status"] for each in listed}
    assert status["acme"] == "disabled by LIMBECK_DISABLE_PLUGINS"
    assert status["offline"] == "available"


def test_disabled_plugins_add_to_those_of_the_environment(tmp_path: Path) -> None:
    entry_points = {"limbeck.tasks": {"one": "acme_many:One", "two": "acme_many:Two", "three": "acme_many:Three"}}
    with fake_distribution(tmp_path, "acme-many", entry_points=entry_points):
        result = invoke("--disable-plugin", "acme-many/one", "tasks", "--json", LIMBECK_DISABLE_PLUGINS="acme-many/two")
    disabled = {each["name"] for each in json.loads(result.stdout) if each["status"].startswith("disabled")}
    assert disabled == {"one", "two"}


def test_a_problem_with_a_plugin_is_mentioned_under_the_listing(tmp_path: Path) -> None:
    with fake_distribution(tmp_path, "acme-odd", entry_points={"limbeck.tasks": {"Not_A_Name": "acme:Task"}}):
        result = invoke("tasks")
    assert result.exit_code == 0
    assert "1 problem with installed plugins; see: limbeck plugins list" in result.stderr


def test_no_module_behind_a_listing_imports_pydantic() -> None:
    modules = "app commands diagnosis exits listing pydantic_guard tables"
    imports = "; ".join(f"import limbeck_cli.{module}" for module in modules.split())
    code = f"import sys; {imports}; from limbeck_cli.listing import show_names; show_names('task', as_json=True); "
    code += "from limbeck_cli.diagnosis import list_distributions; list_distributions(as_json=True); "
    code += "print(sorted({'pydantic', 'rich', 'yaml'} & set(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_the_version_is_that_of_the_command_and_of_the_core() -> None:
    from importlib.metadata import version

    done = limbeck("--version")
    assert done.returncode == 0
    assert done.stdout == f"limbeck {version('limbeck-cli')} (limbeck-core {version('limbeck-core')})\n"
