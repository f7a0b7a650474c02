"""A kit for authors of backends: what every provider over HTTP needs, written once.

- `seconds_to_wait`, `quota_of`: what headers say of waits and of the allowance that is left.
- `find_key`, `check_headers`: what can be sent as a header; `Secrets`, `is_secret_name`, `refuse_secrets`: keeping keys
  out of what is shown or stored.
- `ServerAddress`: a server's address without its query.
- `ClientPerLoop`: one client for each event loop.
- `guard`: bounds what a client of `httpx` or `httpx2` reads, and keeps its requests on their host.
- `completion_in`, `decoded`, `events_in` and their like: a body of JSON or of server-sent events, whichever came.
- `messages_in`, `text_in`, `reasoning_in`, `chat_usage`, `tokens_in`: the parts of an answer, whatever shape they have.
- `media_type_of`: the type of an image, by its bytes.
- `Refusal`, `read_refusal`, `is_error_body`, `fault_of`: what a status and an error body say, of credit too.
- `import_sdk`, `typed_cause`: an SDK at its first use, and the typed error under one of its own.

A provider need not repair what is odd beside an answer's text: the engine keeps the text, leaves out what cannot be
read, and says so once a run (`legible`).
"""

from __future__ import annotations

from ._addresses import ServerAddress
from ._bodies import completion_in, completion_of_events, decoded, events_in, is_event_stream
from ._clients import ClientPerLoop
from ._guard import guard, typed_cause
from ._images import media_type_of
from ._legible import legible, legible_usage, tokens_in
from ._parts import chat_usage, messages_in, reasoning_in, text_in
from ._refusals import Refusal, fault_of, is_error_body, read_refusal
from ._sdks import import_sdk
from ._secrets import Secrets, check_headers, find_key, is_secret_name, refuse_secrets
from ._waits import quota_of, seconds_to_wait

__all__ = [
    "ClientPerLoop",
    "Refusal",
    "Secrets",
    "ServerAddress",
    "chat_usage",
    "check_headers",
    "completion_in",
    "completion_of_events",
    "decoded",
    "events_in",
    "fault_of",
    "find_key",
    "guard",
    "import_sdk",
    "is_error_body",
    "is_event_stream",
    "is_secret_name",
    "legible",
    "legible_usage",
    "media_type_of",
    "messages_in",
    "quota_of",
    "read_refusal",
    "reasoning_in",
    "refuse_secrets",
    "seconds_to_wait",
    "text_in",
    "tokens_in",
    "typed_cause",
]
