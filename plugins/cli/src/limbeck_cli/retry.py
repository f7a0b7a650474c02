"""The command `limbeck retry`: which answers of a run are asked for again, and with what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from limbeck.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from limbeck._pipeline.pipeline import Pipeline


@dataclass(frozen=True, slots=True)
class Retry:
    """A retry as it was typed.

    Attributes:
        run_dir: the run's directory. where: the condition. step: the task's name; None for the only one.
        settings: `llm.NAME=VALUE`, what is changed. model: another LLM, or None.
    """

    run_dir: str
    where: str
    step: str | None
    settings: Sequence[str]
    model: str | None

    def plans(self, pipeline: Pipeline) -> dict[str, Any]:
        """What the runner is told: under the task's name, the task that asks, and which answers are meant.

        Raises:
            ConfigurationError: there is no such task, or the condition or a setting cannot be read.
        """
        from limbeck._pipeline.run.rerunning import plan_for

        (name,) = plan_for(pipeline, self.step, where=self.where, llm=None, parameters={})
        return plan_for(pipeline, name, where=self.where, llm=self._llm(name), parameters={})

    def _llm(self, name: str) -> Any:
        """The LLM that is asked: as the file's own `--set` would make it. None for the one that there was."""
        from .jobs import pipeline_of_run

        changes = [f"steps.{name}.{_of_llm(each)}" for each in self.settings]
        if self.model is not None:
            changes.insert(0, f"steps.{name}.llm={self.model}")
        return pipeline_of_run(self.run_dir, changes).pipeline.steps[name].llm if changes else None


def _of_llm(setting: str) -> str:
    if not setting.startswith("llm."):
        key = setting.partition("=")[0]
        raise ConfigurationError(
            f"--set {key}: a retry changes how the model is asked: `llm.NAME=VALUE`, or --model for another one."
        )
    return setting
