"""What looking a task up costs beside importing pydantic, in CPU milliseconds of a cold process.

    python -m benchmarks.import_time [--pairs 11] [--distributions 300]

Three programs run in turns, each in its own interpreter: `get_task("text-generation")`; the same and making the
task, which is when pydantic builds the class and looks for its plugins; and pydantic with one model class. All
see the installed packages and a folder with further fake distributions (`PYTHONPATH`), half of them with entry
points of other programs. The figures are the medians of the differences of CPU time (user and system, from
`wait4`) within each turn. Needs `limbeck-core` and `limbeck-tasks`; POSIX only.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path

LOOKUP = "from limbeck import get_task; get_task('text-generation')"
MAKING = f"{LOOKUP}(llm='offline')"
BASELINE = "import pydantic\nclass Model(pydantic.BaseModel):\n    field: int"
TARGET_MS = 25.0


def make_distributions(folder: Path, count: int) -> None:
    """`count` installed-looking distributions: metadata alone, every other one with entry points."""
    for number in range(count):
        info = folder / f"fake_{number}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: fake-{number}\nVersion: 1.0\n\n{'text ' * 400}\n")
        (info / "RECORD").write_text("")
        if number % 2:
            lines = [f"tool-{number} = fake_{number}:main", f"other-{number} = fake_{number}.other:main"]
            (info / "entry_points.txt").write_text("[console_scripts]\n" + "\n".join(lines) + "\n")


def cpu_ms(program: str, environment: dict[str, str]) -> float:
    """CPU milliseconds of `program` in a fresh interpreter."""
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", program], environment)
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise SystemExit(f"This program failed (status {status}):\n{program}")
    return (usage.ru_utime + usage.ru_stime) * 1000


def measure(pairs: int, environment: dict[str, str]) -> dict[str, list[float]]:
    """CPU milliseconds of each program, in turns."""
    programs = (LOOKUP, MAKING, BASELINE)
    for program in programs:  # byte code and disk caches
        cpu_ms(program, environment)
    turns = [[cpu_ms(program, environment) for program in programs] for _ in range(pairs)]
    return {program: list(times) for program, times in zip(programs, zip(*turns, strict=True), strict=True)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=11)
    parser.add_argument("--distributions", type=int, default=300)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make_distributions(Path(folder), arguments.distributions)
        # Without byte code on disk, every run would compile all it imports.
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        times = measure(arguments.pairs, {**environment, "PYTHONPATH": folder})
    baseline = times[BASELINE]
    print(f"pydantic with one model           {statistics.median(baseline):7.1f} ms CPU")
    for label, program, target in (
        ("get_task('text-generation')", LOOKUP, f"; target {TARGET_MS:.0f}"),
        ("the same, and making the task", MAKING, ""),
    ):
        over = statistics.median(mine - other for mine, other in zip(times[program], baseline, strict=True))
        print(f"{label:<33} {statistics.median(times[program]):7.1f} ms CPU, {over:5.1f} over{target}")
    print(f"medians of {arguments.pairs} turns, {arguments.distributions} fake distributions")


if __name__ == "__main__":
    main()
