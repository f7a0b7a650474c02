"""What an embedding costs a row, where rows share requests; that it is the same as alone, and that each fails alone.

    python -m benchmarks embeddings
    python -m benchmarks.embeddings WAY --url http://127.0.0.1:…/v1 --rows 100000

The ways: `sdk` is 8 asyncio workers that send requests of 256 texts through OpenAI's SDK, written by hand; `run` is
Limbeck's `task.run`, `ledger` the same with a run directory; `alone` asks for each text by itself, `refused` has one
text in the middle that the server refuses. Each prints what it took as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from array import array
from typing import TYPE_CHECKING, Any

from .loopback import ROOT, loopback
from .race import rounds_in_words, say, spread
from .report import Section
from .server import REFUSED, Behaviour

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    Figures = dict[str, Any]

TOGETHER = 256
_WORKERS = 8
_CHECKED = 1_000
_NAMES = {
    "sdk": "OpenAI's SDK by hand, 8 workers",
    "run": "Limbeck's `task.run`",
    "ledger": "Limbeck's `task.run`, with a ledger",
}


def embeddings(*, rows: int, rounds: int) -> Section:
    """CPU a row of each way; raises unless vectors are the same alone, and only a refused text fails."""
    with loopback(Behaviour()) as server:
        _check(server.url)
        runs: dict[str, list[Figures]] = {way: [] for way in _NAMES}
        for turn in range(rounds):
            for way, figures in runs.items():
                figures.append(_run(way, server.url, rows))
                say(f"round {turn + 1}: {way}, {rows} rows: {figures[-1]['cpu_micro']:.1f} µs a row")
    micro = {way: [figures["cpu_micro"] for figures in each] for way, each in runs.items()}
    return Section(
        name="embeddings",
        title="CPU a row of embeddings",
        conditions=(
            f"{rows:,} texts in requests of {TOGETHER}, vectors of 64 numbers in base64, a loopback server; each way "
            f"in a process of its own, imports left out; {rounds_in_words(rounds)}. Checked before: {_CHECKED} vectors "
            "are those of the same texts asked one by one, and by hand; of as many with a refused text, that one fails."
        ),
        header=["", "CPU µs a row", "µs more than by hand", "rows a second", "peak MB"],
        rows=[_line(way, runs, micro) for way in _NAMES],
        unit="CPU µs a row",
        bars={_NAMES[way]: values for way, values in micro.items()},
    )


def _line(way: str, runs: dict[str, list[Figures]], micro: dict[str, list[float]]) -> list[str]:
    more = [own - by_hand for own, by_hand in zip(micro[way], micro["sdk"], strict=True)]
    return [
        _NAMES[way],
        spread(micro[way], ".1f"),
        spread(more, ".1f"),
        spread([figures["rows"] / figures["seconds"] for figures in runs[way]], ".0f"),
        spread([figures["peak_mb"] for figures in runs[way]], ".0f"),
    ]


def _check(url: str) -> None:
    by_hand, together, stored, alone, refused = (
        _run(way, url, _CHECKED, "--digest") for way in ("sdk", "run", "ledger", "alone", "refused")
    )
    if len({figures["digest"] for figures in (by_hand, together, stored, alone)}) != 1:
        raise RuntimeError("Texts that share requests have other vectors than alone, or than by hand.")
    if refused["failed"] != [_CHECKED // 2]:
        raise RuntimeError(f"Of rows with one refused text these failed: {refused['failed']}.")
    say(f"{_CHECKED} vectors are those of texts asked alone; one refused text fails alone")


def _run(way: str, url: str, rows: int, *further: str) -> Figures:
    command = [sys.executable, "-m", "benchmarks.embeddings", way, f"--url={url}", f"--rows={rows}", *further]
    said = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    figures: Figures = json.loads(said)
    if figures["rows"] != rows:
        raise RuntimeError(f"{way} gave {figures['rows']} of {rows} rows.")
    return figures


# In a process of its own


def texts_of(count: int, *, refused: bool = False) -> Iterator[str]:
    for index in range(count):
        yield REFUSED if refused and index == count // 2 else f"the text number {index} of all that are embedded"


def by_hand(url: str, count: int) -> Iterator[Sequence[float]]:
    import openai

    vectors: list[Any] = [None] * count
    batches = iter([range(first, min(first + TOGETHER, count)) for first in range(0, count, TOGETHER)])
    texts = list(texts_of(count))

    async def work(client: openai.AsyncOpenAI) -> None:
        for batch in batches:
            asked = texts[batch.start : batch.stop]
            answer = await client.embeddings.create(model="bench", input=asked)
            for item in answer.data:
                vectors[batch.start + item.index] = item.embedding

    async def whole() -> None:
        async with openai.AsyncOpenAI(base_url=url, api_key="none") as client:
            await asyncio.gather(*(work(client) for _ in range(_WORKERS)))

    asyncio.run(whole())
    yield from vectors


def with_limbeck(
    url: str, count: int, *, together: int = TOGETHER, refused: bool = False, run_dir: str | None = None
) -> Iterable[Sequence[float] | None]:
    from limbeck_openai import OpenAIEmbedder
    from limbeck_tasks import GenerateEmbeddings

    embedder = OpenAIEmbedder(model="bench", base_url=url, batch_size=together)
    rows = ({"text": text} for text in texts_of(count, refused=refused))
    for row in GenerateEmbeddings(embedder=embedder).run(rows, run_dir=run_dir):
        yield row["embedding"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.embeddings", description=__doc__)
    parser.add_argument("way", choices=[*_NAMES, "alone", "refused"])
    parser.add_argument("--url", required=True)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--digest", action="store_true", help="of all vectors, for which each is looked at")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ways: dict[str, Callable[[str, int], Iterable[Sequence[float] | None]]] = {
            "sdk": by_hand,
            "run": with_limbeck,
            "ledger": lambda url, count: with_limbeck(url, count, run_dir=folder),
            "alone": lambda url, count: with_limbeck(url, count, together=1),
            "refused": lambda url, count: with_limbeck(url, count, refused=True),
        }
        warm_up = "sdk" if options.way == "sdk" else "run"  # what is imported late is no part of what a row costs
        _measured(ways[warm_up](options.url, TOGETHER))
        print(json.dumps(_measured(ways[options.way](options.url, options.rows), digested=options.digest)))


def _measured(vectors: Iterable[Sequence[float] | None], *, digested: bool = False) -> Figures:
    """What it took to have all vectors, each of which is counted and let go; or a digest of them all."""
    import resource

    digest, failed, count = hashlib.sha256(), [], 0
    began, cpu = time.perf_counter(), time.process_time()
    for vector in vectors:
        if vector is None:
            failed.append(count)
        if digested:
            digest.update(array("f", vector or ()).tobytes())
        count += 1
    return {
        "rows": count,
        "seconds": time.perf_counter() - began,
        "cpu_micro": 1e6 * (time.process_time() - cpu) / count,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "digest": digest.hexdigest(),
        "failed": failed,
    }


if __name__ == "__main__":
    main()
