"""Runs the code blocks of a page, in order, as a reader would.

- `python`: executed, all of a page in one namespace. A `text` block right behind it is what it prints.
- `console`: each line that begins with `$ ` is a command; the lines behind it, if any, are what it shows. A command
  must succeed, unless `$ echo $?` comes next.
- `sh`: set-up. Not executed; the paths, packages and extras that it names must exist. `pip install` of a folder that
  the page wrote, or of a pack in tests/docs/packs, makes its names known, as pip would.
- `toml`, `yaml`, `json`, `jsonl`, `csv`, and `python` under `<!-- file: NAME -->`: read, and written under its name.
- `text`: an output, or a drawing.

In what is shown, `…` stands for anything.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from .pages import REPOSITORY, page_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .pages import Block

PACKS = REPOSITORY / "tests" / "docs" / "packs"
_COMMANDS = ("limbeck", "python", "cat", "ls", "echo")
_PATH_SUFFIXES = (".txt", ".yaml", ".toml", ".md", ".py", ".jsonl", ".csv", ".sqlite")


class PageRunner:
    """One page in a folder of its own.

    Args:
        page: the file. folder: an empty folder, which is the current one while the page runs.
        installed: told each folder that must now be on `sys.path`.
    """

    def __init__(self, page: Path, folder: Path, *, installed: Callable[[Path], object]) -> None:
        self._page = page
        self._folder = folder
        self._tell_installed = installed
        self._installed = [folder]
        self.module = types.ModuleType("page")
        self._printed = ""
        self._status = 0
        self._variables: dict[str, str] = {}

    def run(self, blocks: Sequence[Block]) -> None:
        """Run the blocks.

        Raises:
            AssertionError: a block does not do what the page says.
        """
        runners: dict[str, Callable[[Block], None]] = {
            "python": self._python,
            "text": self._text,
            "console": self._console,
            "sh": self._sh,
            **dict.fromkeys(_READERS, self._data),
        }
        for block in blocks:
            assert block.language in runners, f"{self._at(block)}: there is no way to run {block.language!r}."
            runners[block.language](block)

    def _at(self, block: Block) -> str:
        return f"{page_name(self._page)}:{block.line}"

    # Python

    def _python(self, block: Block) -> None:
        if block.file is not None:
            compile(block.text, self._at(block), "exec")
            self._write(block)
            return
        source = "\n" * (block.line - 1) + block.text  # so that a traceback names the page's own line
        captured = io.StringIO()
        with contextlib.redirect_stdout(captured):
            exec(compile(source, str(self._page), "exec"), self.module.__dict__)
        self._printed = captured.getvalue()

    def _text(self, block: Block) -> None:
        if block.follows:
            _compare(self._printed, block.text, self._at(block))
            self._printed = ""

    # Commands

    def _console(self, block: Block) -> None:
        commands = list(_commands(block))
        for place, (command, shown) in enumerate(commands):
            printed = self._command(command, block)
            asked = place + 1 < len(commands) and commands[place + 1][0] == "echo $?"
            assert asked or not self._status, f"{self._at(block)}: `{command}` exits with {self._status}:\n{printed}"
            if shown:
                _compare(printed, shown, f"{self._at(block)}: `{command}`")

    def _command(self, command: str, block: Block) -> str:
        if command == "echo $?":
            status, self._status = self._status, 0
            return f"{status}\n"
        words = shlex.split(command)
        if words[0] == "export":
            self._export(words[1])
            return ""
        first = next(word for word in words if not re.fullmatch(r"\w+=.*", word))
        assert first in _COMMANDS, f"{self._at(block)}: `{first}` is not a command that this test runs."
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self._folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=120,
            check=False,
        )
        self._status = done.returncode
        return done.stdout.decode()

    def _environment(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        beside = [str(Path(sys.executable).parent), own["PATH"]]
        paths = {"PATH": os.pathsep.join(beside), "PYTHONPATH": os.pathsep.join(map(str, self._installed))}
        return {**own, **self._variables, **paths, "COLUMNS": "200"}

    def _export(self, assignment: str) -> None:
        name, _, value = assignment.partition("=")
        if value != "…":  # a secret of the reader's, which the test has set already
            self._variables[name] = value

    # Set-up

    def _sh(self, block: Block) -> None:
        for line in block.text.splitlines():
            words = shlex.split(line.replace("&&", " "), comments=True)
            installing = False
            for word in words:
                installing = installing or word == "install"
                if installing and (source := self._source_of(word)) is not None:
                    self._install(source)
                else:
                    self._check_word(word, block)

    def _source_of(self, word: str) -> Path | None:
        """The folder of a distribution that only this test installs: one the page wrote, or a pack."""
        for folder in (self._folder / word, PACKS / word):
            if (folder / "pyproject.toml").is_file():
                return folder
        return None

    def _install(self, source: Path) -> None:
        target = source
        if source.parent == PACKS:
            target = self._folder / ".packs" / source.name
            shutil.copytree(source, target)
        write_metadata(target)
        self._installed.append(target)
        self._tell_installed(target)

    def _check_word(self, word: str, block: Block) -> None:
        name, _, extras = word.rstrip("]").partition("[")
        if name.startswith((".venv/", "http", "-")):
            return
        if "/" in name or name.endswith(_PATH_SUFFIXES):
            exists = any(any(place.glob(name)) for place in (self._folder, REPOSITORY))
            assert exists, f"{self._at(block)}: there is no {name!r}."
        package = _packages().get(name) or _package_in(REPOSITORY / name)
        assert package or not name.startswith("limbeck-"), f"{self._at(block)}: there is no package {name!r}."
        for extra in filter(None, extras.split(",")):
            assert extra in package.get("optional-dependencies", {}), f"{self._at(block)}: no extra {extra!r}."

    # Files

    def _data(self, block: Block) -> None:
        _READERS[block.language](block.text)
        if block.file is not None:
            self._write(block)

    def _write(self, block: Block) -> None:
        assert block.file is not None
        path = self._folder / block.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")


_READERS: dict[str, Callable[[str], Any]] = {
    "toml": tomllib.loads,
    "yaml": yaml.safe_load,
    "json": json.loads,
    "jsonl": lambda text: [json.loads(line) for line in text.splitlines()],
    "csv": lambda text: list(csv.reader(io.StringIO(text), strict=True)),
}


def _commands(block: Block) -> Iterator[tuple[str, str]]:
    """Each command, and what is shown behind it."""
    parts = re.split(r"^\$ (.*)\n", block.text, flags=re.MULTILINE)
    assert not parts[0], f"A console block begins with a command: {block.text!r}"
    yield from zip(parts[1::2], parts[2::2], strict=True)


def _compare(printed: str, shown: str, where: str) -> None:
    pattern = r"[\s\S]*?".join(re.escape(part) for part in _tidy(shown).split("…"))
    assert re.fullmatch(pattern, _tidy(printed)), f"{where} prints\n{printed}\nand not\n{shown}"


def _tidy(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def _package_in(folder: Path) -> dict[str, Any]:
    """What the `pyproject.toml` in a folder says of its project, or nothing."""
    file = folder / "pyproject.toml"
    return tomllib.loads(file.read_text(encoding="utf-8"))["project"] if file.is_file() else {}


def _packages() -> dict[str, dict[str, Any]]:
    """The repository's packages, by name."""
    folders = [REPOSITORY, REPOSITORY / "core", *REPOSITORY.glob("plugins/*")]
    return {project["name"]: project for project in map(_package_in, folders) if project}


def write_metadata(folder: Path) -> None:
    """Write the metadata of the project in `folder`, as an editable install would leave it beside the modules."""
    project = _package_in(folder)
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(exist_ok=True)
    facts = {"Name": project["name"], "Version": project["version"], "Summary": project.get("description", "")}
    headers = ["Metadata-Version: 2.1", *(f"{key}: {value}" for key, value in facts.items() if value)]
    headers += [f"Requires-Dist: {requirement}" for requirement in project.get("dependencies", ())]
    (info / "METADATA").write_text("\n".join(headers) + "\n", encoding="utf-8")
    lines = []
    for group, names in project.get("entry-points", {}).items():
        lines += [f"[{group}]", *(f"{name} = {target}" for name, target in names.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
