"""The `limbeck` command line: what can be typed. What it does is in the modules that each command imports."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Annotated, Literal

import typer

from limbeck.recipes import RunSettings, amount_of, max_failed_of

from .commands import CommandGroup, typed_words
from .exits import show_warning
from .garbage import look_seldom
from .money import estimate_option, money_options
from .options import CommandOptions, TaskOptions
from .shared_options import taking

app = typer.Typer(
    name="limbeck",
    cls=CommandGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # they print local variables, and with them keys
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Run pipelines of LLM tasks over rows of data, and list and diagnose the plugins that bring them.",
)
show_app = typer.Typer(no_args_is_help=True, help="Show one task, LLM or step: its columns, fields and prompt.")
plugins_app = typer.Typer(no_args_is_help=True, help="List and diagnose the installed plugins.")
app.add_typer(show_app, name="show")
app.add_typer(plugins_app, name="plugins")

AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, for programs.")]
Name = Annotated[str, typer.Argument(help="A name, short (`text-generation`) or qualified (`acme-judges/judge`).")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, and no summary of a good run.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at a row that cannot be read, instead of leaving it out.")]
RunPath = Annotated[str, typer.Argument(metavar="RUN", help="A run directory, or its name in `runs/`.")]
FilePath = Annotated[str, typer.Argument(metavar="FILE", help="A pipeline's file: .yaml, .yml or .toml.")]
RunDir = Annotated[
    str | None,
    typer.Option(
        metavar="DIR",
        help="Keep every answer here; the same command again asks only for the rest. By default a new folder in runs/.",
    ),
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Read this many rows at most.")]
Input = Annotated[str | None, typer.Option("--input", "-i", help="Read this instead; `-` is stdin.")]
Output = Annotated[str | None, typer.Option("--output", "-o", help="Write here instead; `-` is stdout.")]
RunSettingsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="`steps.NAME.FIELD=VALUE`, `steps.NAME.llm.FIELD=VALUE`, `output=PATH`. Repeatable.",
    ),
]
GenerateSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="`task.FIELD=VALUE`, or `llm.NAME=VALUE`: a field of the LLM, else the provider's own. Repeatable.",
    ),
]


def _max_failed(text: str) -> float:
    try:
        return max_failed_of(text)
    except ValueError as exc:
        raise typer.BadParameter(str(exc)) from exc


def _amount(text: str) -> float:
    try:
        return amount_of(float(text))
    except ValueError as exc:
        raise typer.BadParameter(f"expected a number above 0, not {text!r}") from exc


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


def _verbose(wanted: bool) -> None:
    if wanted:
        from .log import show_log

        show_log()


Verbose = Annotated[
    bool,
    typer.Option("--verbose", "-v", callback=_verbose, help="Show the log: retries, servers that are away, breakers."),
]


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
    verbose: Verbose = False,  # noqa: ARG001 - its callback acts, here and below
) -> None:
    """Run pipelines of LLM tasks over rows of data, and list and diagnose the plugins that bring them."""
    if debug:
        os.environ["LIMBECK_DEBUG"] = "1"


def _shared_options(
    *,
    ctx: typer.Context,
    limit: Limit = None,
    run_dir: RunDir = None,
    no_ledger: Annotated[bool, typer.Option("--no-ledger", help="Keep no answers.")] = False,
    max_failed: Annotated[
        float | None,
        typer.Option(
            metavar="N|FRACTION",
            parser=_max_failed,
            help="Stop when more rows have failed: 20, or 5% of the rows done.",
        ),
    ] = None,
    max_concurrency: Annotated[int | None, typer.Option(min=1, help="Requests in flight to each LLM at most.")] = None,
    rpm: Annotated[float | None, typer.Option(parser=_amount, help="Requests a minute at most.")] = None,
    tpm: Annotated[float | None, typer.Option(parser=_amount, help="Tokens a minute at most.")] = None,
    batch: Annotated[
        bool | None,
        typer.Option("--batch/--online", help="Ask through the provider's batches: cheaper, and within a day."),
    ] = None,
    durability: Annotated[
        Literal["normal", "full"] | None,
        typer.Option(help="What a power cut may cost: the last answers (normal), or nothing (full)."),
    ] = None,
    ledger_requests: Annotated[
        Literal["full", "hash"] | None, typer.Option(help="Keep the prompts too, or only their digests.")
    ] = None,
    unordered: Annotated[
        bool | None, typer.Option("--unordered/--ordered", help="Write rows as they are done, or in input order.")
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,  # noqa: ARG001
    strict: Strict = False,
) -> CommandOptions:
    if run_dir is not None and no_ledger:
        raise typer.BadParameter("--run-dir and --no-ledger exclude each other.")
    run = RunSettings(
        run_dir=run_dir,
        no_ledger=no_ledger or None,
        max_failed=max_failed,
        limit=limit,
        max_concurrency=max_concurrency,
        rpm=rpm,
        tpm=tpm,
        mode=None if batch is None else "batch" if batch else "online",
        durability=durability,
        ledger_requests=ledger_requests,
        unordered=unordered,
    )
    return CommandOptions(run, overwrite=overwrite, quiet=quiet, strict=strict, typed=typed_words(ctx))


def _resume_options(
    ctx: typer.Context,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,  # noqa: ARG001
    strict: Strict = False,
) -> CommandOptions:
    return CommandOptions(RunSettings(), overwrite=overwrite, quiet=quiet, strict=strict, typed=typed_words(ctx))


def _reparse_options(
    run_dir: Annotated[str | None, typer.Option(metavar="DIR", help="Where the answers are.")] = None,
    limit: Limit = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,  # noqa: ARG001
) -> CommandOptions:
    return CommandOptions(
        RunSettings(run_dir=run_dir, limit=limit), overwrite=overwrite, quiet=quiet, reparse=True, typed=None
    )


def _task_options(
    task: Annotated[
        str | None, typer.Option("--task", "-t", help="The task, by default `text-generation`; see `limbeck tasks`.")
    ] = None,
    num_generations: Annotated[
        int | None, typer.Option("--num-generations", "-n", min=1, help="Answers for each row.")
    ] = None,
    group: Annotated[bool, typer.Option("--group", help="One row with lists, instead of one row an answer.")] = False,
    on_error: Annotated[
        Literal["keep", "drop", "raise"] | None, typer.Option(help="What becomes of a generation that failed.")
    ] = None,
) -> TaskOptions:
    own = {
        "--num-generations": ("num_generations", num_generations),
        "--group": ("group_generations", group or None),
        "--on-error": ("on_error", on_error),
    }
    fields = {name: (value, flag) for flag, (name, value) in own.items() if value is not None}
    return TaskOptions(task, fields)


@app.command()
@taking(money=money_options, estimate=estimate_option, options=_shared_options)
def run(
    *,
    file: FilePath,
    source: Input = None,
    output: Output = None,
    settings: RunSettingsOption = None,
    money: RunSettings,
    estimate: int | None,
    options: CommandOptions,
) -> None:
    """Run the pipeline of a file: from its sources, through its steps and tasks, to its sinks."""
    from .jobs import run_file

    options = options.with_money(money, estimate)
    raise typer.Exit(run_file(file, settings or [], source=source, output=output, options=options))


@app.command()
@taking(money=money_options, options=_resume_options)
def resume(
    *, run_dir: RunPath, settings: RunSettingsOption = None, money: RunSettings, options: CommandOptions
) -> None:
    """Go on with a run that was stopped or killed: only what is missing is asked."""
    from .jobs import resume_run

    raise typer.Exit(resume_run(run_dir, settings or [], options=options.with_money(money)))


@app.command()
@taking(money=money_options, options=_resume_options)
def retry(
    *,
    run_dir: RunPath,
    where: Annotated[
        str,
        typer.Option(
            metavar="CONDITION",
            help="Which answers, in SQL: \"finish_reason = 'length'\", `failed`, or of the output's columns.",
        ),
    ],
    step: Annotated[str | None, typer.Option(help="The task, where the run has several.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="llm.NAME=VALUE", help="A changed parameter or field of the LLM. Repeatable."),
    ] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Another LLM: `provider/model`.")] = None,
    from_turn: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Of a conversation: keep what is before turn N.")
    ] = None,
    money: RunSettings,
    options: CommandOptions,
) -> None:
    """Ask for some answers of a run again, with other parameters or another LLM, and write its outputs anew."""
    from .jobs import resume_run
    from .retry import Retry

    asked = Retry(run_dir, where, step=step, settings=settings or [], model=model, from_turn=from_turn)
    raise typer.Exit(resume_run(run_dir, [], options=options.with_money(money, retry=asked)))


@app.command()
def explain(
    run_dir: RunPath,
    row: Annotated[str, typer.Argument(help="The row's id: its position in the source, from 0 (`17`, `17.2`).")],
    step: Annotated[str | None, typer.Option(help="The task, where the run has several.")] = None,
    settings: RunSettingsOption = None,
) -> None:
    """Say what a row's key is of, whether its answer is in the run directory, and if not, what differs."""
    from .explanations import explain_row

    explain_row(run_dir, row, step=step, settings=settings or [])


