"""The package: its names, what fetching one costs, and that configurations can be saved."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import limbeck_data
from limbeck import get_step, list_steps

README = Path(__file__).parents[3] / "plugins" / "data" / "README.md"

# What a step cannot be made without.
FIELDS: dict[str, dict[str, Any]] = {
    "combine-columns": {"columns": ["a"]},
    "deduplicate": {},
    "drop-columns": {"columns": ["a"]},
    "expand-columns": {"columns": ["a"]},
    "filter-rows": {"condition": "a > 1"},
    "format-for-dpo": {},
    "format-for-sft": {},
    "keep-columns": {"columns": ["a"]},
    "limit": {"n": 1},
    "load-data-from-arrow": {"paths": "a.arrow"},
    "load-data-from-parquet": {"paths": ["a.parquet"]},
    "load-data-from-text-files": {"paths": "docs"},
    "map-rows": {"columns": {"b": "a + 1"}},
    "rename-columns": {"columns": {"a": "b"}},
    "sample": {"fraction": 0.5},
    "sample-rows": {"n": 1},
    "save-to-arrow": {"path": "o.arrow"},
    "save-to-parquet": {"path": "o.parquet"},
    "shuffle": {},
    "sort": {"by": "a"},
}


_HEAVY = ("pyarrow", "fsspec", "jinja2", "asyncio")
_REPORT = f"; import json, sys; print(json.dumps([name for name in {_HEAVY} if name in sys.modules]))"


def heavy_modules_after(program: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", program + _REPORT], capture_output=True, text=True, check=True)
    modules: list[str] = json.loads(done.stdout)
    return modules


def test_its_steps_are_all_found_by_name() -> None:
    assert set(FIELDS) <= set(list_steps())
    assert sorted(get_step(name).__name__ for name in FIELDS) == sorted(limbeck_data.__all__)
    assert [getattr(limbeck_data, name).__name__ for name in limbeck_data.__all__] == limbeck_data.__all__


def test_a_name_that_the_package_does_not_have_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'limbeck_data' has no attribute 'Excel'"):
        limbeck_data.Excel  # noqa: B018


@pytest.mark.parametrize("name", FIELDS)
def test_a_step_has_its_registered_name_and_can_be_saved_and_made_again(name: str) -> None:
    step = get_step(name)(**FIELDS[name])
    saved = json.loads(step.model_dump_json(exclude_unset=True))
    assert step.name == name
    assert saved == FIELDS[name]
    assert get_step(name)(**saved).model_dump() == step.model_dump()


@pytest.mark.parametrize("name", FIELDS)
def test_a_step_has_a_json_schema_for_editors(name: str) -> None:
    assert set(FIELDS[name]) <= set(get_step(name).model_json_schema()["properties"])


def test_fetching_and_making_steps_imports_no_package_that_they_may_not_use() -> None:
    plain = {name: fields for name, fields in FIELDS.items() if name not in ("filter-rows", "map-rows")}
    made = "; ".join(f"get_step({name!r})(**{fields!r})" for name, fields in plain.items())
    assert heavy_modules_after(f"from limbeck import get_step; {made}") == []


def test_jinja_is_imported_for_an_expression_and_not_for_a_function() -> None:
    make = "from limbeck.steps import FilterRows; FilterRows(condition={})"
    assert "jinja2" not in heavy_modules_after(make.format("len"))
    assert "jinja2" in heavy_modules_after(make.format("'a > 1'"))


def test_the_examples_of_the_readme_run() -> None:
    names: dict[str, Any] = {"__name__": "readme"}
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
