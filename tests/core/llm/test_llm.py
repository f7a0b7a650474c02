"""The base class of backends, and the ways a task's `llm` may be given."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import pytest
from pydantic import Field, SecretStr

from limbeck import LLM, get_llm, register_llm
from limbeck.errors import (
    ConfigurationError,
    MissingCredentialError,
    PluginContractError,
    UnknownNameError,
    did_you_mean,
)
from limbeck.llms import OfflineLLM
from limbeck.testing import EchoLLM, ScriptedLLM, fake_distribution, registry
from support.questions import Ask, processed, response

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from limbeck.types import GenerationRequest, GenerationResponse

SECRET = "sk-never-to-be-seen"


class AcmeLLM(LLM):
    """A gateway in a company, as an author writes it."""

    transport_fields: ClassVar[frozenset[str]] = frozenset({"region"})

    model: str
    base_url: str = "http://gateway.acme/v1"
    region: str = "here"
    api_key: SecretStr | None = None
    other_key: Annotated[SecretStr | None, Field(description="of the proxy")] = None

    @property
    def model_name(self) -> str:
        return f"acme:{self.model}"

    def check_generation_kwargs(self, generation_kwargs: Mapping[str, Any]) -> None:
        for name in generation_kwargs:
            if name not in ("temperature", "top_p"):
                raise ConfigurationError(f"Acme takes no {name!r}.{did_you_mean(name, ['temperature', 'top_p'])}")

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        return response(f"{self.model} at {self.base_url}")


@pytest.fixture(autouse=True)
def acme() -> Iterator[None]:
    """Registers the class for the time of a test."""
    with registry():
        register_llm("acme", AcmeLLM)
        yield


def given(llm: Any) -> Any:
    """What a task makes of the value."""
    return Ask(llm=llm).llm


# The base class


def test_a_class_is_registered_and_found_by_name() -> None:
    assert get_llm("acme") is AcmeLLM


def test_from_model_fills_the_field_model() -> None:
    assert AcmeLLM.from_model("big/one") == AcmeLLM(model="big/one")


def test_from_model_fills_the_field_model_id_where_there_is_no_model() -> None:
    class ById(LLM):
        model_id: str

    assert ById.from_model("org/weights").model_id == "org/weights"


def test_from_model_of_a_class_with_neither_field_says_so() -> None:
    class Neither(LLM):
        deployment: str = ""

    with pytest.raises(ConfigurationError, match="`Neither` cannot be built from the model name 'm'"):
        Neither.from_model("m")


def test_a_backend_that_forgets_its_model_name_is_told_so() -> None:
    class Forgetful(LLM):
        async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
            return response("x")

    with pytest.raises(ConfigurationError, match="`Forgetful` must define the property `model_name`"):
        _ = Forgetful().model_name


def test_an_unknown_field_is_refused_with_what_is_near() -> None:
    with pytest.raises(ConfigurationError, match=r"`AcmeLLM` has no field 'base_ulr'\. Did you mean `base_url`"):
        AcmeLLM(model="m", base_ulr="x")  # type: ignore[call-arg]  # the mistake


@pytest.mark.parametrize(
    "field", ["max_concurrency", "timeout", "deadline", "max_attempts", "breaker_threshold", "rpm", "tpm"]
)
def test_limits_are_positive(field: str) -> None:
    with pytest.raises(ValueError, match=field):
        AcmeLLM.model_validate({"model": "m", field: 0})


def test_generation_kwargs_are_checked_when_the_backend_is_built() -> None:
    assert AcmeLLM(model="m", generation_kwargs={"temperature": 0.1}).generation_kwargs == {"temperature": 0.1}
    with pytest.raises(ConfigurationError, match=r"Acme takes no 'temprature'\. Did you mean `temperature`\?"):
        AcmeLLM(model="m", generation_kwargs={"temprature": 0.1})


def test_a_backend_that_checks_nothing_takes_any_generation_kwargs() -> None:
    assert EchoLLM(generation_kwargs={"anything": 1}).generation_kwargs == {"anything": 1}


def test_generation_kwargs_reach_the_request() -> None:
    llm = ScriptedLLM(script=["x"], generation_kwargs={"temperature": 0.5, "stop": ["\n"]})
    processed(Ask(llm=llm), [{"question": "q"}])
    assert llm.requests[0].parameters == {"temperature": 0.5, "stop": ["\n"]}


def test_the_generation_kwargs_of_a_backend_without_the_base_class_reach_the_request_too() -> None:
    seen: list[Mapping[str, Any]] = []

    class Duck:
        model_name = "duck"
        generation_kwargs: ClassVar[dict[str, Any]] = {"temperature": 0.5}

        async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
            seen.append(request.parameters)
            return response("x")

    processed(Ask(llm=Duck()), [{"question": "q"}])
    assert seen == [{"temperature": 0.5}]


# What identifies it


def test_the_identity_is_all_that_can_change_an_answer() -> None:
    llm = AcmeLLM(model="m", region="there", max_concurrency=3, timeout=5, generation_kwargs={"top_p": 1})
    assert llm.identity == {
        "provider": f"{__name__}:AcmeLLM",
        "model_name": "acme:m",
        "model": "m",
        "base_url": "http://gateway.acme/v1",
    }


def test_the_identity_differs_with_the_model_and_the_base_url_only() -> None:
    plain = AcmeLLM(model="m").identity
    assert AcmeLLM(model="m", rpm=3, tpm=4, deadline=1, max_attempts=1, breaker_threshold=1).identity == plain
    assert AcmeLLM(model="m", api_key=SecretStr(SECRET)).identity == plain
    assert AcmeLLM(model="n").identity != plain
    assert AcmeLLM(model="m", base_url="http://elsewhere").identity != plain


def test_a_secret_is_in_no_repr_identity_or_configuration() -> None:
    llm = AcmeLLM(model="m", api_key=SecretStr(SECRET), other_key=SecretStr(SECRET))
    task = Ask(llm=llm)
    shown = [
        repr(llm),
        str(llm),
        json.dumps(llm.identity),
        llm.model_dump_json(),
        repr(task),
        task.model_dump_json(),
        str(task.model_dump()),
    ]
    assert [SECRET in text for text in shown] == [False] * len(shown)
    assert task.model_dump()["llm"] == {"provider": "acme", "model": "m"}


@pytest.mark.parametrize(
    "fields",
    [{}, {"model": "m", "api_key": [SECRET]}, {"model": "m", "timeout": SECRET}],
    ids=["a field is missing", "the key has the wrong type", "the key is in the wrong field"],
)
def test_a_secret_is_in_no_error_about_the_fields(fields: dict[str, Any]) -> None:
    config = {"api_key": SECRET, **fields}
    with pytest.raises(ValueError, match="1 validation error") as caught:
        AcmeLLM(**config)
    assert SECRET not in str(caught.value)
    with pytest.raises(ValueError, match="validation error") as caught:
        Ask(llm={"provider": "acme", **config}, num_generations=0)
    assert SECRET not in str(caught.value)


# A string


def test_a_string_splits_at_its_first_slash_into_provider_and_model() -> None:
    assert given("acme/m") == AcmeLLM(model="m")
    assert given("acme/org/m:v1/x") == AcmeLLM(model="org/m:v1/x")


def test_a_string_makes_a_task_that_answers() -> None:
    (row,) = processed(Ask(llm="acme/big"), [{"question": "q"}])
    assert (row["answer"], row["model_name"]) == ("big at http://gateway.acme/v1", "acme:big")


def test_a_provider_alone_will_do_where_it_needs_no_model() -> None:
    assert given("offline") == OfflineLLM()


@pytest.mark.parametrize("text", ["acme", "acme/"])
def test_a_provider_alone_that_needs_a_model_says_what_to_write(text: str) -> None:
    with pytest.raises(ConfigurationError, match=f"The LLM '{text}' names no model; write 'acme/<model>'"):
        given(text)


def test_an_unknown_provider_is_refused_with_what_is_near() -> None:
    with pytest.raises(UnknownNameError, match=r"There is no llm named 'acne'\. Did you mean `acme`"):
        given("acne/m")


def test_a_class_may_build_itself_from_the_models_name() -> None:
    class Deployed(AcmeLLM):
        @classmethod
        def from_model(cls, model: str) -> Deployed:
            name, _, region = model.partition("@")
            return cls(model=name, region=region)

    register_llm("deployed", Deployed)
    assert given("deployed/m@moon") == Deployed(model="m", region="moon")


def test_a_class_without_the_base_class_is_built_with_the_model() -> None:
    class Duck:
        def __init__(self, model: str) -> None:
            self.model_name = model

        async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
            return response("x")

    register_llm("duck", Duck)
    assert given("duck/quack").model_name == "quack"


def test_an_error_while_a_provider_is_built_is_its_own() -> None:
    class NoKey(AcmeLLM):
        model: str = ""

        def model_post_init(self, _context: Any, /) -> None:
            raise MissingCredentialError(needed_by="`NoKey`", variable="ACME_KEY")

    register_llm("no-key", NoKey)
    with pytest.raises(MissingCredentialError, match="ACME_KEY"):
        given("no-key")


GATEWAY = """
from limbeck import LLM
from limbeck.types import Generation, GenerationResponse

