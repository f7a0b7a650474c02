"""The addresses that a backend is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, quote_plus, urlencode, urlsplit

from ..errors import ConfigurationError
from ._secrets import is_secret_name

if TYPE_CHECKING:
    from pydantic import SecretStr

_LONG = 8  # characters: a shorter value may be a part of any message


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """A server's address, taken apart.

    Attributes:
        url: without a last slash and without a query: it may be shown and stored.
        query: what stood behind its `?`, which may hold a secret: it is sent, and neither shown nor stored.
    """

    url: str
    query: str = field(default="", repr=False)

    @classmethod
    def of(cls, url: str, *, name: str, example: str) -> ServerAddress:
        """Take `url` apart.

        Args:
            url: an address. name: what it was given as. example: one that is right, for the message.

        Raises:
            ConfigurationError: it is no HTTP address, or holds a user name or a password.
        """
        shown = url.partition("?")[0].partition("#")[0].rpartition("@")[2]
        try:
            parts = urlsplit(url.strip())
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable or any(character.isspace() or not character.isprintable() for character in url.strip()):
            raise ConfigurationError(f"{name} must be a URL such as {example!r}, not {shown!r}.")
        if "@" in parts.netloc:
            raise ConfigurationError(
                f"{name} holds a user name or a password, and it is stored with a run. Take it out; use `api_key`."
            )
        return cls(f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}", parts.query)

    def query_beside(self, given: SecretStr | None, *, name: str) -> SecretStr:
        """This address's query, for the field `url_query`.

        Args:
            given: the field. name: what the address was given as.

        Raises:
            ConfigurationError: there are two, and they differ.
        """
        if given is not None and self.with_query(given) != self:
            raise ConfigurationError(f"There is a query in {name} and another in `url_query`. Keep one of them.")
        from pydantic import SecretStr

        return SecretStr(self.query)

    def with_query(self, given: SecretStr | None) -> ServerAddress:
        """This address with the query of the field `url_query`, where that has one."""
        return self if given is None else ServerAddress(self.url, given.get_secret_value().strip().lstrip("?"))

    @property
    def secrets(self) -> list[str]:
        """What of the query no message may show: what has a secret's name, and what is long, as sent and as meant."""
        pairs = parse_qsl(self.query)
        hidden = [value for name, value in pairs if is_secret_name(name) or len(value) >= _LONG]
        return [form for value in hidden for form in (value, quote_plus(value), quote(value))]

    @property
    def identity(self) -> dict[str, Any]:
        """What of the query tells servers apart, for `LLM.identity`: a digest of what is no secret by its name."""
        plain = [(name, value) for name, value in parse_qsl(self.query, True) if not is_secret_name(name)]
        if not plain:
            return {}
        return {"url_query": blake2b(urlencode(sorted(plain)).encode(), digest_size=8).hexdigest()}
