"""The loopback server as a process of this one's, and the cores that it and the contenders get."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .server import Behaviour

ROOT = Path(__file__).resolve().parent.parent


class Loopback:
    """A running server.

    Attributes:
        url: its base URL for an OpenAI client.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.url = f"http://127.0.0.1:{port}/v1"

    def stats(self) -> dict[str, Any]:
        """The counts since the last reset."""
        counts: dict[str, Any] = self._request("GET", "/stats")
        return counts

    def prompts(self) -> dict[str, dict[str, int]]:
        """The counts of each prompt."""
        counts: dict[str, dict[str, int]] = self._request("GET", "/prompts")
        return counts

    def reset(self) -> None:
        """Clear the counts, and fill the bucket of a rate limit."""
        self._request("POST", "/reset")

    def _request(self, method: str, path: str) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            connection.request(method, path)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()


@contextmanager
def loopback(behaviour: Behaviour) -> Iterator[Loopback]:
    """A server in its own process, on a core of its own where there are two."""
    command = [sys.executable, "-m", "benchmarks.server", *behaviour.arguments()]
    core = server_core()
    if core is not None:
        command.append(f"--core={core}")
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None  # it is a pipe
        try:
            yield Loopback(int(process.stdout.readline()))
        finally:
            process.terminate()


def cores() -> int:
    """How many cores there are for the server and the contenders."""
    return len(_CORES) or os.cpu_count() or 1


def server_core() -> int | None:
    """The last core, for the server; None where there is but one, or no choice."""
    return _CORES[-1] if len(_CORES) > 1 else None


def pin_to_client_core() -> None:
    """Put this process, and those it starts, on the first core."""
    if len(_CORES) > 1:
        os.sched_setaffinity(0, _CORES[:1])


# Read before this process is pinned.
_CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
