"""`format-prm`: labelled steps in the forms that trainers of reward models read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from limbeck import Step

from .papers import MATH_SHEPHERD
from .texts import text_column

if TYPE_CHECKING:
    from collections.abc import Iterator

    from limbeck.types import Row


class FormatPRM(Step):
    """Write a problem and one labelled solution as a process reward model learns from them.

    Input columns: `instruction`; `solutions`, the steps of one solution with a tag behind each
    (one of the lists that `math-shepherd-completer` gives: expand them first). Output columns:
    `input` and `label`, or with `format="trl"` `prompt`, `completions` and `labels`.

    Source: Wang et al., Math-Shepherd (https://arxiv.org/abs/2312.08935).

    Attributes:
        format: "math-shepherd", two texts that differ in that a token stands for each tag, or "trl", the columns of
            TRL's `PRMTrainer`.
        step_token: that token.
        tags: behind a good step, and behind a bad one.
    """

    citation: ClassVar[str] = MATH_SHEPHERD

    format: Literal["math-shepherd", "trl"] = "math-shepherd"
    step_token: str = "ки"  # noqa: S105 - of the paper's data set, no secret
    tags: list[str] = Field(default_factory=lambda: ["+", "-"], min_length=2, max_length=2)

    @property
    def inputs(self) -> list[str]:
        return ["instruction", "solutions"]

    @property
    def outputs(self) -> list[str]:
        return ["input", "label"] if self.format == "math-shepherd" else ["prompt", "completions", "labels"]

    def process(self, inputs: list[Row]) -> Iterator[list[Row]]:
        yield [{**row, **self._formatted(row)} for row in inputs]

    def _formatted(self, row: Row) -> Row:
        instruction = text_column(row, "instruction")
        steps = [self._parted(step) for step in self._steps(row["solutions"])]
        if self.format == "trl":
            return {
                "prompt": instruction,
                "completions": [text for text, _ in steps],
                "labels": [tag == self.tags[0] for _, tag in steps],
            }
        tokens = "\n".join(f"{text} {self.step_token}" for text, _ in steps)
        tagged = "\n".join(f"{text} {tag}" for text, tag in steps)
        return {"input": f"{instruction} {tokens}", "label": f"{instruction} {tagged}"}

    def _steps(self, solution: Any) -> list[str]:
        if not isinstance(solution, list) or not solution or not all(isinstance(step, str) for step in solution):
            raise ValueError("The column `solutions` must hold the steps of one solution; expand several first.")
        return solution

    def _parted(self, step: str) -> tuple[str, str]:
        """A step, and its tag."""
        for tag in self.tags:
            if step.endswith(f" {tag}"):
                return step.removesuffix(tag).rstrip(), tag
        good, bad = self.tags
        raise ValueError(f"The step {step!r} in `solutions` ends with neither of the tags {good!r} and {bad!r}.")
