"""Azure OpenAI: addresses, versions, deployments and its two kinds of credentials."""

from __future__ import annotations

import traceback
from typing import Any

import pytest
from pydantic import SecretStr

from limbeck.errors import (
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    ContentFilteredError,
    MissingCredentialError,
)
from limbeck_openai import AzureOpenAILLM
from support.asking import ask, failure
from support.openai_server import failure as refusal
from support.openai_server import openai_server, unauthorized

KEY = SecretStr("azure-secret-key")


def llm_at(root: str, **fields: Any) -> AzureOpenAILLM:
    return AzureOpenAILLM(
        **{"model": "gpt-4o", "azure_endpoint": root, "api_version": "2026-01-01", "api_key": KEY, **fields}
    )


def test_the_url_holds_the_deployment_and_the_version() -> None:
    with openai_server() as server:
        ask(llm_at(server.root))
    sent = server.requests[0]
    assert sent.path == "/openai/deployments/gpt-4o/chat/completions"
    assert sent.query == "api-version=2026-01-01"


def test_the_key_is_sent_in_azures_header() -> None:
    with openai_server(api_key="azure-secret-key") as server:
        ask(llm_at(server.root))
    assert server.requests[0].headers["api-key"] == "azure-secret-key"


def test_a_token_is_sent_as_a_bearer() -> None:
    with openai_server() as server:
        ask(llm_at(server.root, api_key=None, azure_ad_token=SecretStr("entra")))
    headers = server.requests[0].headers
    assert headers["authorization"] == "Bearer entra"
    assert "api-key" not in headers


def test_a_deployment_may_have_another_name_than_the_model() -> None:
    with openai_server() as server:
        llm = llm_at(server.root, azure_deployment="team a")
        ask(llm)
    assert server.requests[0].path == "/openai/deployments/team a/chat/completions"
    assert llm.model_name == "gpt-4o"


def test_several_answers_and_parameters_travel_as_to_openai() -> None:
    with openai_server() as server:
        response = ask(llm_at(server.root, generation_kwargs={"seed": 1}), num_generations=2)
    assert [generation.text for generation in response.generations] == ["echo: hi", "echo: hi #1"]
    assert server.requests[0].body["seed"] == 1


def test_everything_can_come_from_the_sdks_environment_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    with openai_server() as server:
        monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", server.root + "/")
        monkeypatch.setenv("OPENAI_API_VERSION", "2026-02-02")
        monkeypatch.setenv("AZURE_OPENAI_API_KEY", "from-environment")
        llm = AzureOpenAILLM(model="gpt-4o")
        llm.load()
        ask(llm)
    sent = server.requests[0]
    assert (sent.query, sent.headers["api-key"]) == ("api-version=2026-02-02", "from-environment")


def test_a_token_in_the_environment_goes_before_a_key_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "key")
    monkeypatch.setenv("AZURE_OPENAI_AD_TOKEN", "token")
    with openai_server() as server:
        ask(llm_at(server.root, api_key=None))
    assert server.requests[0].headers["authorization"] == "Bearer token"


def test_a_key_that_is_given_goes_before_a_token_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_AD_TOKEN", "token")
    with openai_server() as server:
        ask(llm_at(server.root))
    assert server.requests[0].headers["api-key"] == "azure-secret-key"


def test_a_key_and_a_token_together_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="either `api_key` or `azure_ad_token`"):
        llm_at("http://localhost", azure_ad_token=SecretStr("entra"))


@pytest.mark.parametrize(
    ("missing", "variable"), [("azure_endpoint", "AZURE_OPENAI_ENDPOINT"), ("api_version", "OPENAI_API_VERSION")]
)
def test_a_missing_setting_is_named_at_load_with_its_variable(missing: str, variable: str) -> None:
    with pytest.raises(ConfigurationError, match=f"no `{missing}`.*`{variable}`"):
        llm_at("http://localhost", **{missing: None}).load()


def test_missing_credentials_are_named_at_load() -> None:
    with pytest.raises(MissingCredentialError, match="`AZURE_OPENAI_API_KEY`"):
        llm_at("http://localhost", api_key=None).load()


def test_the_identity_holds_endpoint_deployment_and_version_in_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    given = llm_at("https://acme.openai.azure.com/").identity
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://acme.openai.azure.com")
    monkeypatch.setenv("OPENAI_API_VERSION", "2026-01-01")
    assert AzureOpenAILLM(model="gpt-4o", azure_ad_token=SecretStr("entra")).identity == given
    assert given["base_url"] == "https://acme.openai.azure.com/openai/deployments/gpt-4o"
    assert given["api_version"] == "2026-01-01"


def test_a_prompt_that_azures_filter_stops_is_a_content_filtered_error() -> None:
    with openai_server(refusal(400, "It was filtered.", code="content_filter", param="prompt")) as server:
        assert isinstance(failure(llm_at(server.root)), ContentFilteredError)


def test_a_missing_deployment_is_a_bad_request() -> None:
    message = "The API deployment for this resource does not exist."
    with openai_server(refusal(404, message, code="DeploymentNotFound")) as server:
        error = failure(llm_at(server.root))
    assert type(error) is BadRequestError
    assert message in str(error)


@pytest.mark.parametrize("field", ["api_key", "azure_ad_token"])
def test_no_error_shows_the_credential(field: str) -> None:
    with openai_server(unauthorized) as server:
        error = failure(llm_at(server.root, **{"api_key": None, field: KEY}))
    assert isinstance(error, AuthenticationError)
    assert KEY.get_secret_value() not in "".join(traceback.format_exception(error))


def test_a_wrong_parameter_is_refused_when_the_backend_is_built() -> None:
    with pytest.raises(ConfigurationError, match=r"`AzureOpenAILLM`.*'temprature'"):
        llm_at("http://localhost", generation_kwargs={"temprature": 1})
