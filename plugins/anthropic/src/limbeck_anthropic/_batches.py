"""Anthropic's Message Batches: many messages in one request, and one file of results.

https://platform.claude.com/docs/en/build-with-claude/batch-processing. The API has neither
metadata nor idempotency keys for a batch, and does not show the entries of one that is in
progress. What there is to know a batch by is when it was made, how many entries it has, and,
once it has ended, the custom ids of its results.
"""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from limbeck.errors import BackendError, BadRequestError, GenerationError, TransientError
from limbeck.types import BatchSearch, BatchStatus, GenerationResponse

from ._answer import response_of
from ._failures import failure_of, refusal_of
from ._secrets import secrets_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Mapping, Sequence

    from anthropic import AsyncAnthropic, RequestOptions
    from anthropic.types.messages import MessageBatch

    from limbeck.backends import Secrets
    from limbeck.types import BatchIntent

T = TypeVar("T")

_CLOCKS_APART_SECONDS = 3600.0
_PAGE = 1000
_NO_API = "there are no Message Batches at this address. A `base_url` ends before `/v1`."


class Guard(Protocol):
    """Awaits a call to the SDK, and raises its failure in the types of `limbeck.errors`."""

    def __call__(self, call: Awaitable[T], missing: str | None = None) -> Awaitable[T]: ...


