"""What tasks of each kind of model ask, and are answered: from what an author returns to a request, and back."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from ..errors import RowError
from ..types import EmbeddingRequest, GenerationRequest, ImageRequest, ScoreRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..types import Generation, ModelKind, Request

Parameters = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Form:
    """The form of the tasks of one kind of model.

    Attributes:
        request_of: the request for what `format_input` returned, with parameters; None where it is none.
        request: the type of its requests. wanted: what `format_input` is to return, in words.
        answer: what `format_output` is given of an answer.
    """

    request: type[Request]
    request_of: Callable[[Any, Parameters], Request | None]
    wanted: str
    answer: Callable[[Generation], Any]

    def requested(self, asked: Any, parameters: Parameters, task: str) -> Any:
        """The request for what `format_input` returned.

        Raises:
            RowError: it is neither that nor a request.
        """
        if isinstance(asked, self.request):
            return replace(asked, parameters={**parameters, **asked.parameters} if asked.parameters else parameters)
        request = self.request_of(asked, parameters)
        if request is None:
            what = "an empty list" if asked == [] else type(asked).__name__
            raise RowError(f"`format_input` of task {task!r} returned {what}, not {self.wanted}.")
        return request


def _chat(asked: Any, parameters: Parameters) -> Request | None:
    if not isinstance(asked, list) or not asked:
        return None
    return GenerationRequest(messages=asked, parameters=parameters)


def _text(asked: Any, parameters: Parameters) -> Request | None:
    return EmbeddingRequest(texts=[asked], parameters=parameters) if isinstance(asked, str) else None


def _candidates(asked: Any, parameters: Parameters) -> Request | None:
    if not isinstance(asked, Sequence) or isinstance(asked, str) or len(asked) != 2:
        return None
    query, candidates = asked
    if not isinstance(query, str) or not isinstance(candidates, Sequence) or isinstance(candidates, str):
        return None
    if not candidates or not all(isinstance(candidate, str) for candidate in candidates):
        return None
    return ScoreRequest(query=query, candidates=list(candidates), parameters=parameters)


def _prompt(asked: Any, parameters: Parameters) -> Request | None:
    return ImageRequest(prompt=asked, parameters=parameters) if isinstance(asked, str) else None


def _value(generation: Generation) -> Any:
    value = generation.value
    return value.tolist() if type(value) is array else value


FORMS: dict[ModelKind, Form] = {
    "llm": Form(GenerationRequest, _chat, "a list of messages", attrgetter("text")),
    "embedder": Form(EmbeddingRequest, _text, "a text", _value),
    "scorer": Form(ScoreRequest, _candidates, "a query and a list of texts", _value),
    "image_generator": Form(ImageRequest, _prompt, "a prompt", _value),
}
