"""Other frameworks, each in a virtual environment of its own under the user's cache directory.

They are installed once, when `--peers` is first given. Their telemetry is switched off, and nothing but
loopback can be reached while they run: every other address goes to a proxy that is not there.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..contenders import Contender, Job
from ..race import say

if TYPE_CHECKING:
    from collections.abc import Callable

_OFFLINE = {
    "HTTP_PROXY": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "NO_PROXY": "127.0.0.1",
    "HF_HUB_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A framework.

    Attributes:
        name: of the venv, too. distribution: whose version is shown. requirements: for pip.
        script: in this directory. environment: what switches its telemetry and its log off.
    """

    name: str
    distribution: str
    requirements: tuple[str, ...]
    script: str
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def directory(self) -> Path:
        """Its virtual environment."""
        caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        return Path(caches) / "limbeck-benchmarks" / self.name

    @property
    def python(self) -> Path:
        return self.directory / "bin" / "python"


PEERS = [
    Peer(
        name="distilabel",
        distribution="distilabel",
        # It imports `requests` without declaring it.
        requirements=("distilabel[openai]>=1.5.3,<2", "requests"),
        script="distilabel_script.py",
        environment={"DISTILABEL_LOG_LEVEL": "WARNING"},
    ),
    Peer(
        name="curator",
        distribution="bespokelabs-curator",
        # These two releases of litellm stole credentials.
        requirements=("bespokelabs-curator>=0.1.31,<0.2", "litellm!=1.82.7,!=1.82.8"),
        script="curator_script.py",
        environment={"TELEMETRY_ENABLED": "false", "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
    ),
    Peer(
        name="data-designer",
        distribution="data-designer",
        requirements=("data-designer>=0.9.6,<0.10",),
        script="data_designer_script.py",
        environment={"NEMO_TELEMETRY_ENABLED": "false"},
    ),
]


def installed_peers() -> list[Contender]:
    """The peers that are installed or can be; those that cannot are named."""
    return [_contender(peer) for peer in PEERS if _install(peer)]


def _contender(peer: Peer) -> Contender:
    return Contender(
        name=f"{peer.name} {_version(peer)}", command=_command(peer), environment={**_OFFLINE, **peer.environment}
    )


def _command(peer: Peer) -> Callable[[Job], list[str]]:
    script = Path(__file__).with_name(peer.script)

    def command(job: Job) -> list[str]:
        files = ["-i", str(job.source), "-o", str(job.target)]
        return [str(peer.python), str(script), "--url", job.url, *files, f"--window={job.window}"]

    return command


def _install(peer: Peer) -> bool:
    complete = peer.directory / "complete"
    if complete.exists():
        return True
    say(f"installing {peer.name} into {peer.directory}")
    try:
        _run([sys.executable, "-m", "venv", "--clear", str(peer.directory)])
        _run([str(peer.python), "-m", "pip", "install", "--quiet", *peer.requirements])
    except (OSError, subprocess.CalledProcessError) as exc:
        say(f"skipped {peer.name}: it cannot be installed ({exc})")
        return False
    complete.touch()
    return True


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _version(peer: Peer) -> str:
    ask = f"from importlib.metadata import version; print(version({peer.distribution!r}))"
    said = subprocess.run([str(peer.python), "-c", ask], check=True, stdout=subprocess.PIPE, text=True)
    return said.stdout.strip()
