"""The process that is the command: the modules that it loads, and its garbage collector."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest

from support.command import invoke, write_rows
from support.openai_server import openai_server
from support.packs import result_of, write_pack

# What a run of one task over JSONL has no use for: other backends, commands and formats, and the tools of help.
NOT_FOR_A_RUN = [
    "anthropic",
    "concurrent.futures.process",
    "genai_prices",
    "huggingface_hub",
    "jinja2",
    "jsonschema",
    "limbeck._engine.batch.window",
    "limbeck._engine.answers.explain",
    "limbeck._pipeline.config.schema",
    "limbeck_anthropic",
    "limbeck_cli.diagnosis",
    "limbeck_cli.estimates",
    "limbeck_data",
    "limbeck_huggingface",
    "limbeck_report",
    "multiprocessing",
    "openai.resources",
    "pyarrow",
    "rich",
    "tomllib",
    "yaml",
]

HOLDER = """
from limbeck import LLM
from limbeck.types import Generation, GenerationResponse
from pydantic import PrivateAttr

class Holder(LLM):
    model: str
    _file: object = PrivateAttr(default_factory=lambda: open("held.txt", "w"))
    model_name = property(lambda self: self.model)
    async def agenerate(self, request):
        self._file.write("asked")
        return GenerationResponse(generations=[Generation(text="yes")])
"""


def after(words: list[str], result: str, *folders: Path, **variables: str) -> Any:
    """The value of the expression `result` in a process that has been the command and sees the packs in `folders`."""
    return result_of(
        "import gc, sys\nfrom limbeck_cli.app import main\n"
        f"sys.argv = ['limbeck', *{words!r}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        f"result = {result}",
        *folders,
        **variables,
    )


def modules_after(*words: str, **variables: str) -> set[str]:
    return set(after(list(words), "sorted(sys.modules)", **variables))


def loaded(modules: set[str], packages: list[str]) -> list[str]:
    """Those of `packages` of which some module is loaded."""
    return [name for name in packages if any(module == name or module.startswith(f"{name}.") for module in modules)]


def words_of_a_run(folder: Path, model: str) -> list[str]:
    rows = write_rows(folder / "rows.jsonl", [{"instruction": "Why?"}])
    return ["generate", "-m", model, "-i", rows, "-o", "out.jsonl", "--run-dir", "run", "--quiet"]


# Modules


def test_saying_the_version_loads_no_engine_and_no_pydantic() -> None:
    modules = modules_after("--version")

    assert loaded(modules, ["asyncio", "pydantic", "sqlite3", "limbeck._engine", *NOT_FOR_A_RUN]) == []


@pytest.mark.workspace
def test_a_run_without_a_server_loads_no_sdk_and_nothing_that_it_does_not_use(folder: Path) -> None:
    modules = modules_after(*words_of_a_run(folder, "offline"))

    assert loaded(modules, ["openai", "aiohttp", "httpx2", "limbeck_openai", *NOT_FOR_A_RUN]) == []


@pytest.mark.workspace
def test_a_run_against_a_server_of_ones_own_loads_its_sdk_and_nothing_that_it_does_not_use(folder: Path) -> None:
    with openai_server() as server:
        modules = modules_after(
            *words_of_a_run(folder, "openai/any"), OPENAI_BASE_URL=server.url, OPENAI_API_KEY="none"
        )

    assert loaded(modules, ["openai", "aiohttp", *NOT_FOR_A_RUN]) == ["openai", "aiohttp"]


# Garbage


def test_the_command_looks_for_garbage_seldom_and_not_among_what_start_up_made(folder: Path) -> None:
    pace, spared = after(words_of_a_run(folder, "offline"), "(gc.get_threshold()[0], gc.get_freeze_count())")

    assert pace > gc.get_threshold()[0]
    assert spared > 0


def test_in_a_process_of_somebody_elses_the_collector_stays_as_it_is(folder: Path) -> None:
    before = gc.get_threshold(), gc.get_freeze_count()

    assert invoke(*words_of_a_run(folder, "offline")).exit_code == 0
    assert (gc.get_threshold(), gc.get_freeze_count()) == before


def test_a_file_that_a_backend_never_closes_is_whole_after_the_run(folder: Path, tmp_path: Path) -> None:
    write_pack(tmp_path, "holder", "[limbeck.llms]\nholder = holder:Holder\n", holder=HOLDER)

    after(words_of_a_run(folder, "holder/any"), "None", tmp_path)

    assert (folder / "held.txt").read_text() == "asked"
