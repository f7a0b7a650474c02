"""Distributions that go through the real scan, and registries of one's own."""

from __future__ import annotations

import importlib
import sys
import warnings
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from .._registry.hooks import Hooks
from .._registry.index import HOOKS_GROUP, normalise
from .._registry.registry import Registry, _override
from ..errors import LimbeckWarning, RegistryError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from .._registry.problems import Problem


@contextmanager
def registry(*, path: list[str] | None = None) -> Iterator[Registry]:
    """A fresh default registry for the block; registrations made in it end with it.

    It is that of the context (`contextvars`): threads started in the block keep the process's own.

    Args:
        path: where to look for distributions; `sys.path` by default.
    """
    fresh = Registry(path=path)
    token = _override.set(fresh)
    try:
        yield fresh
    finally:
        _override.reset(token)


@contextmanager
def fake_distribution(
    folder: Path,
    name: str,
    *,
    version: str = "1.0",
    entry_points: Mapping[str, Mapping[str, str]] | str = "",
    modules: Mapping[str, str] | None = None,
    summary: str = "",
    requires: tuple[str, ...] = (),
) -> Iterator[Registry]:
    """Install a distribution into `folder` for the block, found by the real scan.

    Args:
        folder: an empty folder, such as pytest's `tmp_path`.
        name, version, summary, requires: the distribution's metadata.
        entry_points: `{group: {name: target}}`, or the file's text (to write a broken one).
        modules: module name to source; made importable for the block.

    Yields:
        A fresh registry that sees it beside what is installed.
    """
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", f"Summary: {summary}"]
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    (info / "METADATA").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(_entry_points(entry_points), encoding="utf-8")
    for module, source in (modules or {}).items():
        (folder / f"{module}.py").write_text(source, encoding="utf-8")
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        with registry() as fresh:
            yield fresh
    finally:
        sys.path.remove(str(folder))
        for module in modules or ():
            sys.modules.pop(module, None)


def _entry_points(entry_points: Mapping[str, Mapping[str, str]] | str) -> str:
    if isinstance(entry_points, str):
        return entry_points
    sections = (
        f"[{group}]\n" + "\n".join(f"{name} = {target}" for name, target in names.items())
        for group, names in entry_points.items()
    )
    return "\n\n".join(sections) + "\n"


def check_distribution(name: str) -> list[Problem]:
    """Load everything that an installed distribution declares, and report what is wrong with it.

    What the environment disables is checked too.

    Returns:
        The problems; an empty list is a clean bill.

    Raises:
        RegistryError: no installed distribution of that name declares anything, or
            `LIMBECK_STRICT_PLUGINS` is set and there is a problem.
    """
    fresh, name = Registry(), normalise(name)
    every = [*(entry for entries in fresh.index.entries.values() for entry in entries)]
    every += [entry for entry, _ in fresh.index.disabled]
    declared = [entry for entry in every if entry.distribution == name]
    if not declared and not any(problem.distribution == name for problem in fresh.report.all()):
        raise RegistryError(f"No installed distribution named {name!r} declares a name for Limbeck.")
    for entry in declared:
        with suppress(RegistryError):  # in the report
            fresh.load(entry)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LimbeckWarning)  # as above
        Hooks(fresh).load([entry for entry in declared if entry.group == HOOKS_GROUP])
    return [problem for problem in fresh.report.all() if problem.distribution == name]
