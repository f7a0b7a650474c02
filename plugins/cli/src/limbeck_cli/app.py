"""The `limbeck` command line: what can be typed. What it does is in the modules that each command imports."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Annotated, Literal

import typer

from .commands import CommandGroup
from .exits import show_warning

app = typer.Typer(
    name="limbeck",
    cls=CommandGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # they print local variables, and with them keys
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Run LLM tasks over rows of data, and list and diagnose the plugins that bring them.",
)
show_app = typer.Typer(no_args_is_help=True, help="Show one task, LLM or step: its columns, fields and prompt.")
plugins_app = typer.Typer(no_args_is_help=True, help="List and diagnose the installed plugins.")
app.add_typer(show_app, name="show")
app.add_typer(plugins_app, name="plugins")

AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, for programs.")]
Name = Annotated[str, typer.Argument(help="A name, short (`text-generation`) or qualified (`acme-judges/judge`).")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, and no summary of a good run.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output file if it exists.")]
RunDir = Annotated[
    str | None,
    typer.Option("--run-dir", help="Keep every answer here: the same command again asks only for the rest."),
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Read this many rows at most.")]


def _disable(tokens: list[str] | None) -> list[str] | None:
    if tokens:
        given = os.environ.get("LIMBECK_DISABLE_PLUGINS", "")
        os.environ["LIMBECK_DISABLE_PLUGINS"] = " ".join([given, *tokens]).strip()
    return tokens


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"limbeck {version('limbeck-cli')} (limbeck-core {version('limbeck-core')})")
        raise typer.Exit


@app.callback()
def main_options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error (or LIMBECK_DEBUG=1).")
    ] = False,
    disable_plugin: Annotated[  # noqa: ARG001 - its callback acts before a plugin is looked for
        list[str] | None,
        typer.Option(
            metavar="TOKEN",
            is_eager=True,
            callback=_disable,
            help="Leave a distribution, or one name of it (`acme-judges/judge`), out. Repeatable.",
        ),
    ] = None,
    version: Annotated[  # noqa: ARG001 - its callback prints it
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the versions.")
    ] = False,
) -> None:
    """Run LLM tasks over rows of data, and list and diagnose the plugins that bring them."""
    if debug:
        os.environ["LIMBECK_DEBUG"] = "1"


@app.command()
def run(  # noqa: PLR0917 - typer passes them by name
    file: Annotated[str, typer.Argument(metavar="FILE.yaml", help="What to run.")],
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="`tasks.NAME.FIELD=VALUE`, `tasks.NAME.llm.FIELD=VALUE`, `output=PATH`. Repeatable.",
        ),
    ] = None,
    source: Annotated[str | None, typer.Option("--input", "-i", help="Read this instead; `-` is stdin.")] = None,
    output: Annotated[str | None, typer.Option("--output", "-o", help="Write here instead; `-` is stdout.")] = None,
    limit: Limit = None,
    run_dir: RunDir = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Run the tasks of a YAML file over its rows, one after another, rows streaming through."""
    from .jobs import Options, run_file

    options = Options(limit=limit, overwrite=overwrite, quiet=quiet, run_dir=run_dir)
    raise typer.Exit(run_file(file, settings or [], source=source, output=output, options=options))


@app.command()
def generate(  # noqa: PLR0917 - typer passes them by name
    model: Annotated[
        str,
        typer.Option(
            "--model", "-m", envvar="LIMBECK_MODEL", help="`provider/model`, or `offline` for a first look without one."
        ),
    ],
    task: Annotated[
        str, typer.Option("--task", "-t", help="The task's name; see `limbeck tasks`.")
    ] = "text-generation",
    source: Annotated[
        str, typer.Option("--input", "-i", help="A .jsonl, .json or .csv file; `-` is stdin (JSONL).")
    ] = "-",
    output: Annotated[str, typer.Option("--output", "-o", help="A .jsonl file; `-` is stdout.")] = "-",
    num_generations: Annotated[
        int | None, typer.Option("--num-generations", "-n", min=1, help="Answers for each row.")
    ] = None,
    group: Annotated[bool, typer.Option("--group", help="One row with lists, instead of one row an answer.")] = False,
    max_concurrency: Annotated[int | None, typer.Option(min=1, help="Requests in flight at most.")] = None,
    on_error: Annotated[
        Literal["keep", "drop", "raise"] | None, typer.Option(help="What becomes of a generation that failed.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="`task.FIELD=VALUE`, or `llm.NAME=VALUE`: a field of the LLM, else the provider's own. Repeatable.",
        ),
    ] = None,
    limit: Limit = None,
    run_dir: RunDir = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Run one task over rows: `limbeck generate -m openai/gpt-5-mini -i rows.jsonl -o out.jsonl`."""
    from .jobs import Options, generate_rows

    own = {
        "--num-generations": ("num_generations", num_generations),
        "--group": ("group_generations", group or None),
        "--on-error": ("on_error", on_error),
    }
    if max_concurrency is not None:
        settings = [f"llm.max_concurrency={max_concurrency}", *(settings or [])]
    raise typer.Exit(
        generate_rows(
            task,
            model,
            fields={name: (value, flag) for flag, (name, value) in own.items() if value is not None},
            settings=settings or [],
            source=source,
            output=output,
            options=Options(limit=limit, overwrite=overwrite, quiet=quiet, run_dir=run_dir),
        )
    )


@app.command()
def tasks(as_json: AsJson = False) -> None:
    """List the tasks."""
    from .listing import show_names

    show_names("task", as_json=as_json)


@app.command()
def llms(as_json: AsJson = False) -> None:
    """List the LLM backends."""
    from .listing import show_names

    show_names("llm", as_json=as_json)


@app.command()
def steps(as_json: AsJson = False) -> None:
    """List the steps."""
    from .listing import show_names

    show_names("step", as_json=as_json)


Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Give a field that it cannot be made without. Repeatable."),
]


@show_app.command("task")
def show_task(name: Name, settings: Settings = None) -> None:
    """Show a task: columns, fields, and the prompt and output of its first example."""
    from .show import show

    show("task", name, settings or [])


@show_app.command("llm")
def show_llm(name: Name) -> None:
    """Show an LLM backend: its fields and what it can do."""
    from .show import show

    show("llm", name, [])


@show_app.command("step")
def show_step(name: Name, settings: Settings = None) -> None:
    """Show a step: columns and fields."""
    from .show import show

    show("step", name, settings or [])


@plugins_app.command("list")
def list_plugins(as_json: AsJson = False) -> None:
    """Every distribution with its names and problems. Imports none."""
    from .diagnosis import list_distributions

    list_distributions(as_json=as_json)


@plugins_app.command()
def check(as_json: AsJson = False) -> None:
    """Import every plugin, each behind a guard, and report every problem."""
    from .diagnosis import check_all

    check_all(as_json=as_json)


@plugins_app.command()
def why(name: Name) -> None:
    """Say how a name resolves: who offers it, what decides, who gets it."""
    from .diagnosis import explain

    explain(name)


def main() -> None:
    """The console script."""
    warnings.showwarning = show_warning
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # both are text files here
    app(prog_name="limbeck")
