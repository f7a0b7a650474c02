"""The addresses that a backend is given."""

from __future__ import annotations

from urllib.parse import urlsplit

from limbeck.errors import ConfigurationError


def checked_url(url: str, *, name: str) -> str:
    """`url` without its last slash.

    Args:
        url: a server's address.
        name: what it was given as, for the message.

    Raises:
        ConfigurationError: it is not an HTTP URL, holds credentials, or names an endpoint.
    """
    shown = url.rpartition("@")[2]
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"{name} must be a URL such as 'http://localhost:8000/v1', not {shown!r}.")
    if parts.username or parts.password:
        raise ConfigurationError(f"{name} holds a user name or a password, and it is stored with a run. Use `api_key`.")
    if parts.path.rstrip("/").endswith("/chat/completions"):
        raise ConfigurationError(f"{name} must stop before `/chat/completions`, which is added to it; it is {shown!r}.")
    return url.rstrip("/")
