"""One process from start to exit: seconds, CPU and peak memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .loopback import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_KEPT_OF_THE_LOG = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a process took.

    Attributes:
        ended: whether it did so by itself, and not at the limit.
        seconds: from start to exit. cpu_seconds: its own and those of the processes that it waited for.
        peak_mb: the most memory of the largest of them. exit_code: negative for a signal.
        said: the end of what it printed.
    """

    ended: bool
    seconds: float
    cpu_seconds: float
    peak_mb: float
    exit_code: int
    said: str


def start(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a process, in a session of its own, that prints into `log`."""
    with log.open("wb") as out:
        return subprocess.Popen(
            command,
            cwd=log.parent,
            env=_environment(environment),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process, and those it started, as a power cut would."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def run(command: Sequence[str], log: Path, environment: Mapping[str, str], *, limit: float) -> Spent:
    """Run a process to its end; it is killed after `limit` seconds."""
    began = time.perf_counter()
    process = start(command, log, environment)
    late = threading.Event()

    def end() -> None:
        late.set()
        kill(process)

    watch = threading.Timer(limit, end)
    watch.start()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    watch.cancel()
    kill(process)  # those it left behind: they must not run beside the next
    process.returncode = os.waitstatus_to_exitcode(status)
    return Spent(
        ended=not late.is_set(),
        seconds=seconds,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_mb=usage.ru_maxrss / (1024 * 1024 if sys.platform == "darwin" else 1024),
        exit_code=process.returncode,
        said=log.read_text(encoding="utf-8", errors="replace")[-_KEPT_OF_THE_LOG:].strip(),
    )


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    # Without its byte code a process imports twice as long.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    paths = [str(ROOT), *filter(None, [kept.get("PYTHONPATH")])]
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), **extra}
