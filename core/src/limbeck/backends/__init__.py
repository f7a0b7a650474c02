"""A kit for authors of backends: what every provider over HTTP needs, written once.

- `seconds_to_wait`, `quota_of`: what headers say of waits and of the allowance that is left.
- `find_key`, `check_headers`: what can be sent as a header; `Secrets`, `is_secret_name`, `refuse_secrets`: keeping keys
  out of what is shown or stored.
- `check_environment`: proxies, certificates and headers that environment variables name.
- `ServerAddress`: a server's address without its query.
- `ClientPerLoop`: one client for each event loop.
- `guard`: bounds what a client of `httpx` or `httpx2` reads, unpacks it, keeps its requests on their host, and their
  query out of sight. `body_sent`: the body of an answered request.
- `completion_in`, `decoded`, `events_in` and their like: a body of JSON, of server-sent events or of JSON
  lines, whichever came; `is_unreadable`, `unreadable_events`: events of it that are no piece of an answer.
- `messages_in`, `text_in`, `reasoning_in`, `chat_usage`, `tokens_in`: the parts of an answer, whatever shape they have.
- `media_type_of`: the type of an image, by its bytes.
- `media_of`, `Media`: the images, audio and documents in messages; `sendable`: a request that a backend is given.
- `chat_calls`, `chat_messages`, `with_extra`, `extra_in`: tool calls, and the thinking that goes back with results.
- `Refusal`, `read_refusal`, `is_error_body`, `fault_of`: what a status and an error body say, of credit too.
- `import_sdk`, `typed_cause`: an SDK at its first use, and the typed error under one of its own.

A provider need not repair what is odd beside an answer's text: the engine keeps the text, leaves out what cannot be
read, and says so once a run (`legible`).
"""

from __future__ import annotations

from ._addresses import ServerAddress
from ._bodies import (
    completion_in,
    completion_of_events,
    decoded,
    events_in,
    is_event_stream,
    is_unreadable,
    unreadable_events,
)
from ._clients import ClientPerLoop
from ._environment import check_environment
from ._guard import body_sent, guard, typed_cause
from ._images import media_type_of
from ._legible import legible, legible_usage, tokens_in
from ._media import Media, check_capabilities, media_of, sendable
from ._parts import chat_usage, messages_in, reasoning_in, text_in
from ._refusals import Refusal, fault_of, is_error_body, read_refusal
from ._sdks import import_sdk
from ._secrets import Secrets, check_headers, find_key, is_secret_name, refuse_secrets
from ._tool_calls import chat_calls, chat_messages, extra_in, with_extra
from ._waits import quota_of, seconds_to_wait

__all__ = [
    "ClientPerLoop",
    "Media",
    "Refusal",
    "Secrets",
    "ServerAddress",
    "body_sent",
    "chat_calls",
    "chat_messages",
    "chat_usage",
    "check_capabilities",
    "check_environment",
    "check_headers",
    "completion_in",
    "completion_of_events",
    "decoded",
    "events_in",
    "extra_in",
    "fault_of",
    "find_key",
    "guard",
    "import_sdk",
    "is_error_body",
    "is_event_stream",
    "is_secret_name",
    "is_unreadable",
    "legible",
    "legible_usage",
    "media_of",
    "media_type_of",
    "messages_in",
    "quota_of",
    "read_refusal",
    "reasoning_in",
    "refuse_secrets",
    "seconds_to_wait",
    "sendable",
    "text_in",
    "tokens_in",
    "typed_cause",
    "unreadable_events",
    "with_extra",
]
