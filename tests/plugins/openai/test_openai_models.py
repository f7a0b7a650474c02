"""Embeddings, images and raw prompts, through the real SDK against a server on loopback."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from limbeck import EmbeddingTask, ImageTask, Task, get_embedder, get_image_generator
from limbeck.errors import AuthenticationError, BadRequestError, ConfigurationError, MissingCredentialError
from limbeck.testing import EmbedderContract, ImageGeneratorContract
from limbeck.types import GenerationRequest, Usage
from limbeck_openai import OpenAIEmbedder, OpenAIImageGenerator, OpenAILLM
from support.openai_models import PNG, OpenAIModelsServer, openai_models, vector_of
from support.openai_server import failure, unauthorized
from support.provider_server import Reply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from limbeck.types import ChatType, Image, Row

KEY = SecretStr("secret-0123456789abcdef")


@pytest.fixture(autouse=True)
def server() -> Iterator[OpenAIModelsServer]:
    with openai_models() as running:
        yield running


class TestOpenAIEmbedder(EmbedderContract):
    @pytest.fixture(autouse=True)
    def point_at(self, server: OpenAIModelsServer) -> None:
        self.url = server.url

    def make_model(self) -> Any:
        return OpenAIEmbedder(model="m", base_url=self.url, api_key=KEY)


class TestOpenAIImageGenerator(ImageGeneratorContract):
    @pytest.fixture(autouse=True)
    def point_at(self, server: OpenAIModelsServer) -> None:
        self.url = server.url

    def make_model(self) -> Any:
        return OpenAIImageGenerator(model="m", base_url=self.url, api_key=KEY)


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


class Complete(Task):
    """Goes on with a raw prompt."""

    @property
    def inputs(self) -> list[str]:
        return ["text"]

    @property
    def outputs(self) -> list[str]:
        return ["generation"]

    def format_input(self, input: Row) -> ChatType | GenerationRequest:
        return GenerationRequest(prompt=input["text"])

    def format_output(self, output: str | None, input: Row) -> Row:
        return {"generation": output}


def embedder(server: OpenAIModelsServer, **fields: Any) -> OpenAIEmbedder:
    return OpenAIEmbedder(model="m", base_url=server.url, api_key=KEY, **fields)


def vectors(embedder: Any, *texts: str) -> list[Any]:
    return [row["embedding"] for row in next(Embed(embedder=embedder).process([{"text": text} for text in texts]))]


@pytest.mark.parametrize("encoding", ["base64", "float"])
def test_vectors_come_back_by_their_index_however_they_travel(server: OpenAIModelsServer, encoding: Any) -> None:
    texts = [f"text {number}" for number in range(20)]
    assert vectors(embedder(server, encoding_format=encoding), *texts) == [vector_of(text) for text in texts]
    (sent,) = server.requests
    assert sent.body == {"model": "m", "input": texts, "encoding_format": encoding}
    assert sent.headers["authorization"] == f"Bearer {KEY.get_secret_value()}"


def test_the_dimensions_and_the_providers_own_parameters_are_sent(server: OpenAIModelsServer) -> None:
    (vector,) = vectors(embedder(server, dimensions=3, generation_kwargs={"user": "u-1"}), "a")
    assert len(vector) == 3
    assert (server.requests[0].body["dimensions"], server.requests[0].body["user"]) == (3, "u-1")


def test_an_empty_text_costs_itself_only(server: OpenAIModelsServer) -> None:
    made = vectors(embedder(server), "a", "", "b", "c")
    assert made == [vector_of("a"), None, vector_of("b"), vector_of("c")]


def test_a_refusal_for_rate_is_waited_for_and_the_texts_stay_together(server: OpenAIModelsServer) -> None:
    server.script(failure(429, "Rate limit reached for requests.", headers={"retry-after-ms": "1"}))
    assert vectors(embedder(server), "a", "b") == [vector_of("a"), vector_of("b")]
    assert [len(sent.body["input"]) for sent in server.requests] == [2, 2]


def test_a_refused_key_stops_the_run_and_is_not_shown(server: OpenAIModelsServer) -> None:
    server.script(unauthorized)
    with pytest.raises(AuthenticationError) as caught:
        vectors(embedder(server), "a")
    assert KEY.get_secret_value() not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        {"data": [{"index": 0, "embedding": [1.0]}]},
        {"data": [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": "no base64"}]},
        {"data": [{"index": 0, "embedding": [1.0]}, {"index": 7, "embedding": [1.0]}]},
        {"data": [{"index": 0, "embedding": [1.0]}, "what"]},
        {"data": [{"embedding": [1.0]}, {"embedding": []}]},
    ],
    ids=repr,
)
def test_a_text_that_a_server_has_no_vector_for_fails_alone(server: OpenAIModelsServer, body: Any) -> None:
    server.script(Reply(body=json.dumps(body)))
    assert vectors(embedder(server), "a", "b") == [[1.0], None]


@pytest.mark.parametrize("body", [{}, {"data": None}, [], "text", {"data": "text"}], ids=repr)
def test_an_answer_without_data_is_asked_for_again(server: OpenAIModelsServer, body: Any) -> None:
    server.script(Reply(body=json.dumps(body)))
    assert vectors(embedder(server), "a") == [vector_of("a")]


def test_an_error_behind_a_200_is_an_error(server: OpenAIModelsServer) -> None:
    server.script(Reply(body=json.dumps({"error": {"message": "Overloaded.", "code": 503}})))
    assert vectors(embedder(server), "a") == [vector_of("a")]


def test_the_key_of_openai_is_wanted_and_that_of_a_server_of_ones_own_is_not(server: OpenAIModelsServer) -> None:
    with pytest.raises(MissingCredentialError, match="OpenAIEmbedder"):
        OpenAIEmbedder(model="m").load()
    assert vectors(OpenAIEmbedder(model="m", base_url=server.url), "a") == [vector_of("a")]


@pytest.mark.parametrize(
    ("cls", "kwargs", "says"),
    [
        (OpenAIEmbedder, {"dimension": 3}, "embeddings take no parameter 'dimension'"),
        (OpenAIEmbedder, {"dimensions": 3}, "Use the field `dimensions`"),
        (OpenAIEmbedder, {"extra_body": {"input": []}}, "comes from the task"),
        (OpenAIImageGenerator, {"sizes": "1x1"}, "images take no parameter 'sizes'"),
        (OpenAIImageGenerator, {"n": 3}, "Use the task's `num_generations`"),
        (OpenAIImageGenerator, {"stream": True}, "reads whole images"),
    ],
)
def test_a_parameter_that_the_sdk_does_not_take_is_told_at_once(cls: Any, kwargs: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        cls(model="m", generation_kwargs=kwargs)


def test_what_identifies_an_embedder_has_its_server_and_its_dimensions_but_no_key(server: OpenAIModelsServer) -> None:
    identity = embedder(server, dimensions=3, encoding_format="float", batch_size=7).identity
    assert identity["base_url"] == server.url
    assert identity["dimensions"] == 3
    assert not {"api_key", "encoding_format", "batch_size"} & identity.keys()


def test_names_find_the_classes() -> None:
    assert get_embedder("openai") is OpenAIEmbedder
    assert get_image_generator("openai") is OpenAIImageGenerator
    assert Embed(embedder="openai/text-embedding-3-small").embedder.model == "text-embedding-3-small"


# Images


def images(server: OpenAIModelsServer, *prompts: str, n: int = 1, **fields: Any) -> list[Row]:
    generator = OpenAIImageGenerator(model="m", base_url=server.url, api_key=KEY, **fields)
    return next(Draw(image_generator=generator, num_generations=n).process([{"prompt": each} for each in prompts]))


def test_several_images_come_from_one_request(server: OpenAIModelsServer) -> None:
    rows = images(server, "a cat", n=3, generation_kwargs={"size": "256x256"})
    assert [row["image"].content for row in rows] == [PNG + f"a cat {number}".encode() for number in range(3)]
    assert {row["image"].media_type for row in rows} == {"image/png"}
    (sent,) = server.requests
    assert sent.body == {"model": "m", "prompt": "a cat", "n": 3, "size": "256x256"}


def test_a_prompt_that_is_refused_fails_its_row(server: OpenAIModelsServer) -> None:
    server.script(failure(400, "Your request was rejected by our safety system.", code="content_policy_violation"))
    (row,) = images(server, "a cat")
    assert row["distilabel_metadata"]["error_draw"]["type"] == "ContentFilteredError"


def test_the_address_of_an_image_is_told_with_the_remedy(server: OpenAIModelsServer) -> None:
    server.script(Reply(body=json.dumps({"data": [{"url": "https://images.example/1.png"}]})))
    (row,) = images(server, "a cat")
    error = row["distilabel_metadata"]["error_draw"]
    assert error["type"] == BadRequestError.__name__
    assert "b64_json" in error["message"]


# Raw prompts


def test_a_raw_prompt_goes_to_the_completions(server: OpenAIModelsServer) -> None:
    llm = OpenAILLM(model="m", base_url=server.url, api_key=KEY, generation_kwargs={"temperature": 0.5})
    task = Complete(llm=llm, num_generations=2)
    rows = next(task.process([{"text": "Once"}]))
    assert [row["generation"] for row in rows] == ["Once and on"] * 2
    (sent,) = server.requests
    assert (sent.path, sent.body) == ("/v1/completions", {"model": "m", "prompt": "Once", "n": 2, "temperature": 0.5})


def test_the_tokens_of_a_raw_prompt_are_counted(server: OpenAIModelsServer, tmp_path: Any) -> None:
    stream = Complete(llm=OpenAILLM(model="m", base_url=server.url)).run([{"text": "Once"}], run_dir=tmp_path)
    list(stream)
    assert stream.stats.usage == Usage(input_tokens=2, output_tokens=3)


def test_a_raw_prompt_goes_into_no_provider_batch() -> None:
    llm = OpenAILLM(model="m", base_url="http://localhost:1/v1")
    with pytest.raises(BadRequestError, match="no provider batch"):
        llm.encode_batch_entry("t-0", GenerationRequest(prompt="Once"))
