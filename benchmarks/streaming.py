"""One way to put rows through a pipeline whose models answer in this process; prints what it took as JSON.

    python -m benchmarks.streaming three --rows 10000 --folder SCRATCH

The ways: `three` are three tasks in a row that answer at once, from a generator into a file;
`alone` and `two` are one and two tasks whose models take their time, each with a window of its own;
`shared` are two tasks that ask the same model, and so share its window.
A ledger is kept, with prompts as digests. CPU is that of all threads, from the first row to the last,
without imports. The output and the ledger are left in the folder.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck import LLM, Pipeline, get_step, get_task, list_steps
from limbeck.testing import EchoLLM
from limbeck.types import Generation, GenerationResponse

from .inprocess import peak_mb, rows_to_ask

if TYPE_CHECKING:
    from collections.abc import Callable

    from limbeck.types import GenerationRequest

TASKS = ("draft", "review", "final")
RUN_DIR = "run"
LATENCY = 0.1  # seconds, of the models that take their time


def answer_to(prompt: str) -> str:
    """What the model of `three` says."""
    return f"re: {prompt}"


class InstantLLM(LLM):
    """Answers at once, but for one turn of the event loop, as every call takes that leaves the process."""

    @property
    def model_name(self) -> str:
        return "instant"

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        await asyncio.sleep(0)
        text = answer_to(str(request.messages[-1]["content"]))
        return GenerationResponse(generations=[Generation(text=text, finish_reason="stop")])


def target_in(folder: Path) -> Path:
    """Where `three` writes: Parquet where limbeck-data is installed."""
    return folder / ("out.parquet" if "save-to-parquet" in list_steps() else "out.jsonl")


def three(rows: int, folder: Path, window: int) -> Pipeline:
    llm = InstantLLM(max_concurrency=window)
    steps = [_task(name, before, llm) for name, before in zip(TASKS, ("instruction", *TASKS), strict=False)]
    target = target_in(folder)
    save = get_step(f"save-to-{target.suffix.removeprefix('.')}")(path=target)
    return Pipeline(rows_to_ask(rows), *steps, save, name="three")


def _task(name: str, column: str, llm: LLM) -> Any:
    template = f"{{{{ {column} }}}}"
    return get_task("text-generation")(name=name, llm=llm, template=template, output_mappings={"generation": name})


def alone(rows: int, _folder: Path, window: int) -> Pipeline:
    return Pipeline(rows_to_ask(rows), _task("draft", "instruction", _slow("first", window)), name="alone")


def two(rows: int, _folder: Path, window: int) -> Pipeline:
    first = _task("draft", "instruction", _slow("first", window))
    return Pipeline(rows_to_ask(rows), first, _task("review", "draft", _slow("second", window)), name="two")


def shared(rows: int, _folder: Path, window: int) -> Pipeline:
    llm = _slow("first", window)
    return Pipeline(rows_to_ask(rows), _task("draft", "instruction", llm), _task("review", "draft", llm), name="shared")


def _slow(model: str, window: int) -> EchoLLM:
    return EchoLLM(model=model, latency=LATENCY, max_concurrency=window)


WAYS: dict[str, Callable[[int, Path, int], Pipeline]] = {"three": three, "alone": alone, "two": two, "shared": shared}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("--rows", type=int, default=2_000)
    parser.add_argument("--window", type=int, default=256)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    _import_all(options.folder)
    pipeline = WAYS[options.way](options.rows, options.folder, options.window)
    began, began_cpu = time.perf_counter(), time.process_time()
    result = pipeline.run(run_dir=options.folder / RUN_DIR, ledger_requests="hash")
    cpu, seconds = time.process_time() - began_cpu, time.perf_counter() - began
    done = result.report.steps[-1].rows_in
    print(json.dumps({"rows": done, "cpu_seconds": cpu, "seconds": seconds, "peak_mb": peak_mb()}))


def _import_all(folder: Path) -> None:
    """A run of one row, through models of other names, so that nobody's window has widened."""
    llm = EchoLLM(model="before")
    (folder / "before").mkdir()
    save = get_step(f"save-to-{target_in(folder).suffix.removeprefix('.')}")(path=target_in(folder / "before"))
    Pipeline(rows_to_ask(1), _task("draft", "instruction", llm), save).run(run_dir=folder / "before")


if __name__ == "__main__":
    main()
