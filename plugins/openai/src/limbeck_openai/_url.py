"""The addresses that a backend is given."""

from __future__ import annotations

from limbeck.backends import ServerAddress
from limbeck.errors import ConfigurationError


def checked_address(url: str, *, name: str) -> ServerAddress:
    """The address of a server.

    Args:
        url: a server's address. name: what it was given as, for the message.

    Raises:
        ConfigurationError: it is not an HTTP URL, holds credentials, or names an endpoint.
    """
    address = ServerAddress.of(url, name=name, example="http://localhost:8000/v1")
    if address.url.endswith("/chat/completions"):
        raise ConfigurationError(
            f"{name} must stop before `/chat/completions`, which is added to it; it is {address.url!r}."
        )
    return address
