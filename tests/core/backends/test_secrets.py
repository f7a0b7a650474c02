"""Keys and addresses: what is sent, and what is shown."""

from __future__ import annotations

import html
import json
import pickle
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

import pytest
from pydantic import SecretStr

from limbeck.backends import Secrets, ServerAddress, find_key, is_secret_name, refuse_secrets
from limbeck.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("the key my-long-key-1 is bad", "the key [redacted] is bad"),
        ("my-long-key-12", "[redacted]2"),
        ("key abc; abcd", "key [redacted]; abcd"),
        ("sk-proj-abc123 and hf_abcdefgh12", "[redacted] and [redacted]"),
        ("Authorization: Bearer whatever", "Authorization: Bearer [redacted]"),
        ("nothing", "nothing"),
    ],
)
def test_what_is_secret_or_looks_it_is_taken_out(text: str, shown: str) -> None:
    assert Secrets("my-long-key-1", "abc", "").redact(text) == shown


ODD = "TOP+SEC=RE%T!'()*,;:@$&\"<>\\/ é\U0001f600x"
QUOTINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "URL": quote,
    "URL, but for some": lambda text: quote(text, safe="!'()*,;:@$"),
    "query": quote_plus,
    "HTML": html.escape,
    "JSON": json.dumps,
    "JSON in UTF-8": lambda text: json.dumps(text, ensure_ascii=False),
    "Python": repr,
    "Python's bytes": lambda text: repr(text.encode()),
}


@pytest.mark.parametrize("second", QUOTINGS)
@pytest.mark.parametrize("first", QUOTINGS)
def test_a_secret_is_found_in_whatever_two_ways_it_is_quoted(first: str, second: str) -> None:
    said = Secrets(ODD).hide(f"before {QUOTINGS[second](QUOTINGS[first](ODD))} after")
    assert not any(part in said for part in ("TOP", "SEC", "RE"))
    assert said.startswith("before ")
    assert said.endswith(" after")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at http://h/v1?token=part-of-it&x=1", "at http://h/v1?token=[redacted]&x=1"),
        ("GET /v1?a=1&amp;sig=abc HTTP", "GET /v1?a=1&amp;sig=[redacted] HTTP"),
        ("key=value and max_tokens=5", "key=value and max_tokens=5"),
    ],
)
def test_a_value_with_a_secrets_name_in_a_url_is_taken_out(text: str, shown: str) -> None:
    assert Secrets().redact(text) == shown
    assert Secrets().hide(text) == text


def test_a_long_secret_is_compiled_and_looked_for_in_no_time() -> None:
    secret = "aB3-x_z." * 1000 + "+/=="
    assert Secrets(secret).hide("aB3-x_z. & % " * 20_000 + secret).endswith("[redacted]")


def test_a_secret_in_a_cause_is_found() -> None:
    error = RuntimeError("no")
    error.__cause__ = ValueError("my-long-key-1")
    assert Secrets("my-long-key-1").show_in(error)
    assert not Secrets("another-key").show_in(error)


def test_a_key_is_the_given_one_or_that_of_the_first_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_ONE", " \n")
    monkeypatch.setenv("ACME_TWO", "two\n")
    assert find_key("one", "ACME_TWO") == "one"
    assert find_key(None, "ACME_ONE", "ACME_TWO") == "two"
    assert find_key("", "ACME_ONE") is None


@pytest.mark.parametrize("odd", ["a b", "a\nb", "a\u2013b", "a\u200bb", "\ufeffab", "a\x01b", "aäb"])
def test_a_key_that_no_header_can_hold_is_refused_by_name_and_not_shown(
    odd: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_KEY", odd)
    with pytest.raises(ConfigurationError, match="`ACME_KEY`") as caught:
        find_key(None, "ACME_KEY")
    assert odd not in str(caught.value)
    with pytest.raises(ConfigurationError, match="`token`"):
        find_key(odd, field="token")


@pytest.mark.parametrize(
    "name", ["X-Api-Key", "apiKey", "access_token", "TOKEN", "key", "sig", "Set-Cookie", "db_password"]
)
def test_a_name_of_a_secret_is_known(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["max_tokens", "stop_token", "prompt_cache_key", "author", "tokenizer", "monkey", "x", ""]
)
def test_a_name_that_only_looks_like_one_is_left_alone(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize("value", [None, 5, True, "", {"type": "string"}], ids=repr)
def test_what_is_no_text_is_no_secret(value: Any) -> None:
    refuse_secrets({"extra_body": {"password": value}}, owner="AcmeLLM", remedy="")


@pytest.mark.parametrize(
    ("given", "url", "query"),
    [
        ("http://host/v1", "http://host/v1", ""),
        ("http://host/v1/", "http://host/v1", ""),
        ("http://host/v1?a=1&token=x", "http://host/v1", "a=1&token=x"),
        ("http://host?token=x/y", "http://host", "token=x/y"),
        (" http://host/v1/?a=1#top\n", "http://host/v1", "a=1"),
        ("http://[::1]:80/v1", "http://[::1]:80/v1", ""),
    ],
)
def test_an_address_is_taken_apart(given: str, url: str, query: str) -> None:
    address = ServerAddress.of(given, name="`base_url`", example="http://x")
    assert (address.url, address.query) == (url, query)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "host/v1",
        "ftp://host",
        "http://",
        "http:///v1",
        "http://a:b@host",
        "http://a@host?token=T",
        "http://h\n.x",
        "http://h:99999",
    ],
)
def test_what_is_no_address_is_refused_without_its_query(url: str) -> None:
    with pytest.raises(ConfigurationError, match="`base_url`") as caught:
        ServerAddress.of(url + "?token=TOPSECRET", name="`base_url`", example="http://x")
    assert "TOPSECRET" not in str(caught.value)


def test_the_secrets_of_a_query_are_its_long_and_its_secret_values_decoded_and_as_given() -> None:
    address = ServerAddress("http://host", "token=a%2Fb&tenant=acme-corp&mode=x&plain-secret-1&k=Ab3dEf6hIj9lMn2pQr5t")
    plain = ["plain-secret-1", "Ab3dEf6hIj9lMn2pQr5t"]
    assert set(address.secrets) == {"a/b", "a%2Fb", "acme-corp", *plain}
    assert set(address.certain_secrets) == set(plain)


@pytest.mark.parametrize(
    ("given", "query"), [("token=a#b", "token=a%23b"), ("?token=a b", "token=a%20b"), ("t=%2F", "t=%2F")]
)
def test_what_no_url_can_hold_is_quoted_in_a_query(given: str, query: str) -> None:
    assert ServerAddress("http://host").with_query(SecretStr(given)).query == query


def test_an_address_shows_no_query() -> None:
    address = ServerAddress("http://host", "token=TOPSECRET")
    assert "TOPSECRET" not in repr(address)
    assert pickle.loads(pickle.dumps(address)) == address
