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
from pydantic import TypeAdapter, ValidationError

from .batch_desk import BatchDesk, Fate, Filed
from .loopback import serving
from .openai_rules import complaint_about
from .openai_server import Exchange, OpenAIServer, answer, echo, error_response

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .openai_server import Reply

_CREATE = TypeAdapter(BatchCreateParams)
_MOST_LINES = 50_000


class _Batches:
    def __init__(self, server: OpenAIServer, desk: BatchDesk) -> None:
        self._server = server
        self._desk = desk
        self._files: dict[str, bytes] = {}
        self._inputs: dict[str, str] = {}  # a batch's input file
        self._faults: dict[str, list[dict[str, Any]]] = {}

    def add_to(self, app: web.Application) -> None:
        app.router.add_post("/v1/files", self._guarded(self._upload))
        app.router.add_get("/v1/files/{id}/content", self._guarded(self._content))
        app.router.add_post("/v1/batches", self._guarded(self._create))
        app.router.add_get("/v1/batches", self._guarded(self._list))
        app.router.add_get("/v1/batches/{id}", self._guarded(self._retrieve))
        app.router.add_post("/v1/batches/{id}/cancel", self._guarded(self._cancel))

    def _guarded(self, handler: Any) -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            sent = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if not sent or sent != (self._server.api_key or sent):
                return error_response(401, f"Incorrect API key provided: {sent}.", code="invalid_api_key")
            if self._desk.closed:
                return error_response(404, f"Invalid URL ({request.method} {request.path})")
            response: web.StreamResponse = await handler(request)
            return response

        return handle

    # Files

    async def _upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        file = form.get("file")
        if form.get("purpose") != "batch" or not isinstance(file, web.FileField) or form.keys() - {"purpose", "file"}:
            return error_response(400, "Expected the fields 'purpose' = 'batch' and 'file'.")
        id = self._desk.new_id("file")
        self._files[id] = file.file.read()
        facts = {"id": id, "object": "file", "bytes": len(self._files[id]), "created_at": int(time.time())}
        return web.json_response({**facts, "filename": file.filename, "purpose": "batch", "status": "processed"})

    async def _content(self, request: web.Request) -> web.StreamResponse:
        lines = self._files.get(request.match_info["id"])
        if lines is None:
            return error_response(404, f"No such File object: {request.match_info['id']}")
        response = web.StreamResponse(headers={"content-type": "application/octet-stream"})
        await response.prepare(request)
        await self._desk.send_lines(response, request, lines.splitlines() if lines else [])
        return response

    # Batches

    async def _create(self, request: web.Request) -> web.Response:
        body = await request.json()
        try:
            wanted = _CREATE.validate_python(body, strict=True)
        except ValidationError as exc:
            return error_response(400, str(exc))
        unknown = body.keys() - wanted.keys()
        metadata = wanted.get("metadata") or {}
        if unknown or len(metadata) > 16 or any(len(k) > 64 or len(v) > 512 for k, v in metadata.items()):
            return error_response(400, f"Unknown parameters {sorted(unknown)}, or too much metadata.")
        if wanted["input_file_id"] not in self._files:
            return error_response(400, f"Invalid value: no file {wanted['input_file_id']}.", param="input_file_id")
        entries, faults = _read(self._files[wanted["input_file_id"]], wanted["endpoint"])
        filed = Filed(self._desk.new_id("batch"), entries, time.time(), metadata)
        self._inputs[filed.id] = wanted["input_file_id"]
        self._faults[filed.id] = faults
        self._desk.file(filed)
        return await self._desk.reply(request, self._object(filed))

    async def _list(self, request: web.Request) -> web.Response:
        limit = int(request.query.get("limit", "20"))
        newest_first = self._desk.filed[::-1]
        if "after" in request.query:
            ids = [filed.id for filed in newest_first]
            newest_first = newest_first[ids.index(request.query["after"]) + 1 :]
        page = [self._object(filed) for filed in newest_first[:limit]]
        return web.json_response({"object": "list", "data": page, "has_more": len(newest_first) > limit})

    async def _retrieve(self, request: web.Request) -> web.Response:
        filed = self._desk.by_id(request.match_info["id"])
        if filed is None:
            return error_response(404, f"No batch found with id '{request.match_info['id']}'.")

        async def answered(body: dict[str, Any]) -> dict[str, Any]:
            response = await answer()(Exchange(request, body, self._server))
            assert isinstance(response, web.Response) and isinstance(response.body, bytes)
            completion: dict[str, Any] = json.loads(response.body)
            return completion

        if self._desk.ends_now(filed) and not self._faults[filed.id]:
            await self._desk.end(filed, answered)
        return web.json_response(self._object(filed))

    async def _cancel(self, request: web.Request) -> web.Response:
        filed = self._desk.by_id(request.match_info["id"])
        if filed is None:
            return error_response(404, "No such batch.")
        filed.cancelled = True
        return web.json_response(self._object(filed))

    def _object(self, filed: Filed) -> dict[str, Any]:
        results = filed.results
        faults = self._faults[filed.id]
        if self._desk.fails_whole:
            code, message = self._desk.fails_whole
            faults = [{"code": code, "message": message, "line": None, "param": None}]
        lines = self._desk.shuffled(filed)
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
def openai_batch_server(
    *, reply: Reply | None = None, api_key: str | None = None
) -> Iterator[tuple[OpenAIServer, BatchDesk]]:
    """Serve chat completions and batches on a free port of loopback until the block ends."""
    server, desk = OpenAIServer(reply or echo, api_key=api_key), BatchDesk()
    app = server.app()
    _Batches(server, desk).add_to(app)
    with serving(app) as root:
        server.root = root
        yield server, desk
