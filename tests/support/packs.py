"""Distributions written to a folder as `pip install` would leave them, and fresh interpreters that see them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from limbeck.testing import registry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

# A task that needs no pydantic, so that a lookup of it measures and risks nothing else.
TASK = """
class {name}:
    inputs = property(lambda self: ["text"])
    outputs = property(lambda self: ["verdict"])
    def format_input(self, input): ...
    def format_output(self, output, input): ...
"""

LLM = """
class {name}:
    model_name = "{name}"
    async def agenerate(self, request): ...
"""

STEP = """
class {name}:
    inputs = outputs = ()
    def process(self, inputs): ...
"""

# What a developer may have set must not change a test.
_OWN_VARIABLES = (
    "LIMBECK_DISABLE_PLUGINS",
    "LIMBECK_ONLY_PLUGINS",
    "LIMBECK_PIN",
    "LIMBECK_STRICT_PLUGINS",
    "PYTHONPATH",
)


def write_pack(
    folder: Path,
    name: str,
    entry_points: str | bytes = "",
    *,
    version: str = "1.0",
    metadata: str | None = None,
    requires: Sequence[str] = (),
    **modules: str,
) -> Path:
    """Write a distribution and its modules into `folder`; gives its `.dist-info` folder."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: The pack {name}."]
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    (info / "METADATA").write_text("\n".join(lines) + "\n" if metadata is None else metadata, encoding="utf-8")
    content = entry_points if isinstance(entry_points, bytes) else entry_points.encode()
    (info / "entry_points.txt").write_bytes(content)
    for module, source in modules.items():
        (folder / f"{module}.py").write_text(source, encoding="utf-8")
    return info


@contextmanager
def seeing_only(folder: Path) -> Iterator[Path]:
    """The packs in `folder`, and no others, are what the default registry sees; their modules can be imported."""
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        with registry(path=[str(folder)]):
            yield folder
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", None)).startswith(str(folder)):
                del sys.modules[name]


def environment(*folders: Path, **variables: str) -> dict[str, str]:
    """This process's environment without Limbeck's variables, with `folders` on the path, and with these."""
    kept = {name: value for name, value in os.environ.items() if name not in _OWN_VARIABLES}
    return {**kept, "PYTHONPATH": os.pathsep.join(map(str, folders)), **variables}


def run_python(
    program: str, *folders: Path, python: Path | str = sys.executable, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run `program` in a fresh interpreter that sees the packs in `folders`."""
    return subprocess.run(
        [str(python), "-c", program],
        env=environment(*folders, **variables),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def result_of(program: str, *folders: Path, **variables: str) -> Any:
    """The value of `result` after `program`, which must end well."""
    done = run_python(f"{program}\nimport json\nprint(json.dumps(result))", *folders, **variables)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def error_of(program: str, *folders: Path, **variables: str) -> Mapping[str, Any]:
    """The type, the message and the facts of the error that `program` ends in."""
    guarded = "\n".join(f"    {line}" for line in program.splitlines())
    return result_of(  # type: ignore[no-any-return]  # it is the dict made here
        f"try:\n{guarded}\nexcept BaseException as exc:\n"
        "    facts = {k: v for k, v in vars(exc).items() if isinstance(v, (str, list))}\n"
        "    result = {'type': type(exc).__name__, 'message': str(exc), **facts}",
        *folders,
        **variables,
    )
