"""What fetching a judge costs: its own module, and what it is read with."""

import json
import subprocess
import sys

import pytest

import limbeck_judges
from limbeck import get_task, list_tasks

NAMES = [name for name in list_tasks() if get_task(name).__module__.startswith("limbeck_judges.")]
_REPORT = "; import json, sys; print(json.dumps(sorted(sys.modules)))"


def modules_after(program: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", program + _REPORT], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("name", NAMES)
def test_getting_a_judge_imports_no_other_and_nothing_heavy(name: str) -> None:
    modules = modules_after(f"from limbeck import get_task; get_task({name!r})")
    tasks = {get_task(each).__module__ for each in NAMES}
    assert modules & tasks == {get_task(name).__module__}
    assert modules.isdisjoint({"jinja2", "jsonschema", "asyncio", "pluggy", "limbeck_tasks"})


@pytest.mark.parametrize("name", NAMES)
def test_a_judge_names_its_source_or_is_ours(name: str) -> None:
    citation = get_task(name).citation
    assert citation.startswith("@misc{")
    assert citation.count("{") == citation.count("}")


def test_every_judge_is_declared_under_its_name() -> None:
    assert {get_task(name).__name__ for name in NAMES} == set(limbeck_judges.__all__) - {"Criterion"}


def test_the_package_gives_its_judges_by_class_name() -> None:
    assert [getattr(limbeck_judges, name).__name__ for name in limbeck_judges.__all__] == limbeck_judges.__all__


def test_a_name_that_the_package_does_not_have_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'limbeck_judges' has no attribute 'Jury'"):
        limbeck_judges.Jury  # noqa: B018
