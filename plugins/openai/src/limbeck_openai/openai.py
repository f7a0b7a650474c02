"""OpenAI, and every server that speaks its chat-completions API."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from pydantic import Field, PositiveInt, PrivateAttr, SecretStr

from limbeck import LLM
from limbeck.backends import ClientPerLoop, ServerAddress, check_environment, find_key
from limbeck.errors import MissingCredentialError
from limbeck.types import BatchLimits, Capabilities

from ._media import check_media
from ._request import batch_entry, chat_query, check_parameters
from ._sdk import CUSTOM_HEADERS, account, import_sdk
from ._url import checked_address

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from limbeck.errors import GenerationError
    from limbeck.types import BatchIntent, BatchSearch, BatchStatus, GenerationRequest, GenerationResponse

    from ._batches import Batches
    from ._chat import Chat  # noqa: TC004 - pydantic leaves the type of a private attribute alone
    from ._request import ChatQuery

_OPENAI = "https://api.openai.com/v1"
# The SDK insists on a key; servers of one's own mostly want none.
_NO_KEY = "no-key"


class OpenAILLM(LLM):
    """A model behind OpenAI's chat-completions API, at OpenAI or at a compatible server.

    Several answers come from one request (`n`), and an output schema is enforced by the server
    (`response_format`), in strict mode where the schema allows it.

    Example:
        >>> OpenAILLM(model="gpt-5-mini").model_name
        'gpt-5-mini'
        >>> OpenAILLM(model="Qwen/Qwen3-8B", base_url="http://localhost:8000/v1").base_url
        'http://localhost:8000/v1'

    Attributes:
        model: the model's name at the server.
        base_url: the server, up to and with its `/v1`; by default the environment variable
            `OPENAI_BASE_URL`, else OpenAI.
        api_key: by default the environment variable `OPENAI_API_KEY`. A server other than
            OpenAI's is called without one if there is none.
        organization: by default the environment variable `OPENAI_ORG_ID`.
        project: by default the environment variable `OPENAI_PROJECT_ID`.
        max_choices: answers asked for in one request at most; the engine asks for the rest.
            1 is for servers that refuse `n`.
        url_query: the query of every request's URL, as in `"tenant=a&token=…"`; what stands behind the `?` of
            `base_url` is put here. It is kept as a key is: neither shown nor stored.
        max_response_bytes: bytes of one response at most, unpacked; a longer one fails its row.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(
        native_n=True,
        native_json_schema=True,
        tools=True,
        vision=True,
        logprobs=True,
        batches=True,
        audio=True,
        documents=True,
    )
    batch_limits: ClassVar[BatchLimits] = BatchLimits(requests=50_000, bytes=200_000_000, price_share=0.5)
    transport_fields: ClassVar[frozenset[str]] = frozenset(
        {"api_key", "organization", "project", "max_choices", "max_response_bytes"}
    )

    model: str = Field(min_length=1)
    base_url: str | None = None
    api_key: SecretStr | None = None
    organization: str | None = None
    project: str | None = None
    max_choices: PositiveInt = 128
    url_query: SecretStr | None = None
    max_response_bytes: PositiveInt = 32 * 2**20
    _connections: ClientPerLoop[Chat] = PrivateAttr(default_factory=ClientPerLoop)

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        if self.base_url is not None:
            address = checked_address(self.base_url, name="`base_url`")
            self.base_url = address.url
            if address.query:
                self.url_query = address.query_beside(self.url_query, name="`base_url`")

    @property
    def model_name(self) -> str:
        return self.model

    @property
    def identity(self) -> dict[str, Any]:
        address = self._address()
        return {**super().identity, "base_url": address.url, **address.identity}

    def check_generation_kwargs(self, generation_kwargs: Mapping[str, Any]) -> None:
        """Raise `ConfigurationError` for a parameter that the installed SDK's chat completions do not take."""
        check_parameters(generation_kwargs, owner=type(self).__name__)

    def load(self) -> None:
        """Check that the SDK and a key are there. No network.

        Raises:
            MissingDependencyError: the SDK, or its aiohttp extra, is not installed.
            MissingCredentialError: there is no key, and the server is OpenAI's.
            ConfigurationError: an environment variable for proxies, certificates or headers cannot be used.
        """
        import_sdk()
        self._key()
        self._account()
        check_environment(self._address().url, headers=CUSTOM_HEADERS)

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        """Send one request, once."""
        chat = await self._connections.get(self._connect)
        return await chat.complete(self._query(request))

    def _query(self, request: GenerationRequest) -> ChatQuery:
        if _is_openai(self._address().url):
            check_media(request.messages)
        return chat_query(
            request, model=self.model, generation_kwargs=self.generation_kwargs, max_choices=self.max_choices
        )

    # Batches (https://platform.openai.com/docs/guides/batch)

    def encode_batch_entry(self, custom_id: str, request: GenerationRequest) -> bytes:
        """One request as a line of a batch's input file."""
        return batch_entry(custom_id, self._query(request))

    async def submit_batch(self, entries: Sequence[bytes], intent: BatchIntent) -> str:
        """Upload the input file and make a batch of it, with the intent's token as metadata."""
        return await (await self._batches()).submit(entries, intent)

    async def find_batch(self, intent: BatchIntent) -> BatchSearch:
        """Look for the intent's token in the metadata of the account's batches."""
        return await (await self._batches()).find(intent)

    async def poll_batch(self, id: str) -> BatchStatus:
        """Return the state of the batch."""
        return await (await self._batches()).poll(id)

    async def fetch_batch(self, id: str) -> AsyncGenerator[tuple[str, GenerationResponse | GenerationError]]:
        """The lines of the output file and of the error file, as they arrive."""
        from contextlib import aclosing

        async with aclosing((await self._batches()).fetch(id)) as results:
            async for custom_id, result in results:
                yield custom_id, result

    async def cancel_batch(self, id: str) -> None:
        """Ask for an early end."""
        await (await self._batches()).cancel(id)

    async def _batches(self) -> Batches:
        chat = await self._connections.get(self._connect)
        from ._batches import Batches

        return Batches(chat, model=self.model, generation_kwargs=self.generation_kwargs)

    async def aclose(self) -> None:
        """Close the running event loop's client; a later request makes a new one."""
        await self._connections.aclose()

    def _connect(self) -> Chat:
        import_sdk()
        import openai

        from ._chat import Chat, http_client, timeouts

        address, key = self._address(), self._key()
        check_environment(address.url, headers=CUSTOM_HEADERS)
        organization, project = self._account()
        client = openai.AsyncOpenAI(
            api_key=key,
            base_url=address.url,
            organization=organization,
            project=project,
            max_retries=0,
            timeout=timeouts(self.timeout),
            http_client=http_client(
                address,
                connections=self.max_concurrency,
                timeout=self.timeout,
                max_response_bytes=self.max_response_bytes,
            ),
        )
        secrets = [*address.secrets, *([] if key == _NO_KEY else [key])]
        return Chat(client, server=urlsplit(address.url).netloc, secrets=secrets)

    def _address(self) -> ServerAddress:
        """The address of the server, with the query in effect."""
        from_environment = os.environ.get("OPENAI_BASE_URL", "").strip()
        if self.base_url is not None or not from_environment:
            address = ServerAddress(self.base_url or _OPENAI)
        else:
            address = checked_address(from_environment, name="`OPENAI_BASE_URL`")
        return address.with_query(self.url_query)

    def _account(self) -> tuple[str | None, str | None]:
        """The organization and the project, which travel as headers."""
        return account(self.organization, self.project)

    def _key(self) -> str:
        if key := find_key(self.api_key.get_secret_value() if self.api_key else None, "OPENAI_API_KEY"):
            return key
        if _is_openai(self._address().url):
            raise MissingCredentialError(needed_by=f"`{type(self).__name__}`", variable="OPENAI_API_KEY")
        return _NO_KEY


def _is_openai(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host == "api.openai.com" or host.endswith(".api.openai.com")
