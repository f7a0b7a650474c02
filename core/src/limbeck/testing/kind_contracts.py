"""The contracts of embedders, scorers and image generators, and of their tasks, as test classes to be subclassed."""

from __future__ import annotations

import json
import math
import pickle
from typing import TYPE_CHECKING, Any, ClassVar

from .._engine.online.backend import backend_of
from .._engine.threads.portal import portal
from ..protocols import check_model
from ..types import EmbeddingRequest, Image, ImageRequest, ScoreRequest
from .contracts import TaskContract, secrets_of
from .models import ScriptedEmbedder, ScriptedImageGenerator, ScriptedScorer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..types import ModelKind, Request, Response


class _ModelContract:
    """The promises that backends of all kinds make."""

    kind: ClassVar[ModelKind]

    def make_model(self) -> Any:
        """The backend under test, ready to answer."""
        raise AssertionError(f"A {type(self).__name__} must define `make_model(self)`.")

    def make_request(self) -> Request:
        """A request that it answers."""
        raise NotImplementedError

    def _ask(self, request: Request) -> Response:
        model = self.make_model()
        load = getattr(model, "load", None)
        if load is not None:
            load()
        left_out: list[str] = []
        (result,) = portal().wait(backend_of(model, self.kind).ask([request], left_out.append))
        if isinstance(result, Exception):
            raise result
        assert not left_out, f"Its answer holds what cannot be read: {'; '.join(left_out)}."
        return result

    def test_it_has_what_a_backend_must_have(self) -> None:
        check_model(self.kind, self.make_model())

    def test_its_usage_is_counted_when_it_is_given(self) -> None:
        usage = self._ask(self.make_request()).usage
        assert usage is None or (usage.input_tokens >= 0 and usage.output_tokens >= 0)

    def test_what_identifies_it_is_plain_json_without_secrets(self) -> None:
        model = self.make_model()
        identity = getattr(model, "identity", None)
        assert identity is None or json.loads(json.dumps(identity)) == identity
        for secret in secrets_of(model):
            assert secret not in json.dumps(identity)
            assert secret not in repr(model)

    def test_its_model_name_does_not_change(self) -> None:
        assert self.make_model().model_name == self.make_model().model_name

    def test_its_answer_survives_pickling(self) -> None:
        response = self._ask(self.make_request())
        assert pickle.loads(pickle.dumps(response)) == response  # noqa: S301 - our own bytes


class EmbedderContract(_ModelContract):
    """The promises of an embedder; a subclass defines `make_model` and has a server or weights behind it."""

    kind: ClassVar[ModelKind] = "embedder"
    tolerance: ClassVar[float] = 1e-3
    """How far the vector of a text may be from the one that it has in a request with others."""

    def make_request(self) -> EmbeddingRequest:
        return EmbeddingRequest(texts=["The capital of Spain is Madrid."])

    def _vectors(self, *texts: str) -> list[list[float]]:
        model = self.make_model()
        requests = [EmbeddingRequest(texts=[text]) for text in texts]
        backend = backend_of(model, "embedder")
        results: list[Any] = portal().wait(backend.ask(requests))
        for result in results:
            if isinstance(result, Exception):
                raise result
        return [list(result.vectors[0]) for result in results]

    def test_each_text_has_a_vector_of_the_same_length(self) -> None:
        first, second = self._vectors("Madrid", "A much longer text, of more words than one.")
        assert len(first) == len(second) > 0
        assert all(map(math.isfinite, first + second))

    def test_vectors_come_in_the_order_of_the_texts(self) -> None:
        texts = ["Madrid", "The sea is salty.", "3 + 4"]
        together = self._vectors(*texts)
        for text, vector in zip(texts, together, strict=True):
            (alone,) = self._vectors(text)
            assert math.dist(vector, alone) <= self.tolerance * max(1.0, math.hypot(*alone))


class ScorerContract(_ModelContract):
    """The promises of a scorer; a subclass defines `make_model` and has a server or weights behind it."""

    kind: ClassVar[ModelKind] = "scorer"

    def make_request(self) -> ScoreRequest:
        return ScoreRequest(
            query="What is the capital of Spain?",
            candidates=["The capital of Spain is Madrid.", "Bananas are yellow."],
        )

    def test_each_candidate_has_a_score_in_their_order(self) -> None:
        request = self.make_request()
        turned = ScoreRequest(query=request.query, candidates=request.candidates[::-1])
        scores, scores_turned = (self._ask(each).generations[0].value for each in (request, turned))
        assert len(scores) == len(request.candidates)
        assert all(
            math.isclose(score, turned_score, rel_tol=1e-3)
            for score, turned_score in zip(scores, scores_turned[::-1], strict=True)
        )

    def test_what_answers_the_query_scores_more(self) -> None:
        good, bad = self._ask(self.make_request()).generations[0].value
        assert good > bad


class ImageGeneratorContract(_ModelContract):
    """The promises of an image generator; a subclass defines `make_model` and has a server or weights behind it."""

    kind: ClassVar[ModelKind] = "image_generator"

    def make_request(self) -> ImageRequest:
        return ImageRequest(prompt="A red square.")

    def test_it_answers_with_one_image_of_the_type_that_it_says(self) -> None:
        (generation,) = self._ask(self.make_request()).generations
        image = generation.value
        assert isinstance(image, Image)
        assert image.media_type.startswith("image/")
        assert image.content[:4] in _BEGINNINGS.get(image.media_type, (image.content[:4],))


_BEGINNINGS = {
    "image/png": (b"\x89PNG",),
    "image/jpeg": (b"\xff\xd8\xff\xe0", b"\xff\xd8\xff\xe1", b"\xff\xd8\xff\xdb"),
    "image/webp": (b"RIFF",),
}


class EmbeddingTaskContract(TaskContract):
    """The promises of a task that holds an embedder, which `make_task(model, **fields)` is given."""

    def _model(self, answers: Sequence[Any]) -> Any:
        return ScriptedEmbedder(script=list(answers))

    def test_each_example_makes_a_chat_of_plain_json(self) -> None:
        task = self._task()
        assert all(isinstance(task.format_input(example.row), str | EmbeddingRequest) for example in task.examples())


class ScoringTaskContract(TaskContract):
    """The promises of a task that holds a scorer, which `make_task(model, **fields)` is given."""

    def _model(self, answers: Sequence[Any]) -> Any:
        return ScriptedScorer(script=list(answers))

    def test_each_example_makes_a_chat_of_plain_json(self) -> None:
        task = self._task()
        for example in task.examples():
            asked = task.format_input(example.row)
            assert isinstance(asked, ScoreRequest) or len(asked) == 2


class ImageTaskContract(TaskContract):
    """The promises of a task that holds an image generator, which `make_task(model, **fields)` is given."""

    def _model(self, answers: Sequence[Any]) -> Any:
        return ScriptedImageGenerator(script=list(answers))

    def test_each_example_makes_a_chat_of_plain_json(self) -> None:
        task = self._task()
        assert all(isinstance(task.format_input(example.row), str | ImageRequest) for example in task.examples())
