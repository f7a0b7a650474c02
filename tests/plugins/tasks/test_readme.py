"""The README's examples run, one after another, as they stand."""

import re
from pathlib import Path
from typing import Any

import pytest

README = Path(__file__).parents[3] / "plugins" / "tasks" / "README.md"


def test_the_examples_of_the_readme_run(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 10
    names: dict[str, Any] = {"__name__": "readme"}
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
    assert capsys.readouterr().out.startswith("The capital of Spain is Madrid.")
    assert names["city"].name
