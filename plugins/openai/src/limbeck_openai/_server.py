"""OpenAI's server or a compatible one, as the backends of all kinds reach it: address, key, account, client."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from limbeck.backends import ServerAddress, check_environment, find_key
from limbeck.errors import MissingCredentialError

from ._sdk import CUSTOM_HEADERS, account, import_sdk
from ._url import checked_address

if TYPE_CHECKING:
    from pydantic import SecretStr

    from ._chat import Chat

_OPENAI = "https://api.openai.com/v1"
# The SDK insists on a key; servers of one's own mostly want none.
_NO_KEY = "no-key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What the fields of a backend say of its server.

    Attributes:
        owner: the backend's class, for messages. The others are fields of `OpenAILLM`.
    """

    owner: str
    base_url: str | None
    api_key: SecretStr | None
    organization: str | None
    project: str | None
    url_query: SecretStr | None

    @classmethod
    def of(cls, model: Any) -> Server:
        """The server of a backend that has these fields."""
        return cls(
            owner=type(model).__name__,
            base_url=model.base_url,
            api_key=model.api_key,
            organization=model.organization,
            project=model.project,
            url_query=model.url_query,
        )

    def check(self) -> None:
        """Check that the SDK and a key are there. No network.

        Raises:
            MissingDependencyError: the SDK, or its aiohttp extra, is not installed.
            MissingCredentialError: there is no key, and the server is OpenAI's.
            ConfigurationError: an environment variable for proxies, certificates or headers cannot be used.
        """
        import_sdk()
        self.key()
        self.account()
        check_environment(self.address().url, headers=CUSTOM_HEADERS)

    def address(self) -> ServerAddress:
        """The address of the server, with the query in effect."""
        from_environment = os.environ.get("OPENAI_BASE_URL", "").strip()
        if self.base_url is not None or not from_environment:
            address = ServerAddress(self.base_url or _OPENAI)
        else:
            address = checked_address(from_environment, name="`OPENAI_BASE_URL`")
        return address.with_query(self.url_query)

    @property
    def is_openai(self) -> bool:
        """True if it is OpenAI's own."""
        host = urlsplit(self.address().url).hostname or ""
        return host == "api.openai.com" or host.endswith(".api.openai.com")

    @property
    def identity(self) -> dict[str, Any]:
        """What of it identifies an answer."""
        address = self.address()
        return {"base_url": address.url, **address.identity}

    def account(self) -> tuple[str | None, str | None]:
        """The organization and the project, which travel as headers."""
        return account(self.organization, self.project)

    def key(self) -> str:
        """The key.

        Raises:
            MissingCredentialError: there is none, and the server is OpenAI's.
        """
        if key := find_key(self.api_key.get_secret_value() if self.api_key else None, "OPENAI_API_KEY"):
            return key
        if self.is_openai:
            raise MissingCredentialError(needed_by=f"`{self.owner}`", variable="OPENAI_API_KEY")
        return _NO_KEY

    def connect(self, *, connections: int, timeout: float, max_response_bytes: int) -> Chat:
        """A client."""
        import_sdk()
        import openai

        from ._chat import Chat, http_client, timeouts

        address, key = self.address(), self.key()
        check_environment(address.url, headers=CUSTOM_HEADERS)
        organization, project = self.account()
        client = openai.AsyncOpenAI(
            api_key=key,
            base_url=address.url,
            organization=organization,
            project=project,
            max_retries=0,
            timeout=timeouts(timeout),
            http_client=http_client(
                address, connections=connections, timeout=timeout, max_response_bytes=max_response_bytes
            ),
        )
        secrets = [*address.secrets, *([] if key == _NO_KEY else [key])]
        return Chat(client, server=urlsplit(address.url).netloc, secrets=secrets)


def place_query(model: Any) -> None:
    """Move what stands behind the `?` of a backend's `base_url` to its `url_query`, which is kept as a key is."""
    if model.base_url is not None:
        address = checked_address(model.base_url, name="`base_url`")
        model.base_url = address.url
        if address.query:
            model.url_query = address.query_beside(model.url_query, name="`base_url`")
