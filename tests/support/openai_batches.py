"""A strict stand-in for OpenAI's files and batches, on loopback, beside its chat completions.

    with openai_batch_server() as (server, desk):
        desk.polls_needed = 2
        ...                                 # point a client at `server.url`
    desk.submitted["hi"], desk.answered["hi"]

What is sent is checked against the installed SDK's own request types, and the batch objects that
come back against its response model. An input file with a fault makes a batch that fails as a
whole, as the real service's do.
"""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import web
from openai.types import Batch
from openai.types.batch_create_params import BatchCreateParams

from .batch_desk import BatchDesk, BatchRoutes, Fate, Filed
from .openai_rules import complaint_about
from .openai_server import OpenAIServer, answer, refusal
from .provider_server import Asked, RefusedError
from .request_types import fault_in

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_LINES = 50_000


class _Batches(BatchRoutes):
    def __init__(self, server: OpenAIServer, desk: BatchDesk) -> None:
        super().__init__(desk, self._check_request, "/v1/batches", "after")
        self._server = server
        self._files: dict[str, bytes] = {}
        self._inputs: dict[str, str] = {}  # a batch's input file
        self._faults: dict[str, list[dict[str, Any]]] = {}

    def add_to(self, app: web.Application) -> None:
        super().add_to(app)
        self.add(app, "POST", "/v1/files", self._upload)
        self.add(app, "GET", "/v1/files/{id}/content", self._content)

    def _check_request(self, request: web.Request) -> None:
        self._server.check_key({name.lower(): value for name, value in request.headers.items()})
        if self.desk.closed:
            raise refusal(404, f"Invalid URL ({request.method} {request.path})")

    # Files

    async def _upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        file = form.get("file")
        if form.get("purpose") != "batch" or not isinstance(file, web.FileField) or form.keys() - {"purpose", "file"}:
            raise refusal(400, "Expected the fields 'purpose' = 'batch' and 'file'.")
        id = self.desk.new_id("file")
        self._files[id] = file.file.read()
        facts = {"id": id, "object": "file", "bytes": len(self._files[id]), "created_at": int(time.time())}
        return web.json_response({**facts, "filename": file.filename, "purpose": "batch", "status": "processed"})

    async def _content(self, request: web.Request) -> web.StreamResponse:
        lines = self._files.get(request.match_info["id"])
        if lines is None:
            raise refusal(404, f"No such File object: {request.match_info['id']}")
        return await self.desk.send_lines(request, [json.loads(line) for line in lines.splitlines()])

    # Batches

    async def create(self, request: web.Request) -> web.StreamResponse:
        wanted = await request.json()
        if (fault := fault_in(BatchCreateParams, wanted)) is not None:
            raise refusal(400, str(fault))
        metadata = wanted.get("metadata") or {}
        if len(metadata) > 16 or any(len(k) > 64 or len(v) > 512 for k, v in metadata.items()):
            raise refusal(400, "There is too much metadata.")
        if wanted["input_file_id"] not in self._files:
            raise refusal(400, f"Invalid value: no file {wanted['input_file_id']}.", param="input_file_id")
        entries, faults = _read(self._files[wanted["input_file_id"]], wanted["endpoint"])
        filed = Filed(self.desk.new_id("batch"), entries, time.time(), metadata)
        self._inputs[filed.id] = wanted["input_file_id"]
        self._faults[filed.id] = faults
        return await self.accept(request, filed)

    def page(self, batches: list[dict[str, Any]], *, more: bool) -> dict[str, Any]:
        return {"object": "list", "data": batches, "has_more": more}

    def unknown(self, id: str) -> RefusedError:
        return refusal(404, f"No batch found with id '{id}'.")

    async def look(self, filed: Filed) -> None:
        async def answered(body: dict[str, Any]) -> dict[str, Any]:
            asked = Asked(path="", query="", headers={}, body=body, connection=None, server=self._server)
            completion: dict[str, Any] = (self.desk.says or answer())(asked).body
            return completion

        if self.desk.ends_now(filed) and not self._faults[filed.id]:
            await self.desk.end(filed, answered)

    def object_of(self, filed: Filed) -> dict[str, Any]:
        results = filed.results
        faults = self._faults[filed.id]
        if self.desk.fails_whole:
            code, message = self.desk.fails_whole
            faults = [{"code": code, "message": message, "line": None, "param": None}]
        lines = self.desk.shuffled(filed)
        ended = (
            "cancelled" if filed.cancelled else "expired" if any(f == "expired" for _, f, _ in lines) else "completed"
        )
        batch = {
            "id": filed.id,
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "created_at": int(filed.created),
            "input_file_id": self._inputs[filed.id],
            "metadata": dict(filed.mark),
            "status": "failed" if faults else ended if results is not None else "in_progress",
            "errors": {"object": "list", "data": faults} if faults else None,
            "request_counts": {
                "total": len(filed.entries),
                "completed": sum(fate == "answered" for _, fate, _ in lines),
                "failed": sum(fate != "answered" for _, fate, _ in lines),
            },
            "output_file_id": self._results(filed, lines, good=True),
            "error_file_id": self._results(filed, lines, good=False),
        }
        Batch.model_validate(batch)
        return batch

    def _results(self, filed: Filed, lines: list[tuple[str, Fate, Any]], *, good: bool) -> str | None:
        """A file of the lines that are answers, or of those that are not; None for an empty one."""
        chosen = [_line(*line) for line in lines if (line[1] == "answered") == good]
        id = f"{filed.id}-{'output' if good else 'errors'}"
        self._files[id] = b"".join(json.dumps(line).encode() + b"\n" for line in chosen)
        return id if chosen else None