class Batches:
    """The Message Batches of one workspace, over one client.

    Args:
        client: the SDK's. guard: awaits its calls. options: the headers and the query of every call.
        model: for messages. longest_wait: seconds between an intent and its last submission, at most.
    """

    def __init__(
        self, client: AsyncAnthropic, guard: Guard, options: RequestOptions, *, model: str, longest_wait: float
    ) -> None:
        self._client = client
        self._guard = guard
        self._model = model
        self._longest_wait = longest_wait
        self._options = options
        self._extra: dict[str, Any] = {
            "extra_headers": options.get("headers"),
            "extra_query": options.get("params"),
        }

    async def submit(self, entries: Sequence[bytes], intent: BatchIntent) -> str:  # noqa: ARG002 - the ids hold its token
        from anthropic.types.messages import MessageBatch

        headers: dict[str, Any] = {**(self._options.get("headers") or {}), "content-type": "application/json"}
        call = self._client.post(
            "/v1/messages/batches",
            cast_to=MessageBatch,
            content=b'{"requests":[' + b",".join(entries) + b"]}",
            options={"headers": headers, "params": self._options.get("params") or {}},
        )
        return self._checked(await self._guard(call, _NO_API)).id

    async def find(self, intent: BatchIntent) -> BatchSearch:
        """The batch whose results have the intent's custom ids; undecided while one that may be it is in progress."""
        undecided = False
        page = await self._guard(self._client.messages.batches.list(limit=_PAGE, **self._extra), _NO_API)
        while True:
            for batch in page.data:
                if not self._may_be(batch, intent):
                    continue
                if batch.processing_status != "ended":
                    undecided = True
                elif await self._is(batch, intent):
                    return BatchSearch(id=batch.id)
            if not page.has_next_page() or _is_older(page.data, intent):
                return BatchSearch(decided=not undecided)
            page = await self._guard(page.get_next_page(), _NO_API)

    async def poll(self, id: str) -> BatchStatus:
        batch = await self._retrieve(id)
        if batch.processing_status != "ended":  # before the end the API counts nothing as done
            return BatchStatus(state="running")
        return BatchStatus(state="ended", done=_size(batch))

    async def fetch(self, id: str) -> AsyncGenerator[tuple[str, GenerationResponse | GenerationError]]:
        batch = await self._retrieve(id)
        if not batch.results_url:
            raise BadRequestError(f"{self._server()} has no results of {id!r} any more: they are kept for 29 days.")
        async with aclosing(self._lines(id)) as lines:
            async for line, secrets in lines:
                if (entry := _entry(line)) is not None:
                    yield entry["custom_id"], self._answer(entry["result"], secrets)

    async def cancel(self, id: str) -> None:
        await self._guard(self._client.messages.batches.cancel(id, **self._extra), _unknown(id))

    async def _retrieve(self, id: str) -> MessageBatch:
        return self._checked(await self._guard(self._client.messages.batches.retrieve(id, **self._extra), _unknown(id)))

    def _checked(self, batch: MessageBatch) -> MessageBatch:
        """A batch that is one: the SDK gives a page of text as it is."""
        if isinstance(getattr(batch, "id", None), str):
            return batch
        raise TransientError(f"{self._server()} answered with something that is no Message Batch.")

    def _server(self) -> str:
        return str(self._client.base_url).rstrip("/")

    # Finding

    def _may_be(self, batch: MessageBatch, intent: BatchIntent) -> bool:
        if batch.id in intent.known or _size(batch) != intent.requests:
            return False
        latest = intent.at + self._longest_wait + _CLOCKS_APART_SECONDS
        return intent.at - _CLOCKS_APART_SECONDS <= batch.created_at.timestamp() <= latest

    async def _is(self, batch: MessageBatch, intent: BatchIntent) -> bool:
        """Whether a batch that has ended is the one, by the first of its results."""
        if not batch.results_url:
            return False
        try:
            async with aclosing(self._lines(batch.id)) as lines:
                async for line, _ in lines:
                    entry = _entry(line)
                    return entry is not None and entry["custom_id"].startswith(f"{intent.token}-")
        except BadRequestError:  # results that may not be read are somebody else's
            return False
        return False

    # Results

    async def _lines(self, id: str) -> AsyncGenerator[tuple[bytes, Secrets]]:
        """The lines of the results as they arrive: they may be hundreds of megabytes. And what they must not show."""
        results = self._client.messages.batches.with_streaming_response.results(id, **self._extra)
        response = await self._guard(results.__aenter__(), _unknown(id))
        try:
            secrets = secrets_of(response.http_request.headers)
            chunks = response.iter_bytes()
            rest = b""
            while (chunk := await self._guard(anext(chunks, None))) is not None:
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield line, secrets
            if rest.strip():
                yield rest, secrets
        finally:
            await results.__aexit__(None, None, None)

    def _answer(self, result: Mapping[str, Any], secrets: Secrets) -> GenerationResponse | GenerationError:
        kind = result.get("type")
        try:
            if kind == "succeeded":
                return response_of(result["message"])
            if kind == "errored":
                refusal = refusal_of(200, result["error"], {}, redact=secrets.redact)
                return failure_of(refusal, server=self._server(), model=self._model)
        except GenerationError as exc:
            return exc
        except (LookupError, TypeError, AttributeError, ValueError) as exc:
            return TransientError(f"{self._server()} gave a result that cannot be read ({exc!r}).")
        if kind == "canceled":  # what was cancelled is not asked for again: somebody did not want it
            return BackendError("The batch was cancelled before this request was processed.")
        return TransientError(f"{self._server()} did not process this request of the batch: it is {kind!r}.")


def _entry(line: bytes) -> dict[str, Any] | None:
    """What a line of results holds; None where it is none, so that its request counts as not answered."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    if not isinstance(entry, dict) or not isinstance(entry.get("result"), dict):
        return None
    return entry if isinstance(entry.get("custom_id"), str) else None


def _size(batch: MessageBatch) -> int:
    counts = batch.request_counts
    return counts.processing + counts.succeeded + counts.errored + counts.canceled + counts.expired


def _is_older(batches: Sequence[MessageBatch], intent: BatchIntent) -> bool:
    """Whether all that follows a page is too old: the newest come first."""
    return bool(batches) and batches[-1].created_at.timestamp() < intent.at - _CLOCKS_APART_SECONDS


def _unknown(id: str) -> str:
    return f"it knows no batch {id!r} of this workspace."
