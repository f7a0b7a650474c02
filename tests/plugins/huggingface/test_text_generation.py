"""Prompts rendered with a tokenizer's chat template, sent to text generation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from limbeck import Task
from limbeck.errors import BadRequestError, ConfigurationError, ContextLengthError, TransientError
from limbeck.types import Generation, GenerationRequest, Row, Usage
from limbeck_huggingface import InferenceEndpointsLLM
from support.asking import ask, failure, text_of
from support.provider_server import Reply
from support.wire import events, wire_server

from .server import HuggingFaceServer, point_the_sdk_at, text_body
from .tiny_model import save_tokenizer

PROMPT = "[user] hi [assistant] "


def _tokens(folder: str) -> int:
    from transformers import AutoTokenizer

    return len(AutoTokenizer.from_pretrained(folder)(PROMPT)["input_ids"])


def test_the_prompt_is_the_chat_in_the_tokenizers_template(tgi: HuggingFaceServer, tokenizer_folder: str) -> None:
    ask(InferenceEndpointsLLM(base_url=tgi.url, tokenizer_id=tokenizer_folder))
    assert tgi.requests[0].path == "/"
    assert tgi.requests[0].body["inputs"] == PROMPT


def test_the_token_that_begins_a_text_is_left_to_the_server(tgi: HuggingFaceServer, tokenizer_folder: str) -> None:
    ask(InferenceEndpointsLLM(base_url=tgi.url, tokenizer_id=tokenizer_folder))
    assert "<s>" not in tgi.requests[0].body["inputs"]


def test_it_stays_where_the_tokenizer_does_not_add_it(tgi: HuggingFaceServer, tmp_path: Path) -> None:
    from tokenizers import processors

    tokenizer = save_tokenizer(tmp_path)
    tokenizer.backend_tokenizer.post_processor = processors.ByteLevel()
    tokenizer.save_pretrained(tmp_path)
    ask(InferenceEndpointsLLM(base_url=tgi.url, tokenizer_id=str(tmp_path)))
    assert tgi.requests[0].body["inputs"] == f"<s>{PROMPT}"


def test_parts_that_are_all_text_are_joined(tgi: HuggingFaceServer, tokenizer_folder: str) -> None:
    parts: Any = [{"type": "text", "text": "What is "}, {"type": "text", "text": "that?"}]
    ask(InferenceEndpointsLLM(base_url=tgi.url, tokenizer_id=tokenizer_folder), [{"role": "user", "content": parts}])
    assert tgi.requests[0].body["inputs"] == "[user] What is that? [assistant] "


def test_the_beginning_of_an_answer_is_rendered_without_an_end(tgi: HuggingFaceServer, tokenizer_folder: str) -> None:
    begun: Any = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Well,"}]
    ask(InferenceEndpointsLLM(base_url=tgi.url, tokenizer_id=tokenizer_folder), begun)
    assert tgi.requests[0].body["inputs"] == f"{PROMPT}Well,"


def test_a_raw_prompt_is_sent_as_it_is(tgi: HuggingFaceServer, tokenizer_folder: str) -> None:
    (row,) = next(Continue(llm=InferenceEndpointsLLM(base_url=tgi.url, tokenizer_id=tokenizer_folder)).process([{}]))
    assert row["generation"] == "ok"
    assert tgi.requests[0].body["inputs"] == "Once upon"


class Continue(Task):
    """Goes on with a raw prompt."""

    @property
    def inputs(self) -> list[str]:
        return []

    @property
    def outputs(self) -> list[str]:
        return ["generation"]

    def format_input(self, input: Row) -> GenerationRequest:
        return GenerationRequest(prompt="Once upon")

    def format_output(self, output: str | None, input: Row) -> Row:
        return {"generation": output}


def test_the_answer_holds_the_finish_reason_and_the_tokens(tgi: HuggingFaceServer, tokenizer_folder: str) -> None:
    tgi.script(text_body("Madrid it is", finish_reason="length"))
    response = ask(InferenceEndpointsLLM(base_url=tgi.url, tokenizer_id=tokenizer_folder))
    assert response.generations == [Generation(text="Madrid it is", finish_reason="length")]
    assert response.usage == Usage(input_tokens=_tokens(tokenizer_folder), output_tokens=3)


def test_an_answer_may_stand_in_a_list(tgi: HuggingFaceServer, tokenizer_folder: str) -> None:
    tgi.script(Reply(body=[text_body("Madrid.")]))
    assert text_of(InferenceEndpointsLLM(base_url=tgi.url, tokenizer_id=tokenizer_folder)) == "Madrid."


def test_an_answer_may_fill_what_the_prompt_leaves_of_the_servers_limit(
    tgi: HuggingFaceServer, tokenizer_folder: str
) -> None:
    ask(InferenceEndpointsLLM(base_url=tgi.url, tokenizer_id=tokenizer_folder))
    assert tgi.requests[0].body["parameters"]["max_new_tokens"] == 512 - _tokens(tokenizer_folder)


def test_max_new_tokens_of_the_users_own_is_kept(tgi: HuggingFaceServer, tokenizer_folder: str) -> None:
    llm = InferenceEndpointsLLM(
        base_url=tgi.url, tokenizer_id=tokenizer_folder, generation_kwargs={"max_new_tokens": 5, "temperature": 0.5}
    )
    ask(llm)
    parameters = tgi.requests[0].body["parameters"]
    assert (parameters["max_new_tokens"], parameters["temperature"]) == (5, 0.5)


def test_a_prompt_that_leaves_no_room_is_the_servers_to_refuse(tgi: HuggingFaceServer, tokenizer_folder: str) -> None:
    said = "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 512. Given: 600 `inputs` tokens"
    tgi.script(Reply(status=422, body={"error": said, "error_type": "validation"}))
    llm = InferenceEndpointsLLM(base_url=tgi.url, tokenizer_id=tokenizer_folder)
    error = failure(llm, [{"role": "user", "content": "Spain " * 600}])
    assert tgi.requests[0].body["parameters"]["max_new_tokens"] == 1
    assert isinstance(error, ContextLengthError)
    assert said in str(error)


def test_a_server_that_is_not_tgi_gets_a_generous_limit_and_no_parameter_of_tgis_own(
    tgi: HuggingFaceServer, tokenizer_folder: str
) -> None:
    tgi.info = {}
    tgi.script(Reply(body=[{"generated_text": "Madrid."}]))
    response = ask(InferenceEndpointsLLM(base_url=tgi.url, tokenizer_id=tokenizer_folder))
    assert tgi.requests[0].body["parameters"] == {"max_new_tokens": 2048, "return_full_text": False}
    assert response.generations == [Generation(text="Madrid.")]
    assert response.usage is None


def test_a_schema_goes_out_as_a_grammar(tgi: HuggingFaceServer, tokenizer_folder: str) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    ask(InferenceEndpointsLLM(base_url=tgi.url, tokenizer_id=tokenizer_folder), output_schema=schema)
    assert tgi.requests[0].body["parameters"]["grammar"] == {"type": "json", "value": schema}


def test_a_schema_and_a_grammar_together_are_refused(tgi: HuggingFaceServer, tokenizer_folder: str) -> None:
    grammar = {"type": "regex", "value": "yes|no"}
    llm = InferenceEndpointsLLM(base_url=tgi.url, tokenizer_id=tokenizer_folder, generation_kwargs={"grammar": grammar})
    assert isinstance(failure(llm, output_schema={"type": "object"}), BadRequestError)


@pytest.mark.parametrize("asked", [{"details": True}, {"top_n_tokens": 2}])
def test_log_probabilities_are_kept_where_they_are_asked_for(
    tgi: HuggingFaceServer, tokenizer_folder: str, asked: dict[str, Any]
) -> None:
    tgi.script("Madrid")
    llm = InferenceEndpointsLLM(base_url=tgi.url, tokenizer_id=tokenizer_folder, generation_kwargs=asked)
    (generation,) = ask(llm).generations
    assert generation.logprobs == {"tokens": [{"id": 0, "text": "Madrid", "logprob": -0.5, "special": False}]}


@pytest.mark.parametrize("body", [[], {}, {"generated_text": None}, "Madrid.", None])
def test_a_response_without_a_text_is_a_transient_error(
    tgi: HuggingFaceServer, tokenizer_folder: str, body: Any
) -> None:
    tgi.script(Reply(body=body))
    llm = InferenceEndpointsLLM(base_url=tgi.url, tokenizer_id=tokenizer_folder)
    assert isinstance(failure(llm), TransientError)


def test_messages_that_the_template_refuses_fail_alone_and_unsent(
    tgi: HuggingFaceServer, tokenizer_folder: str
) -> None:
    llm = InferenceEndpointsLLM(base_url=tgi.url, tokenizer_id=tokenizer_folder)
    error = failure(llm, [{"role": "tool", "content": "?"}])
    assert isinstance(error, BadRequestError)
    assert "Unknown role" in str(error)
    assert tgi.requests == []


def test_a_tokenizer_without_a_template_says_what_to_do(tgi: HuggingFaceServer, tmp_path: Path) -> None:
    save_tokenizer(tmp_path, chat_template=None)
    with pytest.raises(ConfigurationError, match=r"no chat template.*instruction-tuned"):
        ask(InferenceEndpointsLLM(base_url=tgi.url, tokenizer_id=str(tmp_path)))


def test_a_tokenizer_that_is_not_there_is_named(tgi: HuggingFaceServer, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no tokenizer to be had from"):
        ask(InferenceEndpointsLLM(base_url=tgi.url, tokenizer_id=str(tmp_path / "nothing")))


def test_a_provider_of_openais_form_gets_the_prompt_and_the_limit_by_its_name(
    tgi: HuggingFaceServer, tokenizer_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_the_sdk_at(tgi.url, monkeypatch)
    mapping = {"together": {"status": "live", "providerId": "their/model", "task": "text-generation"}}
    tgi.models["org/model"] = {"id": "org/model", "inferenceProviderMapping": mapping}
    llm = InferenceEndpointsLLM(
        model_id="org/model",
        provider="together",
        tokenizer_id=tokenizer_folder,
        use_chat_completion=False,
        api_key=SecretStr("hf_secret"),
    )
    assert text_of(llm) == "ok"
    assert tgi.requests[0].path == "/together/v1/completions"
    assert tgi.requests[0].body == {"model": "their/model", "prompt": PROMPT, "max_tokens": 2048}


def test_the_serverless_api_gets_the_prompt_at_the_models_address(
    tgi: HuggingFaceServer, tokenizer_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_the_sdk_at(tgi.url, monkeypatch)
    tgi.models["org/model"] = {"id": "org/model", "pipeline_tag": "text-generation"}
    llm = InferenceEndpointsLLM(
        model_id="org/model",
        provider="hf-inference",
        tokenizer_id=tokenizer_folder,
        use_chat_completion=False,
        api_key=SecretStr("hf_secret"),
    )
    assert text_of(llm) == "ok"
    assert tgi.requests[0].path == "/models/org/model"


@pytest.mark.parametrize("lost", [[], ["{garbled"]], ids=repr)
def test_the_tokens_are_the_text_where_the_last_event_cannot_be_read(lost: list[str], tokenizer_folder: str) -> None:
    tokens = [{"token": {"text": text, "special": text == "</s>"}} for text in ("pa", "id", "</s>")]
    body = events(*tokens[:1], *lost, *tokens[1:], "{garbled", "[DONE]")
    with wire_server(Reply(body=body, content_type="text/event-stream")) as server:
        response = ask(InferenceEndpointsLLM(base_url=server.root, tokenizer_id=tokenizer_folder))
    assert response.generations[0].text == "paid"
    assert [word.partition(",")[0] for word in response.left_out] == ["an event of its stream"]
