"""Embeddings, scores, pictures and raw prompts at Hugging Face's servers, against one on loopback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from limbeck import EmbeddingTask, ImageTask, ScoringTask, Task, get_embedder, get_image_generator, get_scorer
from limbeck.errors import ConfigurationError, MissingCredentialError
from limbeck.testing import EmbedderContract, ImageGeneratorContract, ScorerContract
from limbeck.types import GenerationRequest, Image
from limbeck_huggingface import InferenceEmbedder, InferenceEndpointsLLM, InferenceImageGenerator, InferenceScorer
from support.provider_server import Reply
from support.tei_server import PNG, TEIServer, point_the_sdk_here, similarity, tei_server, vector_of

from .server import huggingface_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from limbeck.types import ChatType, Row


@pytest.fixture
def server() -> Iterator[TEIServer]:
    with tei_server() as running:
        yield running


class TestInferenceEmbedder(EmbedderContract):
    @pytest.fixture(autouse=True)
    def _serve(self, server: TEIServer) -> None:
        self.url = server.root

    def make_model(self) -> Any:
        return InferenceEmbedder(base_url=self.url)


class TestInferenceScorerThatReranks(ScorerContract):
    @pytest.fixture(autouse=True)
    def _serve(self, server: TEIServer) -> None:
        self.url = server.root

    def make_model(self) -> Any:
        return InferenceScorer(base_url=self.url)


class TestInferenceScorerBySimilarity(ScorerContract):
    @pytest.fixture(autouse=True)
    def _serve(self) -> Iterator[None]:
        with tei_server(job="sentence-similarity") as server:
            self.url = server.root
            yield

    def make_model(self) -> Any:
        return InferenceScorer(base_url=self.url, method="similarity")


class TestInferenceImageGenerator(ImageGeneratorContract):
    @pytest.fixture(autouse=True)
    def _serve(self) -> Iterator[None]:
        with tei_server(job="text-to-image") as server:
            self.url = server.root
            yield

    def make_model(self) -> Any:
        return InferenceImageGenerator(base_url=self.url)


class Embed(EmbeddingTask):
    """Embeds a column."""

    @property
    def inputs(self) -> list[str]:
        return ["text"]

    @property
    def outputs(self) -> list[str]:
        return ["embedding"]

    def format_input(self, input: Row) -> str:
        return str(input["text"])

    def format_output(self, output: list[float], input: Row) -> Row:
        return {"embedding": output}


class Judge(ScoringTask):
    """Scores two candidates."""

    @property
    def inputs(self) -> list[str]:
        return ["query"]

    @property
    def outputs(self) -> list[str]:
        return ["scores"]

    def format_input(self, input: Row) -> tuple[str, list[str]]:
        return input["query"], ["the sea", "the hills"]

    def format_output(self, output: list[float], input: Row) -> Row:
        return {"scores": output}


class Draw(ImageTask):
    """Draws a prompt."""

    @property
    def inputs(self) -> list[str]:
        return ["prompt"]

    @property
    def outputs(self) -> list[str]:
        return ["image"]

    def format_input(self, input: Row) -> str:
        return str(input["prompt"])

    def format_output(self, output: Image, input: Row) -> Row:
        return {"image": output}


def vectors(embedder: Any, *texts: str) -> list[Any]:
    return [row["embedding"] for row in next(Embed(embedder=embedder).process([{"text": text} for text in texts]))]


def rounded(text: str) -> Any:
    return pytest.approx(vector_of(text), rel=1e-6)


def test_texts_share_requests_of_as_many_as_such_a_server_takes(server: TEIServer) -> None:
    texts = [f"text {number}" for number in range(70)]
    made = vectors(InferenceEmbedder(base_url=server.root, generation_kwargs={"normalize": False}), *texts)
    assert made == [rounded(text) for text in texts]
    assert [len(sent.body["inputs"]) for sent in server.requests] == [32, 32, 6]
    assert server.requests[0].body["normalize"] is False


def test_requests_that_are_too_large_are_halved(server: TEIServer) -> None:
    made = vectors(InferenceEmbedder(base_url=server.root, batch_size=64), *(str(number) for number in range(64)))
    assert all(made)
    assert [len(sent.body["inputs"]) for sent in server.requests] == [64, 32, 32]


def test_a_text_that_is_refused_costs_itself_only(server: TEIServer) -> None:
    assert vectors(InferenceEmbedder(base_url=server.root), "a", "", "b") == [rounded("a"), None, rounded("b")]


@pytest.mark.parametrize("body", [[[1.0]], {}, [], "text"], ids=repr)
def test_an_answer_without_a_vector_for_each_text_is_asked_for_again(server: TEIServer, body: Any) -> None:
    server.script(Reply(body=body))
    assert vectors(InferenceEmbedder(base_url=server.root), "a", "b") == [rounded("a"), rounded("b")]


def test_a_model_that_gives_a_vector_for_each_token_is_told_as_one(server: TEIServer) -> None:
    server.script(Reply(body=[[[1.0], [2.0]]]))
    (row,) = next(Embed(embedder=InferenceEmbedder(base_url=server.root)).process([{"text": "a"}]))
    assert "a vector for each token" in row["distilabel_metadata"]["error_embed"]["message"]


def test_a_model_of_the_hub_is_asked_through_its_provider(server: TEIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    point_the_sdk_here(server.root, monkeypatch)
    server.models["org/embedder"] = {
        "id": "org/embedder",
        "pipeline_tag": "feature-extraction",
        "tags": ["feature-extraction"],
    }
    embedder = InferenceEmbedder(model_id="org/embedder", provider="hf-inference", api_key=SecretStr("hf_key"))
    assert vectors(embedder, "a") == [rounded("a")]
    (sent,) = server.requests
    assert sent.path == "/hf-inference/models/org/embedder/pipeline/feature-extraction"
    assert sent.headers["authorization"] == "Bearer hf_key"


def test_a_reranker_gives_its_scores_in_the_order_of_the_candidates(server: TEIServer) -> None:
    scorer = InferenceScorer(base_url=server.root, generation_kwargs={"raw_scores": True})
    (row,) = next(Judge(scorer=scorer).process([{"query": "the hills"}]))
    assert row["scores"] == [similarity("the hills", "the sea"), similarity("the hills", "the hills")]
    assert server.requests[0].body == {"query": "the hills", "texts": ["the sea", "the hills"], "raw_scores": True}


@pytest.mark.parametrize("body", [[{"index": 0, "score": 1.0}], [{"index": 0}, {"index": 1}], {}, "text"], ids=repr)
def test_a_ranking_that_lacks_a_candidate_is_asked_for_again(server: TEIServer, body: Any) -> None:
    server.script(Reply(body=body))
    (row,) = next(Judge(scorer=InferenceScorer(base_url=server.root)).process([{"query": "the hills"}]))
    assert len(row["scores"]) == 2


def test_a_picture_comes_as_the_bytes_of_its_file() -> None:
    with tei_server(job="text-to-image") as server:
        generator = InferenceImageGenerator(base_url=server.root, generation_kwargs={"width": 64, "height": 64})
        (row,) = next(Draw(image_generator=generator).process([{"prompt": "a cat"}]))
        assert row["image"] == Image(content=PNG + b"a cat", media_type="image/png")
        assert server.requests[0].body == {"inputs": "a cat", "parameters": {"width": 64, "height": 64}}


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (InferenceEmbedder, "exactly one of"),
        (lambda: InferenceScorer(model_id="a/b", base_url="http://localhost:1"), "exactly one of"),
        (lambda: InferenceEmbedder(base_url="http://localhost:1", bill_to="org"), "only beside `model_id`"),
        (lambda: InferenceScorer(model_id="a/b", method="rerank"), "no rerankers"),
        (lambda: InferenceEmbedder(model_id="a/b", generation_kwargs={"normalise": True}), "no parameter 'normalise'"),
        (lambda: InferenceScorer(model_id="a/b", generation_kwargs={"truncate": True}), "no parameter 'truncate'"),
        (lambda: InferenceImageGenerator(model_id="a/b", generation_kwargs={"prompt": "x"}), "`format_input`"),
    ],
)
def test_fields_that_do_not_fit_are_told_at_once(make: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        make()


def test_hugging_face_wants_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limbeck_huggingface._route.get_token", lambda: None)
    with pytest.raises(MissingCredentialError, match="InferenceEmbedder"):
        InferenceEmbedder(model_id="a/b").load()


def test_names_find_the_classes() -> None:
    assert get_embedder("huggingface") is InferenceEmbedder
    assert get_scorer("huggingface") is InferenceScorer
    assert get_image_generator("huggingface") is InferenceImageGenerator


# Raw prompts


class Complete(Task):
    """Goes on with a raw prompt, or with the beginning of an answer."""

    begin: bool = False

    @property
    def inputs(self) -> list[str]:
        return ["text"]

    @property
    def outputs(self) -> list[str]:
        return ["generation"]

    def format_input(self, input: Row) -> ChatType | GenerationRequest:
        if self.begin:
            return [{"role": "user", "content": input["text"]}, {"role": "assistant", "content": "It"}]
        return GenerationRequest(prompt=input["text"])

    def format_output(self, output: str | None, input: Row) -> Row:
        return {"generation": output}


def test_a_raw_prompt_goes_to_the_completions_of_a_server_of_ones_own() -> None:
    with huggingface_server(" upon a time", kind="openai") as server:
        llm = InferenceEndpointsLLM(base_url=server.url, served_model_name="m", generation_kwargs={"max_tokens": 9})
        (row,) = next(Complete(llm=llm).process([{"text": "Once"}]))
        assert row["generation"] == " upon a time"
        (sent,) = server.requests
        assert (sent.path, sent.body) == ("/v1/completions", {"model": "m", "prompt": "Once", "max_tokens": 9})


def test_the_beginning_of_an_answer_is_refused_where_chats_are_sent() -> None:
    with huggingface_server(kind="openai") as server:
        (row,) = next(Complete(llm=InferenceEndpointsLLM(base_url=server.url), begin=True).process([{"text": "Once"}]))
        assert "Send text" in row["distilabel_metadata"]["error_complete"]["message"]
        assert server.requests == []
