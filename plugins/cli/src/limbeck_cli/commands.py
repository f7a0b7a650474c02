"""The command group: its own commands, and those that distributions declare in `limbeck.commands`.

A declared command is listed from metadata and imported only when it is typed, so one that
cannot be imported costs only itself.
"""

from __future__ import annotations

import os
import traceback
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup

from limbeck.errors import LimbeckError, MissingDependencyError, RegistryError
from limbeck.plugins import COMMANDS_GROUP, contract_error, decide, declared, disabled, known_pack, load

from .exits import ExitCode, forget_stdout, say, say_error

if TYPE_CHECKING:
    from limbeck.plugins import Entry

# Raised by the argument parser, which shows it; a part of click in older versions of typer.
_ParserError: type[Exception] = next(cls for cls in typer.BadParameter.__mro__ if cls.__name__ == "ClickException")


_TYPED = "limbeck_cli.typed"


class CommandGroup(TyperGroup):
    """The `limbeck` command; turns errors into a message and an exit status."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Its own commands in order, then the declared ones."""
        return [*super().list_commands(ctx), *sorted(_declared() - set(self.commands))]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command, without importing the plugin that declares it.

        Raises:
            MissingDependencyError: it is that of an official package, which is not installed.
        """
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        entries = [entry for entry in _entries() if cmd_name in (entry.name, entry.qualified)]
        if not entries:
            _refuse_missing(cmd_name)
        return _DeclaredCommand(cmd_name, entries) if entries else None

    def make_context(self, info_name: Any, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context, which keeps the command line as it was typed."""
        typed = list(args)
        context = super().make_context(info_name, args, parent=parent, **extra)
        context.meta[_TYPED] = typed
        return context

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an error ends the process with a message, a traceback only where it was asked for."""
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, _ParserError):
            raise
        except BrokenPipeError:
            forget_stdout()
            raise typer.Exit(ExitCode.BROKEN_PIPE) from None
        except KeyboardInterrupt:
            say("Interrupted.")
            raise typer.Exit(ExitCode.INTERRUPTED) from None
        except Exception as exc:
            show_failure(exc)
            raise typer.Exit(ExitCode.ERROR) from exc


def typed_words(ctx: typer.Context) -> list[str]:
    """The whole command line behind `limbeck`, as it was typed."""
    return list(ctx.meta.get(_TYPED, ()))


def show_failure(error: BaseException) -> None:
    """Say what went wrong; with `--debug` where, too."""
    known = isinstance(error, LimbeckError)
    say_error(str(error) if known else f"{type(error).__name__}: {error}")
    if os.environ.get("LIMBECK_DEBUG", "") not in ("", "0"):
        traceback.print_exception(error)
    elif not known:
        say("This was not expected. For the traceback: limbeck --debug …, or set LIMBECK_DEBUG=1.")


def _entries() -> list[Entry]:
    return sorted(declared(COMMANDS_GROUP), key=lambda entry: entry.qualified)


def _refuse_missing(command: str) -> None:
    """Raise where an official package has the command; one that the environment keeps out is no such package."""
    pack = known_pack("command", command)
    kept_out = {entry.distribution for entry, _ in disabled()}
    if pack is not None and pack not in kept_out:
        raise MissingDependencyError(pack, needed_by=f"`limbeck {command}`", requirement=pack)


def _declared() -> set[str]:
    """The names to type: short, or qualified for who does not get the short one."""
    entries = _entries()
    winners = {
        entry.name: decide(entry.name, [each for each in entries if each.name == entry.name]) for entry in entries
    }
    return {entry.name if winners[entry.name].winner == entry else entry.qualified for entry in entries}


class _DeclaredCommand(TyperCommand):
    """Stands in the help for a command that has not been imported."""

    def __init__(self, name: str, entries: list[Entry]) -> None:
        owner = entries[0]
        summary = f": {owner.summary}" if owner.summary else ""
        super().__init__(name, help=f"From {owner.distribution} {owner.version}{summary}")
        self._entries = entries

    def make_context(self, info_name: Any, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The real command's context: this is where it is imported."""
        from .pydantic_guard import make_pydantic_usable

        make_pydantic_usable()
        command = command_of(_chosen(self.name or "", self._entries))
        return command.make_context(info_name, args, parent=parent, **extra)


def _chosen(name: str, entries: list[Entry]) -> Entry:
    decision = decide(name, entries)
    if decision.winner is None:
        raise RegistryError(f"The command {name!r} is offered by {', '.join(map(_owner, entries))}: {decision.reason}.")
    return decision.winner


def _owner(entry: Entry) -> str:
    return f"{entry.distribution} {entry.version} (`{entry.qualified}`)"


def command_of(entry: Entry) -> Any:
    """Import the command that `entry` declares.

    Raises:
        PluginLoadError: it cannot be imported.
        PluginContractError: it is neither a typer app nor a command.
    """
    target = load(entry)
    if isinstance(target, typer.Typer):
        return typer.main.get_command(target)
    if callable(getattr(target, "make_context", None)):
        return target
    raise contract_error(
        entry, [f"`{entry.target}` must be a `typer.Typer` app, not {type(target).__name__}"], what="command"
    )
