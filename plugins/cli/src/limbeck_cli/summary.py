"""The closing line."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from limbeck._llm.offline import OfflineLLM
from limbeck._task.grouping import METADATA

from .commands import show_failure
from .exits import ExitCode, say
from .progress import duration

if TYPE_CHECKING:
    from pathlib import Path

    from limbeck.types import Row

    from .chain import Chain
    from .sinks import Sink


class Summary:
    """What became of a run: rows, failures and their first cause, tokens, time, and where the rows are."""

    def __init__(self, chain: Chain, sink: Sink) -> None:
        self._chain = chain
        self._sink = sink
        self._first_failure: str | None = None
        self._keys = [f"error_{task.name}" for task in chain.tasks]

    def note(self, row: Row) -> None:
        """Look at a row that leaves, for the first failure's cause."""
        if self._first_failure is None:
            metadata = row.get(METADATA)
            for each in metadata if isinstance(metadata, list) else [metadata]:
                self._first_failure = self._first_failure or self._failure(each)

    def _failure(self, metadata: Any) -> str | None:
        for key in self._keys if isinstance(metadata, dict) else ():
            error = metadata.get(key)
            if isinstance(error, dict):
                return f"row {self._sink.rows} of the output, {error.get('type')}: {error.get('message')}"
        return None

    def tell(self, code: ExitCode, *, seconds: float, quiet: bool, failed: Path | None) -> None:
        """Say it, on stderr. A quiet run that went well says nothing. `failed` is the file of the rows that failed."""
        if self._chain.error is not None:
            show_failure(self._chain.error)
        if quiet and code is ExitCode.GOOD:
            return
        if self._first_failure is not None:
            say(f"First failure: {self._first_failure}")
        if failed is not None:
            say(f"The rows that failed, to mend or to feed back: {failed}")
        say(f"{_VERDICTS.get(code, 'Done')}: {', '.join(self._facts(seconds))}.{self._stand_in()}")

    def _facts(self, seconds: float) -> list[str]:
        stats = self._chain.stats
        written = f"{self._sink.rows:,} written to {self._sink.name}"
        failed = sum(each.rows_failed for each in stats)
        failures: Counter[str] = sum((each.failures for each in stats), Counter())
        reasons = ", ".join(f"{count:,} {name}" for name, count in failures.most_common())
        tokens = [sum(each.input_tokens for each in stats), sum(each.output_tokens for each in stats)]
        reused = sum(each.reused for each in stats)
        return [
            f"{stats[0].rows_in:,} row{'s' * (stats[0].rows_in != 1)} in",
            written,
            f"{failed:,} failed ({reasons})" if failed else "none failed",
            *([f"{reused:,} answer{'s' * (reused != 1)} from the ledger"] if reused else []),
            f"{tokens[0]:,} tokens in and {tokens[1]:,} out" if any(tokens) else "no tokens counted",
            f"{seconds:.1f} s" if seconds < 60 else duration(seconds),
        ]

    def _stand_in(self) -> str:
        offline = [task.name for task in self._chain.tasks if is_stand_in(task)]
        if not offline:
            return ""
        return f" The answers of {', '.join(offline)} are the offline stand-in's: no model was asked."


def is_stand_in(task: Any) -> bool:
    """Whether the offline stand-in answers for this task: nothing is paid for."""
    return isinstance(task.llm, OfflineLLM)


_VERDICTS = {
    ExitCode.FAILED_ROWS: "Done, with failures",
    ExitCode.STOPPED: "Stopped",
    ExitCode.ERROR: "Nothing was done",
    ExitCode.INTERRUPTED: "Interrupted",
    ExitCode.TERMINATED: "Interrupted",
}
