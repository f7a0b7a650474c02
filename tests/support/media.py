"""Small images, audio and documents, made without a library, and LLMs that take them."""

from __future__ import annotations

import json
import sqlite3
import struct
import zlib
from contextlib import closing
from typing import TYPE_CHECKING, Any, ClassVar

from limbeck import task
from limbeck.testing import ScriptedLLM
from limbeck.types import Capabilities, ChatType, GenerationRequest, Row, image

if TYPE_CHECKING:
    from pathlib import Path


def png(*, width: int = 1, height: int = 1, color: bytes = b"\xff\0\0") -> bytes:
    """An image of one colour."""
    lines = b"".join(b"\0" + color * width for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    made = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(made)


def wav(samples: int = 8) -> bytes:
    """Silence, 8 kHz, 8 bits."""
    header = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 8000, 8000, 1, 8)
    body = b"WAVE" + header + struct.pack("<4sI", b"data", samples) + b"\x80" * samples
    return b"RIFF" + struct.pack("<I", len(body)) + body


PNG = png()
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0 and so on"
GIF = b"GIF89a\x01\0\x01\0\0\0\0;"
WEBP = b"RIFF\x1a\0\0\0WEBPVP8 "
WAV = wav()
MP3 = b"ID3\x04\0\0\0\0\0\0"
PDF = b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\n%%EOF\n"


class BlindLLM(ScriptedLLM):
    """Declares nothing, as most backends of others do, and is never to be asked."""

    capabilities: ClassVar[Capabilities] = Capabilities()
    script: Any = ()


def seeing(answer: str = "seen", **fields: Any) -> ScriptedLLM:
    """An LLM that takes all media, and gives one answer to everything."""
    return ScriptedLLM(script=lambda _request: answer, **fields)


def parts_of(request: GenerationRequest) -> list[dict[str, Any]]:
    """The parts of the last message of a request."""
    content = request.messages[-1]["content"]
    assert isinstance(content, list)
    return content


def stored_parts(run_dir: Path) -> list[dict[str, Any]]:
    """The last part of each request that a ledger holds, in the order of the calls."""
    with closing(sqlite3.connect(run_dir / "ledger.sqlite")) as connection:
        requests = connection.execute("SELECT request FROM calls WHERE request IS NOT NULL ORDER BY id").fetchall()
    return [json.loads(request)["messages"][-1]["content"][-1] for (request,) in requests]


def chat_about(*parts: dict[str, Any]) -> ChatType:
    """A question about parts."""
    return [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, *parts]}]


@task(inputs=["picture"], outputs=["answer"])
def look(input: Row) -> ChatType:
    """A task that shows the model the column `picture`."""
    return chat_about(image(input["picture"]))
