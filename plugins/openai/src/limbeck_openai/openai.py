"""OpenAI, and every server that speaks its chat-completions API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, PositiveInt, PrivateAttr, SecretStr

from limbeck import LLM
from limbeck.backends import ClientPerLoop
from limbeck.types import BatchLimits, Capabilities

from ._media import check_media
from ._request import batch_entry, chat_query, check_parameters
from ._server import Server, place_query

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from limbeck.errors import GenerationError
    from limbeck.types import BatchIntent, BatchSearch, BatchStatus, GenerationRequest, GenerationResponse

    from ._batches import Batches
    from ._chat import Chat  # noqa: TC004 - pydantic leaves the type of a private attribute alone
    from ._request import ChatQuery


class OpenAILLM(LLM):
    """A model behind OpenAI's chat-completions API, at OpenAI or at a compatible server.

    Several answers come from one request (`n`), and an output schema is enforced by the server
    (`response_format`), in strict mode where the schema allows it. A raw prompt goes to the server's `/completions`,
    which OpenAI itself has for few models, and vLLM, SGLang, llama.cpp and most others for all.

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
        completions=True,
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
        place_query(self)

    @property
    def model_name(self) -> str:
        return self.model

    @property
    def identity(self) -> dict[str, Any]:
        return {**super().identity, **Server.of(self).identity}

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
        Server.of(self).check()

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        """Send one request, once."""
        chat = await self._connections.get(self._connect)
        return await chat.complete(self._query(request))

    def _query(self, request: GenerationRequest) -> ChatQuery:
        if Server.of(self).is_openai:
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
        return Server.of(self).connect(
            connections=self.max_concurrency, timeout=self.timeout, max_response_bytes=self.max_response_bytes
        )
