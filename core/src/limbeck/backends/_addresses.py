"""The addresses that a backend is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote_plus, urlencode, urlsplit

from ..errors import ConfigurationError
from ._secrets import is_secret_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import SecretStr

_LONG = 8  # characters: a shorter value may be a part of any message
_RANDOM = 20  # characters of a value that looks like a key, whatever its name is
_IN_A_QUERY = "!$%&'()*+,/:;=?@[]"


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
        return cls(f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}", _quoted(parts.query))

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
        return self if given is None else ServerAddress(self.url, _quoted(given.get_secret_value().strip().lstrip("?")))

    @property
    def secrets(self) -> list[str]:
        """The query's values that no message may show, as they were given and decoded: long ones, and secrets."""
        return [form for name, *forms in self._values() for form in forms if not name or len(forms[0]) >= _LONG]

    @property
    def certain_secrets(self) -> list[str]:
        """Those of them that can be nothing else: long ones with a secret's name, with none, or that look random."""
        return [
            form
            for name, *forms in self._values()
            for form in forms
            if len(forms[0]) >= _LONG and (not name or _looks_random(forms[0]))
        ]

    def _values(self) -> Iterator[tuple[str, str, str]]:
        """Each value's name, empty for a secret's, and the value decoded and as it was given."""
        for part in filter(None, self.query.split("&")):
            given, equals, raw = part.partition("=")
            name, value = (given, raw) if equals else ("", given)
            yield "" if is_secret_name(name) else name, unquote_plus(value, errors="surrogateescape"), value

    @property
    def identity(self) -> dict[str, Any]:
        """The query's part in `LLM.identity`: a digest of the values that have no secret's name."""
        plain = [(name, value) for name, value in parse_qsl(self.query, True) if not is_secret_name(name)]
        if not plain:
            return {}
        return {"url_query": blake2b(urlencode(sorted(plain)).encode(), digest_size=8).hexdigest()}


def _quoted(query: str) -> str:
    """A query with what no URL can hold quoted; what is quoted already stays."""
    return quote(query, safe=_IN_A_QUERY)


def _looks_random(value: str) -> bool:
    kinds = (str.isdigit, str.isupper, str.islower)
    return len(value) >= _RANDOM and all(any(map(kind, value)) for kind in kinds)