@app.command()
def cancel(run_dir: RunPath, settings: RunSettingsOption = None) -> None:
    """Give up the provider batches that a stopped run has left open: ask each provider to end them."""
    from .cancellation import cancel_run

    raise typer.Exit(cancel_run(run_dir, settings or []))


@app.command()
def validate(
    *,
    file: FilePath,
    settings: RunSettingsOption = None,
    load: Annotated[
        bool, typer.Option("--load/--no-load", help="Also check that each provider's SDK and key are there.")
    ] = True,
) -> None:
    """Check a pipeline's file: names, fields, columns along every path, sources, keys. No model is asked."""
    from .jobs import validate_file

    validate_file(file, settings or [], load=load)


@app.command()
def init(
    file: Annotated[str, typer.Argument(metavar="[FILE]", help="What to write.")] = "pipeline.yaml",
) -> None:
    """Write a pipeline's file to start from, with comments. It runs as it is, without a key."""
    from .starter import write_starter

    write_starter(file)


@app.command()
def schema(
    output: Annotated[str, typer.Option("--output", "-o", help="Write here; `-` is stdout.")] = "-",
) -> None:
    """Write the JSON Schema of a pipeline's file, for editors: made from the plugins that are installed here."""
    from .starter import write_schema

    write_schema(output)


