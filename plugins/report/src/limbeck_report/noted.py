"""The notes of a pipeline in its run directory: `report.json` and `run.json`, as far as they can be read.

A file may be missing, half written or of another version: what cannot be read is None.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .figures import StepFigures

_COUNTS = (
    *("rows_in", "rows_out", "rows_failed", "requests", "reused", "retries", "rate_limited"),
    *("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens"),
    *("repaired", "repair_calls", "fell_back", "fallback_calls"),
)


@dataclass(frozen=True, slots=True)
class Noted:
    """The contents of `report.json`.

    Attributes:
        ended_at: when it was written, in seconds since 1970.
    """

    pipeline: str | None
    started: str | None
    seconds: float | None
    ended_at: float | None
    finished: bool
    error: str | None
    steps: list[StepFigures]

    @classmethod
    def of(cls, document: dict[str, Any]) -> Noted | None:
        steps = document.get("steps")
        if not isinstance(steps, list):
            return None
        started, seconds = text_in(document.get("started")), number_in(document.get("seconds"))
        began = moment_in(started)
        return cls(
            pipeline=text_in(document.get("pipeline")),
            started=started,
            seconds=seconds,
            ended_at=None if began is None else began + (seconds or 0.0),
            finished=document.get("finished") is True,
            error=text_in(document.get("error")),
            steps=[_step(each) for each in steps if isinstance(each, dict)],
        )

    @property
    def over(self) -> bool:
        """Tell whether it was written at the end of the run, and not on the way."""
        return self.finished or self.error is not None


def _step(told: dict[str, Any]) -> StepFigures:
    failures, after = told.get("failures"), told.get("after")
    counts = failures if isinstance(failures, dict) else {}
    return StepFigures(
        name=text_in(told.get("name")) or "?",
        kind=text_in(told.get("kind")),
        after=[str(name) for name in after] if isinstance(after, list) else None,
        failures={str(type): int(number_in(count) or 0) for type, count in counts.items()},
        cost=number_in(told.get("cost")),
        seconds=number_in(told.get("seconds")),
        model_name=text_in(told.get("model_name")),
        **{name: None if (count := number_in(told.get(name))) is None else int(count) for name in _COUNTS},
    )


def text_in(value: Any) -> str | None:
    """A text that says something, or None."""
    return value if isinstance(value, str) and value else None


def number_in(value: Any) -> float | None:
    """A finite number of a size that can be reckoned with, or None."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return value if abs(value) < 2**63 else None  # NaN is not below it


def moment_in(text: str | None) -> float | None:
    """The seconds since 1970 of a time in ISO 8601; one without a zone is local."""
    try:
        return None if text is None else datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None
