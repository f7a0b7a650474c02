"""Where `model_id` and `endpoint_name` lead, with the SDK's addresses pointed at the loopback server."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from limbeck.errors import AuthenticationError, BadRequestError, RateLimitError, TransientError
from limbeck_huggingface import InferenceEndpointsLLM
from limbeck_huggingface._route import _is_hugging_face
from support.asking import CHAT, ask, failure, text_of

from .server import HuggingFaceServer, endpoint_body, huggingface_server, point_the_sdk_at

KEY = "hf_aSecretThatNobodyMaySee"
NOVITA = {"novita": {"status": "live", "providerId": "nov/model", "task": "conversational"}}


@pytest.fixture
def hub(openai_like: HuggingFaceServer, monkeypatch: pytest.MonkeyPatch) -> HuggingFaceServer:
    """The Hub, the endpoints API, and the router, whose servers are of OpenAI's kind."""
    point_the_sdk_at(openai_like.url, monkeypatch)
    return openai_like


# Inference Providers


def test_a_model_goes_to_the_router_by_its_hub_id(hub: HuggingFaceServer) -> None:
    ask(InferenceEndpointsLLM(model_id="org/model", tokenizer_id="org/model", api_key=SecretStr(KEY)))
    (request,) = hub.requests
    assert request.path == "/v1/chat/completions"
    assert request.body == {"model": "org/model", "messages": CHAT}
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert hub.hub_requests == []


def test_a_named_provider_is_asked_for_the_model_by_its_own_name(hub: HuggingFaceServer) -> None:
    hub.models["org/model"] = {"id": "org/model", "inferenceProviderMapping": NOVITA}
    ask(InferenceEndpointsLLM(model_id="org/model", provider="novita", api_key=SecretStr(KEY)))
    (request,) = hub.requests
    assert request.path == "/novita/v3/openai/chat/completions"
    assert request.body["model"] == "nov/model"


def test_a_schema_goes_to_the_router_in_openais_form(hub: HuggingFaceServer) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    ask(InferenceEndpointsLLM(model_id="org/model", api_key=SecretStr(KEY)), output_schema=schema)
    assert hub.requests[0].body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": schema, "strict": False},
    }


def test_the_organisation_that_pays_is_named(hub: HuggingFaceServer) -> None:
    ask(InferenceEndpointsLLM(model_id="org/model", api_key=SecretStr(KEY), bill_to="org"))
    assert hub.requests[0].headers["x-hf-bill-to"] == "org"


def test_the_request_does_not_tell_what_else_is_installed(hub: HuggingFaceServer) -> None:
    ask(InferenceEndpointsLLM(model_id="org/model", api_key=SecretStr(KEY)))
    agent = hub.requests[0].headers["user-agent"]
    assert agent.startswith("limbeck-huggingface/")
    assert "torch" not in agent


def test_a_provider_that_does_not_serve_the_model_is_a_bad_request(hub: HuggingFaceServer) -> None:
    hub.models["org/model"] = {"id": "org/model", "inferenceProviderMapping": NOVITA}
    error = failure(InferenceEndpointsLLM(model_id="org/model", provider="groq", api_key=SecretStr(KEY)))
    assert isinstance(error, BadRequestError)
    assert "org/model is not supported by provider groq" in str(error)
    assert hub.requests == []


def test_a_model_that_the_hub_does_not_have_is_a_bad_request(hub: HuggingFaceServer) -> None:
    error = failure(InferenceEndpointsLLM(model_id="org/nothing", provider="novita", api_key=SecretStr(KEY)))
    assert isinstance(error, BadRequestError)
    assert "org/nothing" in str(error)


def test_a_model_is_looked_up_once(hub: HuggingFaceServer) -> None:
    hub.models["org/model"] = {"id": "org/model", "inferenceProviderMapping": NOVITA}
    llm = InferenceEndpointsLLM(model_id="org/model", provider="novita", api_key=SecretStr(KEY))
    assert [text_of(llm), text_of(llm)] == ["ok", "ok"]
    assert [request.path for request in hub.hub_requests] == ["/api/models/org/model"]


# Servers of one's own