def _read(file: bytes, endpoint: str) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """The entries of an input file, and its faults."""
    entries: dict[str, dict[str, Any]] = {}
    faults: list[dict[str, Any]] = []
    lines = file.split(b"\n")[:-1]
    if not 0 < len(lines) <= _MOST_LINES:
        faults.append({"code": "invalid_file", "message": f"The file has {len(lines)} lines.", "line": None})
    for number, line in enumerate(lines, 1):
        fault = _fault(line, entries, endpoint)
        if fault is not None:
            faults.append({"code": "invalid_request", "message": fault, "line": number})
    return entries, faults


def _fault(line: bytes, entries: dict[str, dict[str, Any]], endpoint: str) -> str | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return "This line is not parseable as valid JSON."
    if entry.keys() != {"custom_id", "method", "url", "body"} or entry["method"] != "POST" or entry["url"] != endpoint:
        return "A line needs 'custom_id', 'method' POST, 'url' and 'body', for the batch's endpoint."
    if entry["custom_id"] in entries:
        return "The custom_id for this request is a duplicate."
    entries[entry["custom_id"]] = entry["body"]
    complaint = complaint_about(entry["body"])
    return complaint.message if complaint is not None else None


def _line(custom_id: str, fate: Fate, body: Any) -> dict[str, Any]:
    empty = {"response": None, "error": None}
    line: dict[str, Any] = {"id": f"batch_req_{custom_id}", "custom_id": custom_id, **empty}
    if fate in ("expired", "cancelled"):
        line["error"] = {"code": f"batch_{fate}", "message": f"This request was {fate}."}
        return line
    status = 200 if fate == "answered" else 500 if fate == "faulty" else 400
    if status != 200:
        body = {"error": {"message": f"This request is {fate}.", "type": "x", "param": None, "code": None}}
    line["response"] = {"status_code": status, "request_id": "req", "body": body}
    return line


@contextmanager
def openai_batch_server(**options: Any) -> Iterator[tuple[OpenAIServer, BatchDesk]]:
    """Serve chat completions and batches until the block ends; the arguments are `OpenAIServer`'s."""
    server, desk = OpenAIServer(**options), BatchDesk()
    server.extensions.append(_Batches(server, desk).add_to)
    with server.serve():
        yield server, desk
