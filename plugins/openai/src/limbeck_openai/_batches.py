"""OpenAI's Batch API: an input file of requests, a batch made of it, and two files of results.

https://platform.openai.com/docs/guides/batch. Imports the SDK, so it is itself imported at first use.
"""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, TypeVar

from limbeck.errors import BackendError, BadRequestError, GenerationError, RateLimitError, TransientError
from limbeck.types import BatchSearch, BatchStatus, GenerationResponse

from ._request import COMPLETIONS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Mapping, Sequence

    from openai.types import Batch

    from limbeck.types import BatchIntent

    from ._chat import Chat

T = TypeVar("T")

_TOKEN = "limbeck_batch"  # noqa: S105 - the name of a mark in a batch's metadata
_CLOCKS_APART_SECONDS = 3600.0
_PAGE = 100
_MOST_CHOICES = 128  # an entry's own `n` bounds its choices
_ERRORS_SHOWN = 3
_SHOWN = 200  # characters of a reply
_QUEUE_IS_FULL = "token_limit_exceeded"
_ENDED = {"completed", "expired", "cancelled"}
_NO_API = (
    "there is no batch API at this address. A `base_url` mostly ends in `/v1`; of compatible servers, few take batches."
)


class Batches:
    """The batches of one account, over one connection.

    Args:
        chat: the connection. model: for messages.
        generation_kwargs: of them, what the SDK takes as extra headers and query goes with every call.
    """

    def __init__(self, chat: Chat, *, model: str, generation_kwargs: Mapping[str, Any]) -> None:
        self._chat = chat
        self._client = chat.client
        self._model = model
        self._extra: dict[str, Any] = {
            name: generation_kwargs[name] for name in ("extra_headers", "extra_query") if name in generation_kwargs
        }

    async def submit(self, entries: Sequence[bytes], intent: BatchIntent) -> str:
        """The id of a new batch. Only its last call makes one: a file that is left alone costs nothing."""
        file = (f"{intent.token}.jsonl", b"\n".join([*entries, b""]), "application/jsonl")
        upload = self._client.files.create(file=file, purpose="batch", **self._extra)
        uploaded = await self._call(upload, _NO_API, unreadable=BadRequestError)
        batch = await self._call(
            self._client.batches.create(
                input_file_id=uploaded.id,
                endpoint=COMPLETIONS,
                completion_window="24h",
                metadata={_TOKEN: intent.token},
                **self._extra,
            ),
            _NO_API,
        )
        return batch.id

    async def find(self, intent: BatchIntent) -> BatchSearch:
        """The batch whose metadata holds the intent's token, page by page as far back as it may be."""
        since = intent.at - _CLOCKS_APART_SECONDS
        page = await self._call(self._client.batches.list(limit=_PAGE, **self._extra), _NO_API)
        while True:
            for batch in page.data:
                if (batch.metadata or {}).get(_TOKEN) == intent.token:
                    return BatchSearch(id=batch.id)
            if not page.has_next_page() or _is_older(page.data, since):
                return BatchSearch()
            page = await self._call(page.get_next_page(), _NO_API)

    async def poll(self, id: str) -> BatchStatus:
        batch = await self._retrieve(id)
        counts = batch.request_counts
        if batch.status == "failed":
            return BatchStatus(state="failed", done=0, error=self._why(batch))
        return BatchStatus(
            state="ended" if batch.status in _ENDED else "running",
            done=counts.completed + counts.failed if counts else None,
        )

    async def fetch(self, id: str) -> AsyncGenerator[tuple[str, GenerationResponse | GenerationError]]:
        batch = await self._retrieve(id)
        for file in (batch.output_file_id, batch.error_file_id):
            if file is not None:
                async with aclosing(self._lines(file)) as lines:
                    async for line in lines:
                        if (entry := _entry(line)) is not None:
                            yield entry["custom_id"], self._answer(entry)

    async def cancel(self, id: str) -> None:
        await self._call(self._client.batches.cancel(id, **self._extra), _unknown(id))

    async def _retrieve(self, id: str) -> Batch:
        return await self._call(self._client.batches.retrieve(id, **self._extra), _unknown(id))

    async def _call(self, call: Awaitable[T], missing: str, *, unreadable: type[GenerationError] = TransientError) -> T:
        """Return the result of a call. A reply that is no JSON is `unreadable`: by default, a new try may mend it."""
        reply: object
        try:
            result = await self._chat.guarded(call, model=self._model, missing=missing)
        except BadRequestError as exc:
            if not isinstance(exc.__cause__, ValueError | TypeError):
                raise
            reply = exc.__cause__  # all that is sent can be written, so it is the reply that could not be read
        else:
            if not isinstance(result, str):
                return result
            reply = result  # the SDK gives a page of text as it is
        shown = self._chat.redacted(str(reply))[:_SHOWN]
        raise unreadable(f"{self._chat.server} answered with something that is none of its batch API: {shown!r}.")

    def _why(self, batch: Batch) -> GenerationError:
        errors = (batch.errors.data if batch.errors else None) or []
        messages = [
            f"line {error.line}: {error.message}" if error.line is not None else str(error.message)
            for error in errors[:_ERRORS_SHOWN]
        ]
        more = f" (and {len(errors) - _ERRORS_SHOWN} more)" if len(errors) > _ERRORS_SHOWN else ""
        text = self._chat.redacted("; ".join(messages).rstrip(".") or "it does not say why")
        if any(error.code == _QUEUE_IS_FULL for error in errors):
            return RateLimitError(f"{text}{more}. A smaller `batch_max_requests` may fit.")
        return BadRequestError(f"{text}{more}.")

    # Results

    async def _lines(self, file: str) -> AsyncGenerator[bytes]:
        """The lines of a file as they arrive: it may be hundreds of megabytes.

        Divided at line feeds alone: what the SDK divides at includes Unicode's line breaks, which a text may hold.
        """
        content = self._client.files.with_streaming_response.content(file, **self._extra)
        response = await self._call(content.__aenter__(), f"it has no file {file!r} (results are kept for 30 days).")
        try:
            chunks = response.iter_bytes()
            rest = b""
            while (chunk := await self._call(anext(chunks, None), "")) is not None:
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield line
            if rest.strip():
                yield rest
        finally:
            await content.__aexit__(None, None, None)

    def _answer(self, entry: Mapping[str, Any]) -> GenerationResponse | GenerationError:
        error, response = entry.get("error"), entry.get("response")
        if not response:
            return self._unanswered(error or {})
        try:
            status, body = response["status_code"], response["body"]
            if status >= 300:
                return self._chat.refused(status, body, model=self._model)
            return self._chat.read(body, asked=_MOST_CHOICES, model=self._model)
        except GenerationError as exc:
            return exc
        except (LookupError, TypeError, AttributeError) as exc:
            return TransientError(f"{self._chat.server} gave a result that cannot be read ({exc!r}).")

    def _unanswered(self, error: Mapping[str, Any]) -> GenerationError:
        """The error of an entry that was never processed. A cancelled one is not asked for again: it was not wanted."""
        reason = self._chat.redacted(str(error.get("message") or error.get("code") or "no message").rstrip("."))
        if error.get("code") == "batch_cancelled":
            return BackendError(f"The batch was cancelled before this request was processed: {reason}.")
        return TransientError(f"{self._chat.server} did not process this request of the batch: {reason}.")


def _entry(line: bytes) -> dict[str, Any] | None:
    """The entry in a line of results; None where the line holds none, so that its request counts as not answered."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and isinstance(entry.get("custom_id"), str) else None


def _is_older(batches: Sequence[Batch], since: float) -> bool:
    """Tell whether all batches after this page are too old.

    It is not documented that the newest come first, so the page itself must show it.
    """
    times = [batch.created_at for batch in batches]
    return bool(times) and times[0] >= times[-1] and max(times) < since


def _unknown(id: str) -> str:
    return f"it knows no batch {id!r} of this account."