def test_the_saved_token_is_not_sent_to_a_server_outside_hugging_face(
    tgi: HuggingFaceServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", KEY)
    ask(InferenceEndpointsLLM(base_url=tgi.url))
    assert "authorization" not in tgi.requests[0].headers


def test_a_key_that_is_given_is_sent_wherever_it_is_told(tgi: HuggingFaceServer) -> None:
    ask(InferenceEndpointsLLM(base_url=tgi.url, api_key=SecretStr("any-key")))
    assert tgi.requests[0].headers["authorization"] == "Bearer any-key"


def test_the_saved_token_is_sent_to_a_hub_of_ones_own(tgi: HuggingFaceServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setenv("HF_TOKEN", KEY)
    monkeypatch.setattr(constants, "HF_URL_HOSTS", frozenset({"127.0.0.1"}))
    ask(InferenceEndpointsLLM(base_url=tgi.url))
    assert tgi.requests[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("url", "is_theirs"),
    [
        ("https://router.huggingface.co/v1", True),
        ("https://huggingface.co", True),
        ("https://abc.us-east-1.aws.endpoints.huggingface.cloud", True),
        ("https://someone-s-app.hf.space", False),
        ("https://huggingface.co.evil.example", False),
        ("https://evilhuggingface.co", False),
        ("http://localhost:8080", False),
    ],
)
def test_hugging_faces_hosts_are_the_hub_its_router_and_its_endpoints(url: str, is_theirs: bool) -> None:
    assert _is_hugging_face(url) is is_theirs


# Dedicated endpoints


def test_an_endpoint_is_asked_where_it_is(hub: HuggingFaceServer, tgi: HuggingFaceServer) -> None:
    hub.endpoints["me/mine"] = endpoint_body(tgi.url)
    tgi.script("Madrid.")
    assert text_of(InferenceEndpointsLLM(endpoint_name="mine", api_key=SecretStr(KEY))) == "Madrid."
    assert tgi.requests[0].body["model"] == "org/model"
    assert tgi.requests[0].headers["authorization"] == f"Bearer {KEY}"


def test_the_namespace_is_the_keys_own_unless_it_is_given(hub: HuggingFaceServer, tgi: HuggingFaceServer) -> None:
    hub.endpoints["org/mine"] = endpoint_body(tgi.url)
    assert (
        text_of(InferenceEndpointsLLM(endpoint_name="mine", endpoint_namespace="org", api_key=SecretStr(KEY))) == "ok"
    )
    assert [request.path for request in hub.hub_requests] == ["/v2/endpoint/org/mine"]


def test_an_endpoint_is_asked_to_hold_a_request_while_it_wakes(hub: HuggingFaceServer, tgi: HuggingFaceServer) -> None:
    hub.endpoints["me/mine"] = endpoint_body(tgi.url, state="scaledToZero")
    ask(InferenceEndpointsLLM(endpoint_name="mine", api_key=SecretStr(KEY), timeout=90))
    assert tgi.requests[0].headers["x-scale-up-timeout"] == "90"


def test_an_endpoint_that_had_gone_to_sleep_says_so_when_it_fails(
    hub: HuggingFaceServer, tgi: HuggingFaceServer
) -> None:
    from support.provider_server import Reply

    hub.endpoints["me/mine"] = endpoint_body(tgi.url, state="scaledToZero")
    tgi.script(Reply(status=503))
    error = failure(InferenceEndpointsLLM(endpoint_name="mine", api_key=SecretStr(KEY)))
    assert isinstance(error, TransientError)
    assert "scaled to zero" in str(error)


def test_a_paused_endpoint_says_how_to_resume_it(hub: HuggingFaceServer) -> None:
    hub.endpoints["me/mine"] = endpoint_body(None, state="paused")
    error = failure(InferenceEndpointsLLM(endpoint_name="mine", api_key=SecretStr(KEY)))
    assert isinstance(error, BadRequestError)
    assert "hf endpoints resume mine --namespace me" in str(error)


def test_an_endpoint_that_failed_says_where_its_logs_are(hub: HuggingFaceServer) -> None:
    hub.endpoints["me/mine"] = endpoint_body(None, state="failed")
    error = failure(InferenceEndpointsLLM(endpoint_name="mine", api_key=SecretStr(KEY)))
    assert isinstance(error, BadRequestError)
    assert "me/endpoints/mine" in str(error)


def test_an_endpoint_that_is_starting_is_worth_another_attempt(hub: HuggingFaceServer, tgi: HuggingFaceServer) -> None:
    hub.endpoints["me/mine"] = endpoint_body(None, state="initializing")
    llm = InferenceEndpointsLLM(endpoint_name="mine", api_key=SecretStr(KEY))
    error = failure(llm)
    assert isinstance(error, TransientError)
    assert error.retry_after == 15
    hub.endpoints["me/mine"] = endpoint_body(tgi.url)
    assert text_of(llm) == "ok"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, AuthenticationError), (404, BadRequestError), (429, RateLimitError), (500, TransientError)],
)
def test_a_failure_of_the_endpoints_api_is_typed(hub: HuggingFaceServer, status: int, kind: type[Exception]) -> None:
    hub.endpoints["me/mine"] = {"status_code": status, "error": f"no, {KEY}"}
    error = failure(InferenceEndpointsLLM(endpoint_name="mine", api_key=SecretStr(KEY)))
    assert type(error) is kind
    assert KEY not in str(error)


def test_an_endpoints_api_that_is_not_there_is_a_transient_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with huggingface_server() as server:
        point_the_sdk_at(server.url, monkeypatch)
    error = failure(InferenceEndpointsLLM(endpoint_name="mine", endpoint_namespace="me", api_key=SecretStr(KEY)))
    assert isinstance(error, TransientError)


def test_an_endpoint_that_the_sdk_cannot_read_is_a_bad_request(hub: HuggingFaceServer) -> None:
    hub.endpoints["me/mine"] = {"name": "mine"}
    error = failure(InferenceEndpointsLLM(endpoint_name="mine", api_key=SecretStr(KEY)))
    assert isinstance(error, BadRequestError)
