"""The README's examples run, one after another, as they stand, and print what stands below them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import limbeck_instruct

if TYPE_CHECKING:
    import pytest

README = Path(__file__).parents[3] / "plugins" / "instruct" / "README.md"
TEXT = README.read_text(encoding="utf-8")


def test_the_examples_of_the_readme_print_what_stands_there(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```\n```text\n(.*?)```", TEXT, re.DOTALL)
    assert len(blocks) == TEXT.count("```python")
    names: dict[str, Any] = {"__name__": "readme"}
    for code, printed in blocks:
        exec(compile(code, str(README), "exec"), names)
        assert capsys.readouterr().out == printed


def test_each_task_of_a_paper_cites_it_and_is_in_the_readme() -> None:
    for name in limbeck_instruct.__all__:
        cls = getattr(limbeck_instruct, name)
        citation = getattr(cls, "citation", None)
        if citation is not None:
            (number,) = re.findall(r"eprint=\{(\d{4}\.\d{5})\}", citation)
            assert f"https://arxiv.org/abs/{number}" in TEXT
            assert number in (cls.__doc__ or "")
            assert citation.count("{") == citation.count("}")
