"""What fetching a task costs: its own module, and no template engine."""

import json
import subprocess
import sys

import pytest

import limbeck_tasks

_REPORT = "; import json, sys; print(json.dumps([m for m in ('jinja2', 'jsonschema', 'asyncio') if m in sys.modules]))"


def heavy_modules_after(program: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", program + _REPORT], capture_output=True, text=True, check=True)
    modules: list[str] = json.loads(done.stdout)
    return modules


def test_importing_text_generation_imports_no_jinja2() -> None:
    assert heavy_modules_after("import limbeck_tasks.text_generation") == []


@pytest.mark.parametrize(
    "name",
    [
        *("text-generation", "text-generation-with-image", "chat-generation"),
        *("text-classification", "structured-generation"),
    ],
)
def test_getting_a_task_imports_neither_jinja2_nor_jsonschema(name: str) -> None:
    assert heavy_modules_after(f"from limbeck import get_task; get_task({name!r})") == []


def test_building_with_the_default_template_imports_no_jinja2() -> None:
    program = "from limbeck.tasks import TextGeneration; TextGeneration(llm='offline')"
    assert "jinja2" not in heavy_modules_after(program)


def test_running_with_a_template_of_one_column_imports_no_jinja2() -> None:
    program = (
        "from limbeck.tasks import TextGeneration; "
        "next(TextGeneration(llm='offline', template='{{ q }}').process([{'q': 'x'}]))"
    )
    assert "jinja2" not in heavy_modules_after(program)


def test_a_template_with_more_in_it_imports_jinja2() -> None:
    program = "from limbeck.tasks import TextGeneration; TextGeneration(llm='offline', template='{{ q | upper }}')"
    assert "jinja2" in heavy_modules_after(program)


def test_the_package_gives_its_tasks_by_class_name() -> None:
    assert [getattr(limbeck_tasks, name).__name__ for name in limbeck_tasks.__all__] == limbeck_tasks.__all__


def test_a_name_that_the_package_does_not_have_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'limbeck_tasks' has no attribute 'Poetry'"):
        limbeck_tasks.Poetry  # noqa: B018
