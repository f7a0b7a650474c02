"""A program may end at any moment, in any way: it says nothing of what was at work, and sends nothing more."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from support.questions import PATIENCE

from .leaving import WAYS

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("way", WAYS)
def test_a_program_that_ends_while_it_asks_is_silent_and_asks_no_more(way: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-m", "tests.core.engine.leaving", way, str(tmp_path / "run")],
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    asked, cancelled = done.stdout.split()
    assert (done.returncode, done.stderr) == (0, "")
    assert asked == cancelled
