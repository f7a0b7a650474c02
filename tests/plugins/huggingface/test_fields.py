"""The fields of `InferenceEndpointsLLM`, checked when it is built and when it is loaded; no network in either."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import subprocess
import sys
from typing import Any

import pytest
from pydantic import SecretStr

from limbeck.errors import (
    ConfigurationError,
    LimbeckWarning,
    MissingCredentialError,
    MissingDependencyError,
)
from limbeck.types import GenerationRequest
from limbeck_huggingface import InferenceEndpointsLLM
from support.asking import CHAT, text_of

from .server import HuggingFaceServer

KEY = "hf_aSecretThatNobodyMaySee"


@pytest.mark.parametrize(
    ("fields", "had"),
    [
        ({}, "none"),
        ({"model_id": "org/model", "endpoint_name": "mine"}, "`model_id` and `endpoint_name`"),
        ({"endpoint_name": "mine", "base_url": "http://x"}, "`endpoint_name` and `base_url`"),
    ],
)
def test_exactly_one_place_must_be_named(fields: dict[str, Any], had: str) -> None:
    with pytest.raises(ConfigurationError, match=f"exactly one of .*; it has {had}"):
        InferenceEndpointsLLM(**fields)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"model_id": "org/model", "endpoint_namespace": "org"}, "endpoint_namespace"),
        ({"model_id": "org/model", "served_model_name": "x"}, "served_model_name"),
        ({"base_url": "http://x", "bill_to": "org"}, "bill_to"),
        ({"base_url": "http://x", "provider": "novita"}, "provider"),
        ({"model_id": "org/model", "tokenizer_id": "x", "use_chat_completion": True}, "use_chat_completion=True"),
        ({"model_id": "org/model", "use_chat_completion": False}, "tokenizer_id"),
        ({"base_url": "localhost:8080"}, "base_url"),
        ({"base_url": "http://"}, "base_url"),
    ],
)
def test_fields_that_do_not_go_together_are_refused_by_name(fields: dict[str, Any], name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        InferenceEndpointsLLM(**fields)


def test_a_url_with_a_password_is_refused_without_repeating_it() -> None:
    with pytest.raises(ConfigurationError, match="api_key") as caught:
        InferenceEndpointsLLM(base_url="http://me:geheim@host/v1")
    assert "geheim" not in str(caught.value)


def test_an_unknown_field_is_refused_with_a_suggestion() -> None:
    with pytest.raises(ConfigurationError, match="Did you mean `tokenizer_id`"):
        InferenceEndpointsLLM(model_id="org/model", tokeniser_id="org/model")  # type: ignore[call-arg]  # on purpose


def test_the_commonest_call_needs_no_tokenizer() -> None:
    llm = InferenceEndpointsLLM(model_id="org/model", tokenizer_id="org/model", api_key=SecretStr(KEY))
    llm.load()
    assert llm.model_name == "org/model"


def test_another_tokenizer_that_is_not_used_is_warned_of() -> None:
    with pytest.warns(LimbeckWarning, match=r"'org/other' is not used.*use_chat_completion=False"):
        InferenceEndpointsLLM(model_id="org/model", tokenizer_id="org/other")


def test_it_can_be_built_from_a_models_name() -> None:
    assert InferenceEndpointsLLM.from_model("meta-llama/Llama-3").model_id == "meta-llama/Llama-3"


@pytest.mark.parametrize("name", ["provider", "inference_provider"])
def test_the_provider_may_be_given_by_either_name(name: str) -> None:
    fields: dict[str, Any] = {"model_id": "org/model", name: "novita"}
    assert InferenceEndpointsLLM(**fields).inference_provider == "novita"


def test_its_configuration_is_not_mistaken_for_another_backend() -> None:
    fields = InferenceEndpointsLLM(model_id="org/model", provider="novita").model_dump(exclude_unset=True)
    assert fields == {"model_id": "org/model", "inference_provider": "novita"}


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"model_id": "org/model"}, "org/model"),
        ({"endpoint_name": "mine"}, "mine"),
        ({"endpoint_name": "mine", "served_model_name": "org/model"}, "org/model"),
        ({"base_url": "http://host/v1"}, "http://host/v1"),
        ({"base_url": "http://host/v1", "served_model_name": "org/model"}, "org/model"),
    ],
)
def test_the_model_is_named_as_exactly_as_can_be(fields: dict[str, Any], name: str) -> None:
    assert InferenceEndpointsLLM(**fields).model_name == name


def test_its_identity_holds_what_changes_an_answer_and_no_secret() -> None:
    llm = InferenceEndpointsLLM(
        model_id="org/model", provider="novita", api_key=SecretStr(KEY), bill_to="org", max_concurrency=3
    )
    identity = llm.identity
    assert KEY not in json.dumps(identity)
    assert identity["inference_provider"] == "novita"
    assert identity["provider"] == "limbeck_huggingface.inference_endpoints:InferenceEndpointsLLM"
    assert "bill_to" not in identity


def test_the_key_is_not_in_its_repr() -> None:
    assert KEY not in repr(InferenceEndpointsLLM(model_id="org/model", api_key=SecretStr(KEY)))


def test_the_key_is_not_in_the_repr_of_what_it_makes(tgi: HuggingFaceServer) -> None:
    llm = InferenceEndpointsLLM(base_url=tgi.url, api_key=SecretStr(KEY))
    finder = llm._route_finder()
    assert KEY not in repr(finder)
    assert KEY not in repr(finder.find())


# Parameters


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("n", "num_generations"),
        ("model", "served_model_name"),
        ("messages", "format_input"),
        ("stream", "whole answers"),
    ],
)
def test_a_parameter_that_limbeck_sets_is_refused_with_what_to_use(name: str, remedy: str) -> None:
    with pytest.raises(ConfigurationError, match=remedy):
        InferenceEndpointsLLM(model_id="org/model", generation_kwargs={name: 1})


def test_a_misspelt_parameter_is_refused_with_a_suggestion() -> None:
    with pytest.raises(ConfigurationError, match=r"no parameter 'max_token'\. Did you mean `max_tokens`"):
        InferenceEndpointsLLM(model_id="org/model", generation_kwargs={"max_token": 1})


def test_text_generation_takes_its_own_parameters() -> None:
    fields: dict[str, Any] = {"base_url": "http://x", "tokenizer_id": "org/model"}
    llm = InferenceEndpointsLLM(**fields, generation_kwargs={"max_new_tokens": 5, "top_k": 3})
    assert llm.generation_kwargs == {"max_new_tokens": 5, "top_k": 3}
    with pytest.raises(ConfigurationError, match="Did you mean `max_new_tokens`"):
        InferenceEndpointsLLM(**fields, generation_kwargs={"max_tokens": 5})


def test_building_one_without_parameters_does_not_import_the_sdk() -> None:
    code = (
        "import sys\n"
        "from limbeck_huggingface import InferenceEndpointsLLM, TransformersLLM\n"
        "InferenceEndpointsLLM(model_id='org/model', tokenizer_id='org/model')\n"
        "TransformersLLM(model_id='org/model')\n"
        "sdks = {'huggingface_hub', 'httpx2', 'transformers', 'torch', 'jinja2'}\n"
        "print(sorted(sdks & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


# Loading


def test_loading_without_a_key_says_which_variable_would_have_held_it() -> None:
    with pytest.raises(MissingCredentialError, match="HF_TOKEN"):
        InferenceEndpointsLLM(model_id="org/model").load()


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", KEY)
    InferenceEndpointsLLM(model_id="org/model").load()
    assert InferenceEndpointsLLM(model_id="org/model")._route_finder()._needed_key() == KEY


def test_the_key_that_a_login_saved_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from pathlib import Path

    from huggingface_hub import constants

    Path(constants.HF_TOKEN_PATH).write_text(f"{KEY}\n", encoding="utf-8")
    assert InferenceEndpointsLLM(model_id="org/model")._route_finder()._needed_key() == KEY


def test_a_server_of_ones_own_needs_no_key() -> None:
    InferenceEndpointsLLM(base_url="http://127.0.0.1:9").load()


@pytest.mark.parametrize("key", ["hf_abc def", "hf_abc\nhf_def", "hf_ключ", "hf_abc\u2013def", "hf_\x00abc"])
def test_a_key_that_cannot_be_sent_is_refused_without_repeating_it(key: str) -> None:
    with pytest.raises(ConfigurationError, match="`api_key` holds a character that no key has") as caught:
        InferenceEndpointsLLM(base_url="http://127.0.0.1:9", api_key=SecretStr(key)).load()
    assert key not in str(caught.value)


def test_the_router_is_not_given_the_key_of_another_provider() -> None:
    with pytest.raises(ConfigurationError, match="name it in `provider`"):
        InferenceEndpointsLLM(model_id="org/model", api_key=SecretStr("sk-of-another-provider")).load()


def test_an_unknown_provider_is_refused_when_it_is_loaded() -> None:
    with pytest.raises(ConfigurationError, match=r"The provider 'novitta' cannot be used.*novita"):
        InferenceEndpointsLLM(model_id="org/model", provider="novitta", api_key=SecretStr(KEY)).load()


def test_a_provider_that_has_no_text_generation_is_refused_when_it_is_loaded() -> None:
    llm = InferenceEndpointsLLM(
        model_id="org/model", provider="groq", tokenizer_id="x", use_chat_completion=False, api_key=SecretStr(KEY)
    )
    with pytest.raises(ConfigurationError, match="text-generation"):
        llm.load()


def test_offline_the_hub_is_not_asked_and_a_server_of_ones_own_is(
    monkeypatch: pytest.MonkeyPatch, tgi: HuggingFaceServer
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigurationError, match="HF_HUB_OFFLINE"):
        InferenceEndpointsLLM(model_id="org/model", api_key=SecretStr(KEY)).load()
    llm = InferenceEndpointsLLM(base_url=tgi.url)
    llm.load()
    assert text_of(llm) == "ok"


@pytest.mark.parametrize(
    ("missing", "fields", "line"),
    [
        ("huggingface_hub", {"model_id": "org/model"}, "pip install 'limbeck-huggingface'"),
        ("transformers", {"base_url": "http://x", "tokenizer_id": "x"}, "pip install 'limbeck-huggingface[tokenizer]'"),
        ("jinja2", {"base_url": "http://x", "tokenizer_id": "x"}, "pip install 'limbeck-huggingface[tokenizer]'"),
    ],
)
def test_a_package_that_is_not_installed_is_named_with_the_line_that_installs_it(
    missing: str, fields: dict[str, Any], line: str
) -> None:
    code = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {missing!r}: raise ModuleNotFoundError(name=name)\n"
        "import importlib.util\n"
        "found = importlib.util.find_spec\n"
        f"importlib.util.find_spec = lambda name, *a: None if name == {missing!r} else found(name, *a)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from limbeck_huggingface import InferenceEndpointsLLM\n"
        "from limbeck.errors import MissingDependencyError\n"
        "try:\n"
        f"    InferenceEndpointsLLM(**{fields!r}).load()\n"
        "except MissingDependencyError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert line in done.stdout, done.stderr
    assert issubclass(MissingDependencyError, ImportError)


# Copies


def test_a_copy_with_another_url_asks_there(tgi: HuggingFaceServer, openai_like: HuggingFaceServer) -> None:
    llm = InferenceEndpointsLLM(base_url=tgi.url)

    async def both() -> None:
        request = GenerationRequest(messages=CHAT)
        await llm.agenerate(request)
        copied = llm.model_copy(update={"base_url": openai_like.url})
        await copied.agenerate(request)
        await copied.aclose()
        await llm.aclose()

    asyncio.run(both())
    assert (len(tgi.requests), len(openai_like.requests)) == (1, 1)


def test_it_can_be_copied_and_pickled_while_it_is_in_use(tgi: HuggingFaceServer) -> None:
    llm = InferenceEndpointsLLM(base_url=tgi.url)

    async def use() -> list[InferenceEndpointsLLM]:
        await llm.agenerate(GenerationRequest(messages=CHAT))
        copies = [copy.deepcopy(llm), pickle.loads(pickle.dumps(llm))]
        await llm.aclose()
        return copies

    assert [text_of(copied) for copied in asyncio.run(use())] == ["ok", "ok"]
