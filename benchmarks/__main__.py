"""Limbeck against hand-written floors, and against its peers, on a loopback server that this command starts.

Contenders run in turn on the same work, round by round; a ratio is taken within a round, and its median,
least and most are printed. Needs nothing but loopback (`--peers` downloads the peers once).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .embeddings import embeddings
from .ledger import ledger
from .loopback import pin_to_client_core
from .overhead import conversations, memory, overhead
from .pipelines import overlap, pipeline
from .race import say
from .races import RACES
from .report import markdown, write
from .resume import resume

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .contenders import Contender
    from .report import Section

_NAMES = [*RACES, "overhead", "conversations", "memory", "ledger", "embeddings", "pipeline", "resume"]
_RACE_ROWS = 2_000
_OVERHEAD_ROWS = 20_000
_EMBEDDED_ROWS = 100_000
_SIZES = {"memory": (10_000, 100_000), "ledger": (10_000, 100_000), "pipeline": (10_000,)}
_LARGE_ROWS = 1_000_000
_LIMIT_SECONDS = 600.0
_LIMIT_HELP = f"after which a contender is killed, and not run again (default: {_LIMIT_SECONDS:.0f})"


def main() -> None:
    options = _options()
    pin_to_client_core()
    peers = _peers() if options.peers else []
    names = _NAMES if options.benchmark == "all" else [options.benchmark]
    sections = []
    for name in names:
        for section in _measure(name, options, peers):
            print(f"\n{section.title}\n\n{markdown(section)}\n", flush=True)
            sections.append(section)
    if options.out is not None:
        no_chart = write(options.out, sections)
        say(no_chart or f"wrote {options.out}, and the chart beside it")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("benchmark", choices=[*_NAMES, "all"])
    parser.add_argument(
        "--rows", type=int, help=f"default: {_RACE_ROWS}; for overhead and conversations {_OVERHEAD_ROWS}"
    )
    parser.add_argument("--pairs", type=int, default=5, metavar="N", help="rounds (default: 5)")
    parser.add_argument("--window", type=int, default=256, help="requests in flight (default: 256)")
    parser.add_argument("--peers", action="store_true", help="other frameworks too, each installed once in a venv")
    parser.add_argument("--large", action="store_true", help=f"memory, ledger, pipeline: {_LARGE_ROWS:,} rows too")
    parser.add_argument("--limit", type=float, default=_LIMIT_SECONDS, metavar="SECONDS", help=_LIMIT_HELP)
    parser.add_argument("--out", type=Path, help="a Markdown file, whose sections of these names are replaced")
    return parser.parse_args()


def _measure(name: str, options: argparse.Namespace, peers: Sequence[Contender]) -> Iterator[Section]:
    rows, window, rounds = options.rows or _RACE_ROWS, options.window, options.pairs
    sizes = [options.rows] if options.rows else [*_SIZES.get(name, ()), *([_LARGE_ROWS] if options.large else [])]
    if name == "overhead":
        yield overhead(rows=options.rows or _OVERHEAD_ROWS, rounds=rounds)
    elif name == "conversations":
        yield conversations(rows=options.rows or _OVERHEAD_ROWS, rounds=rounds)
    elif name == "memory":
        yield memory(sizes=sizes, rounds=rounds)
    elif name == "ledger":
        yield ledger(sizes=sizes, rounds=rounds)
    elif name == "embeddings":
        yield embeddings(rows=options.rows or _EMBEDDED_ROWS, rounds=rounds)
    elif name == "pipeline":
        yield pipeline(sizes=sizes, window=window, rounds=rounds)
        yield overlap(rows=rows, window=window, rounds=rounds)
    elif name == "resume":
        yield resume(rows=rows, window=window, rounds=rounds, peers=peers, limit=options.limit)
    else:
        yield RACES[name].run(name, rows=rows, window=window, rounds=rounds, peers=peers, limit=options.limit)


def _peers() -> list[Contender]:
    from .peers import installed_peers

    return installed_peers()


if __name__ == "__main__":
    main()
