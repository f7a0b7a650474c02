"""The closing line."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck import Sink

from .commands import show_failure
from .exits import ExitCode, say
from .money import cost_of
from .progress import duration

if TYPE_CHECKING:
    from limbeck import Pipeline

    from .failures import Failures
    from .progress import Progress


class Summary:
    """What became of a run: rows, failures and their first cause, tokens, time, and where the rows are."""

    def __init__(self, pipeline: Pipeline, progress: Progress, failures: Failures) -> None:
        self._pipeline = pipeline
        self._progress = progress
        self._failures = failures

    def tell(self, code: ExitCode, error: BaseException | None, *, quiet: bool, failed: Path | None) -> None:
        """Say it, on stderr. A quiet run that went well says nothing.

        Args:
            error: what ended the run early. failed: the file of the rows that failed.
        """
        if error is not None:
            show_failure(error)
        if quiet and code is ExitCode.GOOD:
            return
        if self._failures.first is not None:
            say(f"First failure: {self._failures.first}")
        if failed is not None:
            say(f"The rows that failed, to mend or to feed back: {failed}")
        say(f"{_VERDICTS.get(code, 'Done')}: {', '.join(self._facts())}.{self._stand_in()}")

    def _facts(self) -> list[str]:
        stats, seconds = self._progress.stats, self._progress.seconds
        rows = self._rows_in()
        failed = sum(each.rows_failed for each in stats)
        failures: Counter[str] = sum((each.failures for each in stats), Counter())
        reasons = ", ".join(f"{count:,} {name}" for name, count in failures.most_common())
        tokens = [sum(each.input_tokens for each in stats), sum(each.output_tokens for each in stats)]
        reused = sum(each.reused for each in stats)
        return [
            f"{rows:,} row{'s' * (rows != 1)} in",
            *self._written(),
            f"{failed:,} failed ({reasons})" if failed else "none failed",
            *([f"{reused:,} answer{'s' * (reused != 1)} from the ledger"] if reused else []),
            f"{tokens[0]:,} tokens in and {tokens[1]:,} out" if any(tokens) else "no tokens counted",
            *cost_of([each.cost for each in stats]),
            f"{seconds:.1f} s" if seconds < 60 else duration(seconds),
        ]

    def _rows_in(self) -> int:
        roots = [name for name in self._pipeline.steps if not self._pipeline.before(name)]
        return sum(self._progress.of(name).rows_in for name in roots)

    def _written(self) -> list[str]:
        sinks = {name: step for name, step in self._pipeline.steps.items() if isinstance(step, Sink)}
        return [
            f"{self._progress.of(name).rows_in:,} written to {self._hidden(_place(sink))}"
            for name, sink in sinks.items()
        ]

    def _hidden(self, place: str) -> str:
        environment = self._pipeline.environment
        hidden = place if environment is None else environment.hidden(place)
        return _from_here(place) if hidden == place else hidden

    def _stand_in(self) -> str:
        offline = [name for name, step in self._pipeline.steps.items() if is_stand_in(step)]
        if not offline:
            return ""
        return f" The answers of {', '.join(offline)} are the offline stand-in's: no model was asked."


def _from_here(path: str) -> str:
    """A path as one would type it from the working directory."""
    with suppress(ValueError):
        return str(Path(path).relative_to(Path.cwd()))
    return path


def _place(sink: Sink) -> str:
    path = str(getattr(sink, "path", "") or "")
    if path == "-":
        return "stdout"
    return path or ", ".join(sink.targets()) or sink.name


def is_stand_in(step: Any) -> bool:
    """Whether the offline stand-in answers for this step: nothing is paid for."""
    return bool(getattr(getattr(step, "llm", None), "stand_in", False))


_VERDICTS = {
    ExitCode.FAILED_ROWS: "Done, with failures",
    ExitCode.BUDGET: "Stopped by the budget",
    ExitCode.STOPPED: "Stopped",
    ExitCode.ERROR: "Nothing was done",
    ExitCode.INTERRUPTED: "Interrupted",
    ExitCode.TERMINATED: "Interrupted",
}
