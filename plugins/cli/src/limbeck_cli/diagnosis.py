"""`limbeck plugins list`, `check` and `why`: whose each name is, what is wrong, and who gets it.

Only `check`, and `why` for a name that no metadata declares, import plugins. Nothing here
imports pydantic by itself: it must work where pydantic does not.
"""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import typer

from limbeck import plugins
from limbeck.errors import LimbeckWarning, RegistryError
from limbeck.plugins import COMMANDS_GROUP, GROUPS, HOOKS_GROUP

from .exits import ExitCode, say, say_error, say_warning
from .pydantic_guard import advice, make_pydantic_usable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from limbeck.plugins import Entry, Kind, Listing, Problem

_WORDS = {**{group: kind for kind, group in GROUPS.items()}, COMMANDS_GROUP: "command", HOOKS_GROUP: "hooks"}


@dataclass(slots=True)
class _Distribution:
    """What `plugins list` shows of one distribution."""

    name: str
    version: str = ""
    summary: str = ""
    names: list[tuple[str, str, str]] = field(default_factory=list)  # kind, name, why it is disabled
    problems: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        names = [{"kind": kind, "name": name, "disabled_by": reason or None} for kind, name, reason in self.names]
        return {"distribution": self.name, **asdict(self), "names": names}


def list_distributions(*, as_json: bool) -> None:
    """Every distribution with its names and its problems. Imports no plugin."""
    _be_lenient()
    distributions = _distributions()
    if as_json:
        facts = [each.as_dict() for each in distributions]
        for fact in facts:
            fact.pop("name")
        typer.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    for distribution in distributions:
        _show_distribution(distribution)
    malformed = plugins.malformed_metadata()
    if malformed:
        say_warning(advice(malformed))


def _distributions() -> list[_Distribution]:
    found: dict[str, _Distribution] = {}
    for entry, reason in [*((entry, "") for entry in plugins.declared()), *plugins.disabled()]:
        distribution = found.setdefault(
            entry.distribution, _Distribution(entry.distribution, entry.version, entry.summary)
        )
        distribution.names.append((_WORDS[entry.group], entry.name, reason))
    for problem in _problems():
        name = problem.distribution or "(unnamed)"
        owner = found.setdefault(name, _Distribution(name, problem.version))
        owner.problems.append(f"{problem.subject}: {problem.message}")
    return [found[name] for name in sorted(found)]


def _problems() -> list[Problem]:
    """The load report's, and the malformed metadata of any package, each once."""
    return list(dict.fromkeys([*plugins.problems(), *plugins.malformed_metadata()]))


def _show_distribution(distribution: _Distribution) -> None:
    typer.secho(f"{distribution.name} {distribution.version}".strip(), bold=True, nl=False)
    typer.echo(f"  {distribution.summary}" if distribution.summary else "")
    for kind, name, reason in sorted(distribution.names):
        typer.echo(f"  {kind:<8} {name}{f'  (disabled by {reason})' if reason else ''}")
    for problem in distribution.problems:
        typer.secho("  problem  ", fg="red", nl=False)
        typer.echo(problem)


def check_all(*, as_json: bool) -> None:
    """Import every plugin, each behind a guard, and report every problem; exits with 1 if there is one."""
    _be_lenient()
    make_pydantic_usable()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", LimbeckWarning)
        loaded = _load_all()
        problems = _problems()
    _tell_rest(warned, problems)
    if as_json:
        typer.echo(json.dumps([asdict(problem) for problem in problems], indent=2, ensure_ascii=False))
    for problem in [] if as_json else problems:
        told = problem.kind in ("import", "contract")  # their message names the distribution and the target
        typer.echo(f"{problem.kind:<10} {problem.message if told else problem}")
    say(f"{loaded} names loaded, {len(problems) or 'no'} problem{'s' * (len(problems) != 1)}.")
    if problems:
        raise typer.Exit(ExitCode.ERROR)


def _tell_rest(warned: Sequence[warnings.WarningMessage], problems: Sequence[Problem]) -> None:
    """Show the warnings that are not problems of the list in other words."""
    for each in warned:
        if not any(problem.message in str(each.message) for problem in problems):
            warnings.showwarning(each.message, each.category, each.filename, each.lineno)


def _load_all() -> int:
    from .commands import command_of

    loaded = 0
    for entry in plugins.declared():
        try:
            if entry.group == COMMANDS_GROUP:
                command_of(entry)
            elif entry.group != HOOKS_GROUP:
                plugins.load(entry)
            loaded += 1
        except RegistryError:
            continue  # in the report
    plugins.load_hooks()
    return loaded


def _be_lenient() -> None:
    """A diagnosis tells all; under strictness the first problem would end it."""
    os.environ.pop("LIMBECK_STRICT_PLUGINS", None)


def explain(name: str) -> None:
    """How `name` resolves for each kind: who offers it, what decides, who gets it."""
    _be_lenient()
    known = [_explain_kind(kind, name) for kind in GROUPS] + [_explain_command(name)]
    if any(known):
        return
    say(f"No metadata declares {name!r}, so the hook plugins are asked, as on any miss.")
    _explain_dynamic(name)


def _explain_kind(kind: Kind, name: str) -> bool:
    listings = [each for each in plugins.listings(kind) if name in (each.name, each.qualified, _short(each))]
    if not listings:
        return False
    typer.secho(f"{kind} {name}", bold=True)
    for listing in listings:
        typer.echo(f"  {listing.qualified} {listing.version}  {listing.target}  {listing.status}")
    typer.echo(f"  -> {_verdict(kind, name, listings)}")
    return True


def _short(listing: Listing) -> str:
    return listing.qualified.rpartition("/")[2]


def _verdict(kind: Kind, name: str, listings: list[Listing]) -> str:
    usable = [each for each in listings if not each.status.startswith("disabled")]
    if not usable:
        return f"nothing: {listings[0].status}"
    local = [each for each in usable if not each.distribution]
    if local and "/" not in name:
        return "the registration in this process: it precedes whatever is installed"
    return _choice(name, _entries(GROUPS[kind], name))


def _choice(name: str, candidates: list[Entry]) -> str:
    decision = plugins.decide(name, candidates)
    return f"{decision.winner.qualified if decision.winner else 'an error'}: {decision.reason}"


def _entries(group: str, name: str) -> list[Entry]:
    """The entries that a name, short or qualified, may mean."""
    return [entry for entry in plugins.declared(group) if name in (entry.name, entry.qualified)]


def _explain_command(name: str) -> bool:
    candidates = _entries(COMMANDS_GROUP, name)
    if not candidates:
        return False
    typer.secho(f"command {name}", bold=True)
    for entry in candidates:
        typer.echo(f"  {entry.qualified} {entry.version}  {entry.target}")
    typer.echo(f"  -> {_choice(name, candidates)}")
    return True


def _explain_dynamic(name: str) -> None:
    make_pydantic_usable()
    errors: dict[str, RegistryError] = {}
    for kind in GROUPS:
        try:
            target = plugins.get(kind, name)
        except RegistryError as exc:
            errors[kind] = exc
        else:
            typer.echo(f"{kind} {name}\n  -> {target.__module__}:{target.__qualname__}: a hook plugin registers it")
    if len(errors) == len(GROUPS):
        telling = [
            str(error) for error in errors.values() if "Did you mean" in str(error) or "pip install" in str(error)
        ]
        for message in telling or [f"There is no task, LLM, step or command named {name!r}."]:
            say_error(message)
        raise typer.Exit(ExitCode.ERROR)
