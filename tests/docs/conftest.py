"""A page, run as its reader would run it, with a loopback server in place of OpenAI."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING, Any

import pytest

from limbeck.testing import registry
from support.openai_batches import openai_batch_server
from support.openai_server import echo

from .page_runner import PageRunner
from .pages import REPOSITORY, blocks_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# What the loopback server answers; anything else is echoed.
ANSWERS = {
    "What's the capital of Spain?": "The capital of Spain is Madrid.",
    "What's the capital of Peru?": "The capital of Peru is Lima.",
    "What's the capital of Mongolia?": "The capital of Mongolia is Ulaanbaatar.",
}
_FOREIGN = ("LIMBECK_", "OPENAI_", "AZURE_", "ANTHROPIC_", "HF_")


def answer_for(body: dict[str, Any]) -> str:
    content = body["messages"][-1]["content"]
    return ANSWERS.get(content if isinstance(content, str) else "") or echo(body)


@pytest.fixture
def run_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """Run a page in an empty folder that has the examples; what it set up stays until the test ends."""
    for name in [name for name in os.environ if name.startswith(_FOREIGN)]:
        monkeypatch.delenv(name)
    shutil.copytree(REPOSITORY / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    with openai_batch_server(reply=answer_for, api_key="sk-of-the-docs") as (server, _), registry() as fresh:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-docs")

        def installed(folder: Path) -> None:
            monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
            fresh.refresh()

        def run(page: Path) -> None:
            runner = PageRunner(page, tmp_path, installed=installed)
            monkeypatch.setitem(sys.modules, "page", runner.module)
            runner.run(blocks_of(page))

        yield run
    for name in set(sys.modules) - before:  # the page's own modules: another page may have the same names
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]
