"""One way to put rows through a model that answers at once, in this process; prints what it took as JSON.

    python -m benchmarks.inprocess WAY --rows 20000

The ways: `list` and `stream` are a window of 256 asyncio workers written by hand, which keeps the rows or
hands each on; `process` and `run` are Limbeck's `task.process` and `task.run`, and `ledger` is `task.run`
with a run directory; `one-call`, `one-turn` and `four-turns` are `task.process` of a task that asks about a
row in one call, in a conversation of one turn, and in one of four. The model gives way to the event loop
once, as every call does that leaves the process. CPU is that of all threads, from the first row to the last,
without imports; a ledger is opened and closed meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WINDOW = 256
ANSWER = "The capital of Spain is Madrid."


def rows_to_ask(count: int) -> Iterator[dict[str, Any]]:
    for index in range(count):
        yield {"instruction": f"What is the capital of country number {index}?"}


# By hand


async def _window(count: int, emit: Callable[[int, dict[str, Any]], object]) -> None:
    rows = enumerate(rows_to_ask(count))

    async def work() -> None:
        for index, row in rows:
            text = await _answer([{"role": "user", "content": row["instruction"]}])
            metadata = {"raw_output_text-generation": text}
            emit(index, {**row, "generation": text, "distilabel_metadata": metadata, "model_name": "instant"})

    await asyncio.gather(*(work() for _ in range(WINDOW)))


async def _answer(messages: list[dict[str, str]]) -> str:  # noqa: ARG001 - a real one would send them
    await asyncio.sleep(0)
    return ANSWER


def by_hand_as_a_list(count: int) -> int:
    results: list[Any] = [None] * count
    asyncio.run(_window(count, results.__setitem__))
    return len(results) - results.count(None)


def by_hand_as_a_stream(count: int) -> int:
    got = 0

    def emit(_index: int, row: dict[str, Any]) -> None:
        nonlocal got
        got += row["generation"] == ANSWER

    asyncio.run(_window(count, emit))
    return got


# Limbeck


def _instant_llm() -> Any:
    from limbeck import LLM
    from limbeck.types import Generation, GenerationRequest, GenerationResponse

    response = GenerationResponse(generations=[Generation(text=ANSWER, finish_reason="stop")])

    class InstantLLM(LLM):
        @property
        def model_name(self) -> str:
            return "instant"

        async def agenerate(self, request: GenerationRequest) -> GenerationResponse:  # noqa: ARG002 - a constant
            await asyncio.sleep(0)
            return response

    return InstantLLM(max_concurrency=WINDOW)


def _ready(task: Any) -> Any:
    next(task.process([{"instruction": "Imports what it needs."}]))
    return task


def _task() -> Any:
    from limbeck import get_task

    return _ready(get_task("text-generation")(llm=_instant_llm()))


def _one_call() -> Any:
    from limbeck import task

    @task(inputs=["instruction"], outputs=["generation"])
    def answer(row: dict[str, Any]) -> Any:
        return [{"role": "user", "content": row["instruction"]}]

    return _ready(answer(llm=_instant_llm()))


def _conversation(turns: int) -> Any:
    from limbeck import ask, task

    @task(inputs=["instruction"], outputs=["generation"])
    def answer(row: dict[str, Any]) -> Any:
        text = row["instruction"]
        for _ in range(turns):
            text = (yield ask([{"role": "user", "content": text}])).text
        return {"generation": text}

    return _ready(answer(llm=_instant_llm()))


def limbeck_process(count: int, task: Any) -> int:
    rows = next(task.process(list(rows_to_ask(count))))
    return sum(row["generation"] == ANSWER for row in rows)


def limbeck_run(count: int, task: Any) -> int:
    return sum(row["generation"] == ANSWER for row in task.run(rows_to_ask(count)))


def limbeck_ledger(count: int, task: Any, run_dir: Path) -> int:
    return sum(row["generation"] == ANSWER for row in task.run(rows_to_ask(count), run_dir=run_dir))


WAYS: dict[str, Callable[..., int]] = {
    "list": by_hand_as_a_list,
    "stream": by_hand_as_a_stream,
    "process": limbeck_process,
    "run": limbeck_run,
    "ledger": limbeck_ledger,
    "one-call": limbeck_process,
    "one-turn": limbeck_process,
    "four-turns": limbeck_process,
}
TASKS: dict[str, Callable[[], Any]] = {
    "one-call": _one_call,
    "one-turn": lambda: _conversation(1),
    "four-turns": lambda: _conversation(4),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("--rows", type=int, default=20_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="limbeck-benchmark-") as name:
        run_dir = Path(name) / "run"
        prepared = _prepared(options.way, run_dir)
        began, began_cpu = time.perf_counter(), time.process_time()
        done = WAYS[options.way](options.rows, *prepared)
        figures = {"cpu_seconds": time.process_time() - began_cpu, "seconds": time.perf_counter() - began}
        ledger_bytes = sum(file.stat().st_size for file in run_dir.glob("ledger.sqlite*"))
        print(json.dumps({"rows": done, **figures, "peak_mb": peak_mb(), "ledger_bytes": ledger_bytes}))


def _prepared(way: str, run_dir: Path) -> list[Any]:
    """What a way needs beside the number of rows, with all that it imports imported."""
    if way in ("list", "stream"):
        return []
    task = TASKS.get(way, _task)()
    if way != "ledger":
        return [task]
    limbeck_ledger(1, task, run_dir.with_name("before"))
    return [task, run_dir]


def peak_mb() -> float:
    # On Linux `ru_maxrss` begins with what the parent had when it forked.
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    unit = 1024 * 1024 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


if __name__ == "__main__":
    main()
