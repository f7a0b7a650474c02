"""Every code block of the README and of docs/ runs, and does what the page says."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from limbeck.testing import registry
from support.openai_server import echo, openai_server
from support.page_runner import PageRunner
from support.pages import REPOSITORY, blocks_of, page_name, pages

# What the loopback server answers in place of OpenAI; anything else is echoed.
ANSWERS = {
    "What's the capital of Spain?": "The capital of Spain is Madrid.",
    "What's the capital of Peru?": "The capital of Peru is Lima.",
    "What's the capital of Mongolia?": "The capital of Mongolia is Ulaanbaatar.",
}
_FOREIGN = ("LIMBECK_", "OPENAI_", "AZURE_", "ANTHROPIC_", "HF_")


def answer_for(body: dict[str, Any]) -> str:
    return ANSWERS.get(body["messages"][-1]["content"]) or echo(body)


@pytest.mark.parametrize("page", pages(), ids=page_name)
def test_the_code_of_a_page_runs_as_it_stands(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(_FOREIGN)]:
        monkeypatch.delenv(name)
    shutil.copytree(REPOSITORY / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    with openai_server(reply=answer_for, api_key="sk-of-the-docs") as server, registry() as fresh:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-docs")

        def installed(folder: Path) -> None:
            monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
            fresh.refresh()

        runner = PageRunner(page, tmp_path, installed=installed)
        monkeypatch.setitem(sys.modules, "page", runner.module)
        before = set(sys.modules)
        try:
            runner.run(blocks_of(page))
        finally:
            for name in set(sys.modules) - before:  # the page's own modules: another page may have the same names
                if str(getattr(sys.modules[name], "__file__", None)).startswith(str(tmp_path)):
                    del sys.modules[name]
