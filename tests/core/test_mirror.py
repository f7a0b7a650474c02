"""A module's tests are found by its name: in the file of that name, or in one whose docstring names the module."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SOURCES = HERE.parents[1] / "core" / "src" / "limbeck"
FOLDERS = ("_engine", "_pipeline", "_task", "_files", "_registry")


def modules() -> list[str]:
    """Each module of these folders, as `_engine.calls.keys`."""
    files = [file for folder in FOLDERS for file in (SOURCES / folder).rglob("*.py") if file.stem != "__init__"]
    return sorted(".".join(file.relative_to(SOURCES).with_suffix("").parts) for file in files)


def own_test(module: str) -> Path:
    """Where the tests of a module stand that has a file for them."""
    *folders, name = module.removeprefix("_").split(".")
    return HERE.joinpath(*folders, f"test_{name}.py")


def named() -> set[str]:
    """The modules that docstrings of test files name."""
    docstrings = [ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) for file in HERE.rglob("test_*.py")]
    return {name for text in docstrings for name in re.findall(r"`(_\w+(?:\.\w+)+)`", text or "")}


def test_every_module_has_a_test_file_or_is_named_in_the_docstring_of_one() -> None:
    assert [module for module in modules() if not own_test(module).is_file() and module not in named()] == []


def test_no_docstring_names_a_module_that_is_not_there() -> None:
    private = {name for name in named() if name.startswith(FOLDERS)}
    assert sorted(private - set(modules())) == []


@pytest.mark.parametrize("module", ["_engine.calls.keys", "_pipeline.graph.graph", "_task.task"])
def test_the_place_of_a_modules_tests_is_that_of_the_module(module: str) -> None:
    assert own_test(module).is_file()