class Gateway(LLM):
    model: str = "default"

    @property
    def model_name(self):
        return self.model

    async def agenerate(self, request):
        return GenerationResponse(generations=[Generation(text=self.model)])
"""


def test_a_declared_qualified_name_takes_the_first_two_segments(tmp_path: Path) -> None:
    names = {"limbeck.llms": {"gateway": "acme_gateway:Gateway"}}
    with fake_distribution(tmp_path, "acme-llms", entry_points=names, modules={"acme_gateway": GATEWAY}):
        for text, model in [
            ("acme-llms/gateway/org/m", "org/m"),
            ("acme-llms/gateway", "default"),
            ("gateway/acme-llms/gateway", "acme-llms/gateway"),
            ("gateway", "default"),
        ]:
            llm = given(text)
            assert (type(llm).__name__, llm.model) == ("Gateway", model)


# A mapping


def test_a_mapping_names_the_provider_and_the_fields() -> None:
    assert given({"provider": "acme", "model": "m", "max_concurrency": 2}) == AcmeLLM(model="m", max_concurrency=2)


def test_a_mapping_may_name_the_model_with_the_provider() -> None:
    assert given({"provider": "acme/org/m", "region": "there"}) == AcmeLLM(model="org/m", region="there")


def test_a_mapping_may_name_the_provider_in_its_qualified_form(tmp_path: Path) -> None:
    names = {"limbeck.llms": {"gateway": "acme_gateway:Gateway"}}
    with fake_distribution(tmp_path, "acme-llms", entry_points=names, modules={"acme_gateway": GATEWAY}):
        assert given({"provider": "acme-llms/gateway", "model": "m"}).model == "m"
        assert given({"provider": "acme-llms/gateway/m", "timeout": 3}).model == "m"


def test_a_mapping_is_left_as_it_was() -> None:
    config = {"provider": "acme", "model": "m"}
    given(config)
    assert config == {"provider": "acme", "model": "m"}


@pytest.mark.parametrize("config", [{"model": "m"}, {}, {"provider": None, "model": "m"}])
def test_a_mapping_without_a_provider_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="needs the key `provider`"):
        given(config)


def test_a_field_of_a_mapping_that_the_provider_does_not_have_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="`AcmeLLM` has no field 'modle'"):
        given({"provider": "acme", "modle": "m"})


@pytest.mark.parametrize(
    "llm",
    [
        AcmeLLM(model="m"),
        AcmeLLM(
            model="m", base_url="http://x", generation_kwargs={"top_p": 0.5}, max_concurrency=2, timeout=1.5, rpm=10
        ),
    ],
    ids=["the least", "all kinds of fields"],
)
def test_the_configuration_of_a_tasks_llm_makes_an_equal_one(llm: AcmeLLM) -> None:
    config = json.loads(Ask(llm=llm).model_dump_json())["llm"]
    assert given(config) == llm


def test_the_configuration_holds_only_the_fields_that_were_set() -> None:
    assert Ask(llm="acme/m").model_dump()["llm"] == {"provider": "acme", "model": "m"}


def test_the_configuration_of_a_class_without_a_name_is_its_path() -> None:
    class Nameless(AcmeLLM):
        pass

    path = f"{__name__}:test_the_configuration_of_a_class_without_a_name_is_its_path.<locals>.Nameless"
    assert Ask(llm=Nameless(model="m")).model_dump()["llm"] == {"provider": path, "model": "m"}


# An object


def test_an_object_is_taken_as_it_is() -> None:
    llm = AcmeLLM(model="m")
    assert given(llm) is llm


def test_a_class_in_place_of_an_instance_is_refused_with_the_remedy() -> None:
    with pytest.raises(
        ConfigurationError, match=r"`llm` was given the class `AcmeLLM`; give it an instance, `AcmeLLM\(…\)`"
    ):
        given(AcmeLLM)


@pytest.mark.parametrize("value", [None, 3, object()])
def test_what_has_none_of_the_methods_is_refused(value: Any) -> None:
    with pytest.raises(PluginContractError, match="cannot be used as an LLM"):
        given(value)
