"""The README's examples run, one after another, as they stand."""

import re
from pathlib import Path
from typing import Any

import limbeck_judges
from limbeck import get_task, list_tasks

README = Path(__file__).parents[3] / "plugins" / "judges" / "README.md"
TEXT = README.read_text(encoding="utf-8")


def test_the_examples_of_the_readme_run() -> None:
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names: dict[str, Any] = {"__name__": "readme"}
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
    assert set(limbeck_judges.__all__) - {"Criterion"} <= set(names)


def test_every_judge_has_its_columns_in_the_readme() -> None:
    for name in list_tasks():
        cls = get_task(name)
        if cls.__module__.startswith("limbeck_judges."):
            assert re.search(rf"^## .*\b{name}\b", TEXT, re.MULTILINE), name
            assert cls.citation.rpartition("eprint = {")[2].partition("}")[0] in TEXT