@app.command()
def runs(
    folder: Annotated[str, typer.Argument(metavar="[FOLDER]", help="Where the run directories are.")] = "runs",
    as_json: AsJson = False,
) -> None:
    """List run directories: how each run went, how many rows it wrote and how many failed."""
    from .run_list import list_runs

    list_runs(folder, as_json=as_json)


@app.command()
@taking(task=_task_options, money=money_options, estimate=estimate_option, options=_shared_options)
def generate(
    *,
    model: Annotated[
        str,
        typer.Option(
            "--model", "-m", envvar="LIMBECK_MODEL", help="`provider/model`, or `offline` for a first look without one."
        ),
    ],
    task: TaskOptions,
    source: Annotated[
        str, typer.Option("--input", "-i", help="A file of rows, by its suffix; `-` is stdin (JSONL).")
    ] = "-",
    output: Annotated[str, typer.Option("--output", "-o", help="A file, by its suffix; `-` is stdout (JSONL).")] = "-",
    settings: GenerateSettings = None,
    money: RunSettings,
    estimate: int | None,
    options: CommandOptions,
) -> None:
    """Run one task over rows: `limbeck generate -m openai/gpt-5-mini -i rows.jsonl -o out.jsonl`."""
    from .jobs import generate_rows

    options = options.with_money(money, estimate)
    raise typer.Exit(generate_rows(model, task, settings=settings or [], source=source, output=output, options=options))


@app.command()
@taking(task=_task_options, options=_reparse_options)
def reparse(
    *,
    file: Annotated[str | None, typer.Argument(metavar="[FILE]", help="What was run; else as `generate`.")] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="As `generate` was given.")] = None,
    task: TaskOptions,
    source: Input = None,
    output: Output = None,
    settings: GenerateSettings = None,
    options: CommandOptions,
) -> None:
    """Make the output anew from the answers of a run directory: after a task's `format_output` has changed."""
    from .jobs import generate_rows, run_file

    if file is None:
        model = model or os.environ.get("LIMBECK_MODEL")
        if not model:
            raise typer.BadParameter("Give a FILE as for `run`, or --model as for `generate`.")
        code = generate_rows(
            model, task, settings=settings or [], source=source or "-", output=output or "-", options=options
        )
    elif model or task.given:
        raise typer.BadParameter("FILE says the tasks and models; change them with --set steps.NAME.FIELD=VALUE.")
    else:
        code = run_file(file, settings or [], source=source, output=output, options=options)
    raise typer.Exit(code)


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
def embedders(as_json: AsJson = False) -> None:
    """List the embedders."""
    from .listing import show_names

    show_names("embedder", as_json=as_json)


@app.command()
def scorers(as_json: AsJson = False) -> None:
    """List the scorers."""
    from .listing import show_names

    show_names("scorer", as_json=as_json)


@app.command("image-generators")
def image_generators(as_json: AsJson = False) -> None:
    """List the image generators."""
    from .listing import show_names

    show_names("image_generator", as_json=as_json)


@app.command()
def steps(as_json: AsJson = False) -> None:
    """List the steps."""
    from .listing import show_names

    show_names("step", as_json=as_json)


@app.command()
def tools(as_json: AsJson = False) -> None:
    """List the tools that models may be given."""
    from .listing import show_names

    show_names("tool", as_json=as_json)


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


@show_app.command("embedder")
def show_embedder(name: Name) -> None:
    """Show an embedder: its fields and what it can do."""
    from .show import show

    show("embedder", name, [])


@show_app.command("scorer")
def show_scorer(name: Name) -> None:
    """Show a scorer: its fields and what it can do."""
    from .show import show

    show("scorer", name, [])


@show_app.command("image-generator")
def show_image_generator(name: Name) -> None:
    """Show an image generator: its fields and what it can do."""
    from .show import show

    show("image_generator", name, [])


@show_app.command("step")
def show_step(name: Name, settings: Settings = None) -> None:
    """Show a step: columns and fields."""
    from .show import show

    show("step", name, settings or [])


@show_app.command("tool")
def show_tool(name: Name) -> None:
    """Show a tool: what a model is told of it, or the fields of a class of tools."""
    from .show import show

    show("tool", name, [])


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


def _open_closed_streams() -> None:
    """Give the process those of its standard streams that whoever started it closed: Python has None for them.

    What was to be written to a closed stdout is an error and does not vanish, so that it is not writable.
    """
    nothing = Path(os.devnull)
    sys.stdin = sys.stdin or nothing.open(encoding="utf-8")
    sys.stdout = sys.stdout or nothing.open(encoding="utf-8")
    sys.stderr = sys.stderr or nothing.open("w", encoding="utf-8")


def main() -> None:
    """The console script."""
    look_seldom()
    warnings.showwarning = show_warning
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # both are text files here
    app(prog_name="limbeck")
