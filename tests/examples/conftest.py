"""The examples, copied into an empty folder, which is the current one."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run_script(folder: Path) -> Callable[[str], dict[str, Any]]:
    """Run a script of the examples, as `python examples/NAME` does; gives its names."""
    return lambda name: runpy.run_path(str(folder / "examples" / name), run_name="__main__")
