"""The examples of the plugin's README and docstrings run."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path
from typing import Any

import pytest

from support.openai_server import openai_server

README = Path(__file__).parents[3] / "plugins" / "openai" / "README.md"


def test_the_readmes_code_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {"__name__": "readme"}
    with openai_server() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        for block in blocks:
            exec(compile(block, str(README), "exec"), names)
    assert names["rows"][0]["answer"] == "echo: What's the capital of Spain?"
    assert server.requests[0].body["model"] == "gpt-5-mini"


@pytest.mark.parametrize("module", ["openai", "azure"])
def test_the_examples_in_the_docstrings_run(module: str) -> None:
    result = doctest.testmod(importlib.import_module(f"limbeck_openai.{module}"))
    assert (result.attempted > 0, result.failed) == (True, 0)
