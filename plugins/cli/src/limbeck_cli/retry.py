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
        task = task_of(pipeline, self.step)
        llm = self._model(task.name, task.model_kind)
        return Rerun(self.where, step=task.name, llm=llm, from_turn=self.from_turn)

    def _model(self, name: str, field: str) -> Any:
        """The model that is asked: as the file's own `--set` would make it. None for the one that there was.

        Args:
            name: of the step. field: of its model: `llm`, or what a task of another kind has.
        """
        changes = [f"steps.{name}.{_of_model(field, each)}" for each in self.settings]
        if self.model is not None:
            changes.insert(0, f"steps.{name}.{field}={self.model}")
        return getattr(Run.named(self.run_dir).pipeline(changes).steps[name], field) if changes else None


def _of_model(field: str, setting: str) -> str:
    if not setting.startswith(f"{field}."):
        key = setting.partition("=")[0]
        raise ConfigurationError(
            f"--set {key}: a retry changes how the model is asked: `{field}.NAME=VALUE`, or --model for another one."
        )
    return setting
