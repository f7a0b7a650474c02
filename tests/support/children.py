"""Programs in processes of their own, for what might hang: they are given so long, and then they are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

from support.questions import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

INTERRUPTS = 2  # Ctrl-C, at the most, until a program has ended


def _begun(program: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def said_by(program: str, folder: Path) -> str:
    """What a program prints; one that does not end is killed, and fails the test."""
    with _begun(program, folder) as child:
        try:
            return child.communicate(timeout=PATIENCE)[0]
        finally:
            child.kill()


def interrupted(program: str, folder: Path) -> str:
    """What a program prints that is interrupted once it has printed a line, and again if that is not enough."""
    with _begun(program, folder) as child:
        assert child.stdout is not None  # it is a pipe
        first = child.stdout.readline()
        try:
            for _ in range(INTERRUPTS - 1):
                child.send_signal(signal.SIGINT)
                try:
                    return first + child.communicate(timeout=PATIENCE / 4)[0]
                except subprocess.TimeoutExpired:
                    pass
            child.send_signal(signal.SIGINT)
            return first + child.communicate(timeout=PATIENCE)[0]
        finally:
            child.kill()
