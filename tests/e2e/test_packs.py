"""A stranger's pack, built and installed by pip beside the core: its names are there, and nothing was edited."""

from __future__ import annotations

import json
import subprocess
import venv
from pathlib import Path
from typing import Any

import pytest

from support.packs import environment

pytestmark = [pytest.mark.packages, pytest.mark.timeout(900)]

REPOSITORY = Path(__file__).parents[2]

PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "acme-judges"
version = "1.4"
description = "Judges by Acme."
dependencies = ["limbeck-core>=0.1,<1"]

[project.entry-points."limbeck.tasks"]
pairwise-judge = "acme_judges:PairwiseJudge"
"""

MODULE = '''
from limbeck import Task
from limbeck.types import Example


class PairwiseJudge(Task):
    """Says which of two answers is better."""

    @property
    def inputs(self):
        return ["first", "second"]

    @property
    def outputs(self):
        return ["better", "model_name"]

    def format_input(self, input):
        return [{"role": "user", "content": f"Which is better, A or B?\\nA: {input['first']}\\nB: {input['second']}"}]

    def format_output(self, output, input):
        return {"better": (output or "").strip()}

    def examples(self):
        return [Example({"first": "4", "second": "5"}, " A\\n", {"better": "A"})]
'''


class Installation:
    """An environment with the core and the pack, and what can be done there."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=True)
        self.python = str(folder / "bin" / "python")

    def run(self, *arguments: str) -> str:
        """What `python <arguments>` prints; it must end well."""
        done = subprocess.run(
            [self.python, *arguments], env=environment(), capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def pip(self, *arguments: str) -> None:
        self.run("-m", "pip", "--disable-pip-version-check", *arguments)

    def result(self, program: str) -> Any:
        return json.loads(self.run("-c", f"{program}\nimport json\nprint(json.dumps(result))"))


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stranger's whole project: one file of settings, one module."""
    folder = tmp_path_factory.mktemp("acme-judges")
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "acme_judges.py").write_text(MODULE)
    return folder


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, pack: Path) -> Installation:
    installation = Installation(tmp_path_factory.mktemp("environment"))
    installation.pip("install", "-q", "-c", str(REPOSITORY / "constraints.txt"), str(REPOSITORY / "core"), str(pack))
    return installation


@pytest.mark.parametrize("name", ["pairwise-judge", "acme-judges/pairwise-judge"])
def test_the_task_is_found_by_its_short_and_by_its_qualified_name(installed: Installation, name: str) -> None:
    program = f"from limbeck import get_task\nresult = get_task({name!r}).__qualname__"

    assert installed.result(program) == "PairwiseJudge"


def test_the_task_is_found_by_its_class_name(installed: Installation) -> None:
    program = "from limbeck.tasks import PairwiseJudge\nresult = PairwiseJudge.__module__"

    assert installed.result(program) == "acme_judges"


def test_the_task_runs(installed: Installation) -> None:
    program = (
        "from limbeck import get_task\n"
        "task = get_task('pairwise-judge')(llm='offline')\n"
        "result = next(task.process([{'first': '4', 'second': '5'}]))\n"
    )

    assert installed.result(program) == [
        {
            "first": "4",
            "second": "5",
            "better": "A",
            "distilabel_metadata": {"raw_output_pairwise-judge": " A\n"},
            "model_name": "offline/stand-in",
        }
    ]


def test_the_task_is_listed_with_its_distribution_and_version(installed: Installation) -> None:
    program = (
        "from limbeck._registry.registry import default_registry\n"
        "result = [[each.name, each.distribution, each.version, each.summary, each.status]"
        " for each in default_registry().listings('task')]\n"
    )

    assert installed.result(program) == [["pairwise-judge", "acme-judges", "1.4", "Judges by Acme.", "available"]]


def test_the_pack_has_a_clean_bill_and_keeps_the_contract(installed: Installation) -> None:
    program = (
        "from limbeck import get_task\n"
        "from limbeck.testing import TaskContract, check_distribution\n"
        "class Suite(TaskContract):\n"
        "    def make_task(self, llm, **fields):\n"
        "        return get_task('pairwise-judge')(llm=llm, **fields)\n"
        "tests = [name for name in dir(Suite) if name.startswith('test_')]\n"
        "for name in tests:\n"
        "    getattr(Suite(), name)()\n"
        "result = [len(tests) > 0, check_distribution('acme-judges')]\n"
    )

    assert installed.result(program) == [True, []]


def test_what_runs_is_the_installed_core_and_not_this_repository(installed: Installation) -> None:
    program = "import limbeck, sys\nresult = [limbeck.__file__, sys.prefix]"
    file, prefix = installed.result(program)

    assert file.startswith(prefix)
    assert not file.startswith(str(REPOSITORY))


def test_the_core_brings_its_three_dependencies_and_theirs(installed: Installation) -> None:
    program = (
        "import re\nfrom importlib.metadata import requires\n"
        "wanted = [each for each in requires('limbeck-core') if 'extra ==' not in each]\n"
        "result = sorted(re.match('[a-z-]+', each)[0] for each in wanted)\n"
    )

    assert installed.result(program) == ["importlib-metadata", "pluggy", "pydantic"]


def test_a_name_of_an_official_pack_that_is_not_there_comes_with_the_line_that_installs_it(
    installed: Installation,
) -> None:
    program = (
        "from limbeck import get_task\n"
        "try:\n    get_task('text-generation')\n"
        "except LookupError as exc:\n    result = str(exc)\n"
    )

    assert installed.result(program).endswith("Run: pip install limbeck-tasks")


def test_a_pack_in_a_running_process_comes_and_goes_with_a_refresh(installed: Installation, pack: Path) -> None:
    program = f"""
import subprocess, sys
import limbeck
pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
result = [limbeck.list_tasks()]
subprocess.run([*pip, "uninstall", "-q", "-y", "acme-judges"], check=True)
limbeck.refresh()
result.append(limbeck.list_tasks())
subprocess.run([*pip, "install", "-q", "--no-deps", {str(pack)!r}], check=True)
limbeck.refresh()
result.append(limbeck.list_tasks())
"""

    assert installed.result(program) == [["pairwise-judge"], [], ["pairwise-judge"]]
