"""Tasks that ask models which write no text: of the same four words as every task, with other values in them."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from .._llm.fields import EmbedderField, ImageGeneratorField, ScorerField
from ..types import ModelKind
from .task import ModelTask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..types import EmbeddingRequest, Image, ImageRequest, Row, ScoreRequest


class EmbeddingTask(ModelTask):
    """A step that holds an embedder: it turns a row into a text, and the text's vector into columns.

    Rows share requests, of up to the embedder's `batch_size` texts; each fails alone.

    Attributes:
        embedder: an object with the methods of a backend, `"provider/model"`, or the mapping
            `{"provider": …, **fields}`.
    """

    model_kind: ClassVar[ModelKind] = "embedder"

    embedder: EmbedderField
    add_raw_output: bool = False

    @property
    def llm(self) -> Any:
        """The embedder."""
        return self.embedder

    @abstractmethod
    def format_input(self, input: Row) -> str | EmbeddingRequest:
        """The text of `input`, whose columns have the task's own names."""

    @abstractmethod
    def format_output(self, output: list[float], input: Row) -> Row:
        """The output columns, from the vector, whose numbers have the precision of 32 bits."""


class ScoringTask(ModelTask):
    """A step that holds a scorer: it turns a row into a query and candidates, and their scores into columns.

    Attributes:
        scorer: an object with the methods of a backend, `"provider/model"`, or the mapping
            `{"provider": …, **fields}`.
    """

    model_kind: ClassVar[ModelKind] = "scorer"

    scorer: ScorerField
    add_raw_output: bool = False

    @property
    def llm(self) -> Any:
        """The scorer."""
        return self.scorer

    @abstractmethod
    def format_input(self, input: Row) -> tuple[str, Sequence[str]] | ScoreRequest:
        """The query and the candidates of `input`, whose columns have the task's own names."""

    @abstractmethod
    def format_output(self, output: list[float], input: Row) -> Row:
        """The output columns, from the candidates' scores, in their order."""


class ImageTask(ModelTask):
    """A step that holds an image generator: it turns a row into a prompt, and the picture into columns.

    Attributes:
        image_generator: an object with the methods of a backend, `"provider/model"`, or the mapping
            `{"provider": …, **fields}`.
    """

    model_kind: ClassVar[ModelKind] = "image_generator"

    image_generator: ImageGeneratorField
    add_raw_output: bool = False

    @property
    def llm(self) -> Any:
        """The image generator."""
        return self.image_generator

    @abstractmethod
    def format_input(self, input: Row) -> str | ImageRequest:
        """What is to be seen, of `input`, whose columns have the task's own names."""

    @abstractmethod
    def format_output(self, output: Image, input: Row) -> Row:
        """The output columns, from the picture."""
