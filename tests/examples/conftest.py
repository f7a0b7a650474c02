"""The examples, copied into an empty folder, which is the current one."""

from __future__ import annotations

import runpy
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from support.pages import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(REPOSITORY / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run_script(folder: Path) -> Callable[[str], dict[str, Any]]:
    """Run a script of the examples, as `python examples/NAME` does; gives its names."""
    return lambda name: runpy.run_path(str(folder / "examples" / name), run_name="__main__")
