"""The command `limbeck retry`: which answers of a run are asked for again, and with what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from limbeck.errors import ConfigurationError
from limbeck.runs import Rerun, Run, task_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from limbeck import Pipeline


@dataclass(frozen=True, slots=True)
class Retry:
    """A retry as it was typed.

    Attributes:
        run_dir: the run's directory. where: the condition. step: the task's name; None for the only one.
        settings: `llm.NAME=VALUE`, what is changed. model: another LLM, or None.
        from_turn: the first turn of a conversation that is asked anew, or None.
    """

    run_dir: str
    where: str
    step: str | None
    settings: Sequence[str]
    model: str | None
    from_turn: int | None = None

    def rerun(self, pipeline: Pipeline) -> Rerun:
        """What the run is told.

        Raises:
            ConfigurationError: there is no such task, or a setting cannot be read.
        """
        name = task_of(pipeline, self.step).name
        return Rerun(self.where, step=name, llm=self._llm(name), from_turn=self.from_turn)

    def _llm(self, name: str) -> Any:
        """The LLM that is asked: as the file's own `--set` would make it. None for the one that there was."""
        changes = [f"steps.{name}.{_of_llm(each)}" for each in self.settings]
        if self.model is not None:
            changes.insert(0, f"steps.{name}.llm={self.model}")
        return Run.named(self.run_dir).pipeline(changes).steps[name].llm if changes else None


def _of_llm(setting: str) -> str:
    if not setting.startswith("llm."):
        key = setting.partition("=")[0]
        raise ConfigurationError(
            f"--set {key}: a retry changes how the model is asked: `llm.NAME=VALUE`, or --model for another one."
        )
    return setting
