"""A strict loopback server of Anthropic's Message Batches, beside its messages.

    with anthropic_batch_server() as (server, desk):
        desk.polls_needed = 2
        ...                                 # point a client at `server.url`
    desk.submitted["hi"], desk.answered["hi"]

Each entry is checked as a message's request would be when it is processed (a faulty one is
`errored`), the batch itself when it is submitted; the batch objects that come back are checked
against the SDK's response model. An answer is `echo: ` and the prompt.
"""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from aiohttp import web

from .anthropic_server import Answer, AnthropicServer, check_body, message_of, refusal
from .batch_desk import BatchDesk, BatchRoutes, Fate, Filed, prompt_of
from .provider_server import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator

_CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_MOST_ENTRIES = 100_000
_ERRORS = {"faulty": "api_error", "refused": "invalid_request_error"}


class _Batches(BatchRoutes):
    def __init__(self, server: AnthropicServer, desk: BatchDesk) -> None:
        super().__init__(desk, self._check_request, "/v1/messages/batches", "after_id")
        self._server = server

    def add_to(self, app: web.Application) -> None:
        super().add_to(app)
        self.add(app, "GET", "/v1/messages/batches/{id}/results", self._results)

    def _check_request(self, request: web.Request) -> None:
        if self.desk.closed:
            raise refusal(f"Not found: {request.path}", 404, "not_found_error")
        self._server.check_headers({name.lower(): value for name, value in request.headers.items()})

    async def create(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        requests = body.get("requests") if isinstance(body, dict) else None
        if not isinstance(requests, list) or body.keys() != {"requests"} or not 0 < len(requests) <= _MOST_ENTRIES:
            raise refusal("requests: a list of 1 to 100,000 requests, and nothing else, is required")
        entries: dict[str, dict[str, Any]] = {}
        for place, entry in enumerate(requests):
            if entry.keys() != {"custom_id", "params"} or not _CUSTOM_ID.fullmatch(entry["custom_id"]):
                raise refusal(f"requests.{place}: needs a `custom_id` of 1 to 64 letters, and `params`")
            if entry["custom_id"] in entries:
                raise refusal(f"requests.{place}.custom_id: must be unique")
            entries[entry["custom_id"]] = entry["params"]
        return await self.accept(request, Filed(self.desk.new_id("msgbatch"), entries, time.time()))

    def page(self, batches: list[dict[str, Any]], *, more: bool) -> dict[str, Any]:
        last = batches[-1]["id"] if batches else None
        return {"data": batches, "has_more": more, "first_id": None, "last_id": last}

    def unknown(self, id: str) -> RefusedError:
        return refusal(f"No batch {id}", 404, "not_found_error")

    async def listed(self, filed: Filed) -> None:
        await self.look(filed)

    async def look(self, filed: Filed) -> None:
        async def answered(body: dict[str, Any]) -> dict[str, Any]:
            said = self.desk.says(body) if self.desk.says else Answer(f"echo: {prompt_of(body)}")
            return message_of(said, body)

        if self.desk.ends_now(filed):
            for body in filed.entries.values():
                self._refuse_faulty(body)
            await self.desk.end(filed, answered)

    def _refuse_faulty(self, body: dict[str, Any]) -> None:
        """Let an entry that the API would refuse be refused."""
        try:
            if "stream" in body:
                raise refusal("stream: is not allowed in a batch")
            check_body(body)
        except RefusedError:
            self.desk.fates.setdefault(prompt_of(body), []).insert(0, "refused")

    async def _results(self, request: web.Request) -> web.StreamResponse:
        filed = self.filed(request)
        if filed.results is None:
            raise refusal("The batch has not ended")
        return await self.desk.send_lines(request, [_line(*line) for line in self.desk.shuffled(filed)])

    def object_of(self, filed: Filed) -> dict[str, Any]:
        from anthropic.types.messages import MessageBatch

        created = datetime.fromtimestamp(filed.created, UTC)
        fates = [fate for fate, _ in (filed.results or {}).values()]
        ended = filed.results is not None
        # A result without a line is counted as any other.
        succeeded = fates.count("answered") + fates.count("missing")
        batch = {
            "id": filed.id,
            "type": "message_batch",
            "processing_status": "ended" if ended else "canceling" if filed.cancelled else "in_progress",
            "created_at": created.isoformat(),
            "expires_at": (created + timedelta(days=1)).isoformat(),
            "ended_at": created.isoformat() if ended else None,
            "archived_at": None,
            "cancel_initiated_at": None,
            "results_url": f"{self._server.url}/v1/messages/batches/{filed.id}/results" if ended else None,
            "request_counts": {
                "processing": 0 if ended else len(filed.entries),
                "succeeded": succeeded,
                "errored": fates.count("faulty") + fates.count("refused"),
                "canceled": fates.count("cancelled"),
                "expired": fates.count("expired"),
            },
        }
        MessageBatch.model_validate(batch)
        return batch


def _line(custom_id: str, fate: Fate, message: Any) -> dict[str, Any]:
    if fate == "answered":
        return {"custom_id": custom_id, "result": {"type": "succeeded", "message": message}}
    if fate in _ERRORS:
        error = {"type": _ERRORS[fate], "message": f"This request is {fate}."}
        body = {"type": "error", "error": error, "request_id": None}
        return {"custom_id": custom_id, "result": {"type": "errored", "error": body}}
    return {"custom_id": custom_id, "result": {"type": "canceled" if fate == "cancelled" else fate}}


@contextmanager
def anthropic_batch_server(*, api_key: str | None = None) -> Iterator[tuple[AnthropicServer, BatchDesk]]:
    """Serve messages and Message Batches on loopback until the block ends."""
    server, desk = AnthropicServer(api_key=api_key), BatchDesk()
    server.largest_body = 256 * 2**20
    server.extensions.append(_Batches(server, desk).add_to)
    with server.serve():
        yield server, desk
