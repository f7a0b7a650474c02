"""Variables that HTTP clients read, and that no client could use."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from limbeck.backends import check_environment
from limbeck.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

SERVER = "https://api.example.com/v1"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.lower().endswith("_proxy") or name.startswith(("SSL_CERT", "REQUESTS_CA")):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "https_proxy", "ALL_PROXY"])
@pytest.mark.parametrize(
    "value", ["not a url", "http://", "ftp://h:1", "socks4://h", "http://h:99999", "http://h:0", "http://[::1", "://"]
)
def test_a_proxy_that_is_no_url_is_named_and_its_remedy(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=f"`{variable}` holds no URL of a proxy.* or unset it"):
        check_environment(SERVER)


@pytest.mark.parametrize("value", ["", "http://proxy:3128", "proxy.example.com:3128", "http://a:b@[::1]:80/", "proxy"])
def test_a_proxy_that_can_be_used_is_left_alone(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(variable, value)
    check_environment(SERVER)


def test_no_proxy_is_looked_at_where_none_is_to_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "not a url")
    monkeypatch.setenv("NO_PROXY", "a, *")
    check_environment(SERVER)


def test_the_password_of_a_proxy_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "ftp://me:TOPSECRET@h:1")
    with pytest.raises(ConfigurationError) as caught:
        check_environment(SERVER)
    assert "TOPSECRET" not in str(caught.value)


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY"])
def test_a_socks_proxy_is_named_where_the_client_can_use_none_or_lacks_its_package(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "socks5h://h:1")
    with pytest.raises(ConfigurationError, match=f"`{variable}` names a SOCKS proxy.* can use none"):
        check_environment(SERVER)
    with pytest.raises(ConfigurationError, match=r"needs the package `no_such_package`\. Run: pip install"):
        check_environment(SERVER, socks="no_such_package")
    check_environment(SERVER, socks="json")


def test_a_socks_proxy_that_the_server_is_not_reached_through_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "socks5://h:1")
    check_environment(SERVER)
    monkeypatch.setenv("ALL_PROXY", "socks5://h:1")
    monkeypatch.setenv("NO_PROXY", "example.com")
    check_environment(SERVER)


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"])
def test_certificates_that_are_not_there_are_named(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "/nowhere/at/all")
    with pytest.raises(ConfigurationError, match=f"`{variable}` names '/nowhere/at/all'.* or unset it"):
        check_environment(SERVER)


def test_a_file_without_certificates_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for content in ("", "no certificate"):
        (tmp_path / "a.pem").write_text(content)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "a.pem"))
        with pytest.raises(ConfigurationError, match="SSL_CERT_FILE"):
            check_environment(SERVER)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path))
    with pytest.raises(ConfigurationError, match="SSL_CERT_FILE"):
        check_environment(SERVER)


@pytest.mark.parametrize("value", ["X-A: \u00e9", "\u00e9: a", "X A: b", "X-A: a\nb", "X-A: a\rb", ": a", "X-A"])
def test_headers_that_cannot_be_sent_are_named_by_their_line(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_HEADERS", f"X-Good: 1\n{value}")
    with pytest.raises(ConfigurationError, match=r"Line [23] of the environment variable `ACME_HEADERS`"):
        check_environment(SERVER, headers="ACME_HEADERS")


@pytest.mark.parametrize("value", ["", "\n", "X-A: b", "X-A:b: c\r\nX-B:\n"])
def test_headers_that_can_be_sent_are_left_alone(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_HEADERS", value)
    check_environment(SERVER, headers="ACME_HEADERS")
