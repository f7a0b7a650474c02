"""The key of a request: the same for the same question, in whatever process; another for another."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from limbeck import LLM
from limbeck._engine.calls import keys
from limbeck._engine.calls.keys import Keyring, canonical, identity_of
from limbeck.errors import RowError
from limbeck.types import GenerationRequest
from support.asking import request

IDENTITY = {"provider": "acme", "model_name": "m", "base_url": "https://acme.example/v1"}

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


def key(messages: Any = None, *, identity: Any = None, **fields: Any) -> bytes:
    """The key of a request, from a new keyring."""
    made = GenerationRequest(messages=messages or [{"role": "user", "content": "hi"}], **fields)
    return Keyring(IDENTITY if identity is None else identity).key(made)


def user(content: Any) -> Any:
    return [{"role": "user", "content": content}]


def test_a_key_never_changes_within_a_version() -> None:
    assert keys.VERSION == 1
    assert key(parameters={"temperature": 0.5}, output_schema={"type": "object"}).hex() == KNOWN


KNOWN = "8dac6ce43ce45be2814a804c927ed37b"


@pytest.mark.parametrize("seed", ["0", "1", "4711"])
def test_a_key_is_the_same_in_every_process(seed: str) -> None:
    program = (
        "from limbeck._engine.calls.keys import Keyring\nfrom limbeck.types import GenerationRequest\n"
        f"identity = dict(sorted({IDENTITY!r}.items(), key=hash))\n"
        "parameters = {name: name for name in {'a', 'b', 'c', 'd', 'e'}}\n"
        "request = GenerationRequest(messages=[{'content': 'é', 'role': 'user'}], parameters=parameters)\n"
        "print(Keyring(identity).key(request).hex())"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, check=True, capture_output=True, text=True
    )
    parameters = {name: name for name in "abcde"}
    assert said.stdout.strip() == key(user("é"), parameters=parameters).hex()


@given(value=JSON, seed=st.integers())
def test_the_order_in_which_a_dict_was_made_does_not_matter(value: Any, seed: int) -> None:
    assert canonical(shuffled(value, random.Random(seed))) == canonical(value)


def shuffled(value: Any, rng: random.Random) -> Any:
    if isinstance(value, list):
        return [shuffled(each, rng) for each in value]
    if isinstance(value, dict):
        names = list(value)
        rng.shuffle(names)
        return {name: shuffled(value[name], rng) for name in names}
    return value


@given(first=JSON, second=JSON)
def test_different_messages_have_different_keys_and_equal_ones_the_same(first: Any, second: Any) -> None:
    same = json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)
    assert (key(user(first)) == key(user(second))) == same


@given(first=st.lists(st.text(), min_size=1, max_size=4), second=st.lists(st.text(), min_size=1, max_size=4))
def test_where_one_message_ends_and_the_next_begins_is_part_of_the_key(first: list[str], second: list[str]) -> None:
    chats: list[Any] = [[{"role": "user", "content": text} for text in texts] for texts in (first, second)]
    assert (key(chats[0]) == key(chats[1])) == (first == second)


@given(parts=st.tuples(JSON, JSON, JSON), others=st.tuples(JSON, JSON, JSON))
def test_what_is_a_parameter_is_not_taken_for_a_schema_or_a_message(parts: Any, others: Any) -> None:
    def of(values: Any) -> bytes:
        return key(user(values[0]), parameters={"p": values[1]}, output_schema={"s": values[2]})

    same = [json.dumps(each, sort_keys=True) for each in parts] == [json.dumps(each, sort_keys=True) for each in others]
    assert (of(parts) == of(others)) == same


@pytest.mark.parametrize(
    "other",
    [
        {"identity": {**IDENTITY, "base_url": "https://other.example/v1"}},
        {"identity": {**IDENTITY, "model_name": "n"}},
        {"identity": {**IDENTITY, "provider": "other"}},
        {"identity": {**IDENTITY, "seed": 1}},
        {"parameters": {"temperature": 0.5}},
        {"parameters": {"temperature": 0}},
        {"output_schema": {"type": "object"}},
        {"output_schema": {}},
        {"messages": [{"role": "system", "content": "Be brief."}, *user("hi")]},
        {"messages": [{"role": "system", "content": "hi"}]},
        {"messages": user("hi ")},
        {"messages": user([{"type": "text", "text": "hi"}])},
    ],
    ids=str,
)
def test_everything_that_can_change_an_answer_changes_the_key(other: Any) -> None:
    assert key(**other) != key()


def test_how_many_answers_are_wanted_does_not_change_the_key() -> None:
    assert key(num_generations=3) == key(num_generations=1)


def test_texts_that_look_alike_are_different() -> None:
    alike = ["é", "e\u0301", "\u00a0", " ", "", "\x00", "\ud800", "\udc00", "\ufffd", "null", "\\n", "\n"]
    assert len({key(user(text)) for text in alike}) == len(alike)


def test_a_lone_surrogate_has_a_key() -> None:
    assert canonical("\ud800") == b'"\xed\xa0\x80"'


def test_a_keyring_serves_requests_of_different_parameters_and_schemas_in_any_order() -> None:
    ring = Keyring(IDENTITY)
    requests = [
        GenerationRequest(messages=user("hi"), parameters=parameters, output_schema=schema)
        for parameters in ({}, {"temperature": 1})
        for schema in (None, {"type": "object"}, {"type": "string"})
    ]
    expected = [Keyring(IDENTITY).key(each) for each in requests]
    assert [ring.key(each) for each in [*requests, *reversed(requests)]] == [*expected, *reversed(expected)]
    assert len(set(expected)) == 6


@pytest.mark.parametrize("text", ["hi", "ho"])
def test_asking_for_a_key_leaves_no_trace_in_the_next(text: str) -> None:
    ring = Keyring(IDENTITY)
    ring.key(request("something else"))
    assert ring.key(request(text)) == Keyring(IDENTITY).key(request(text))


class Circle(list[Any]):
    def __init__(self) -> None:
        self.append(self)


@pytest.mark.parametrize(
    "value",
    [
        b"bytes",
        {1, 2},
        object(),
        {("a", "b"): 1},
        float("nan"),
        float("inf"),
        Circle(),
        SecretStr("sk"),
        {"a": 1, 2: 3},
    ],
    ids=["bytes", "set", "object", "tuple as a key", "nan", "infinity", "circle", "secret", "keys of two types"],
)
def test_what_json_cannot_hold_is_an_error_of_the_row(value: Any) -> None:
    with pytest.raises(RowError, match=r"The request cannot be written as JSON: .+\."):
        key(user(value))


def test_what_json_cannot_hold_among_the_parameters_is_an_error_of_the_row_each_time() -> None:
    ring = Keyring(IDENTITY)
    made = GenerationRequest(messages=user("hi"), parameters={"stop": {1, 2}})
    for _ in range(2):
        with pytest.raises(RowError, match="set is not JSON serializable"):
            ring.key(made)


def test_a_very_deep_value_is_an_error_of_the_row_and_not_of_the_interpreter() -> None:
    value: Any = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(RowError, match="recursion"):
        key(user(value))


# Who is asked


class Acme(LLM):
    model: str = "m"
    base_url: str = "https://acme.example"
    region: str = "eu"
    api_key: SecretStr | None = None
    transport_fields = frozenset({"region"})

    @property
    def model_name(self) -> str:
        return self.model


@pytest.mark.parametrize(
    "transport",
    [
        {"timeout": 5.0},
        {"deadline": 5.0},
        {"max_concurrency": 1},
        {"rpm": 5},
        {"tpm": 5},
        {"max_attempts": 1},
        {"breaker_threshold": 1},
        {"region": "us"},
        {"api_key": "sk-another"},
    ],
    ids=str,
)
def test_what_only_concerns_transport_is_no_part_of_the_identity(transport: Any) -> None:
    assert identity_of(Acme(**transport)) == identity_of(Acme())


@pytest.mark.parametrize("field", [{"model": "n"}, {"base_url": "https://other.example"}], ids=str)
def test_every_other_field_is_a_part_of_the_identity(field: Any) -> None:
    assert identity_of(Acme(**field)) != identity_of(Acme())


def test_a_class_of_the_same_fields_in_another_place_is_another_identity() -> None:
    class Other(Acme):
        pass

    assert identity_of(Other()) != identity_of(Acme())


def test_without_an_identity_of_its_own_a_backend_is_its_class_and_its_models_name() -> None:
    class Duck:
        model_name = "duck"

    assert identity_of(Duck()) == {
        "provider": f"{__name__}:{Duck.__qualname__}",
        "model_name": "duck",
    }
