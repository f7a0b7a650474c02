"""Chats with tools in OpenAI's form: what a provider is given, whatever its own form is."""

from __future__ import annotations

from typing import Any

QUESTION: Any = {"role": "user", "content": "How many people live in Madrid, and what is the time there?"}
SCHEMA: Any = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def function(name: str, **more: Any) -> Any:
    """A tool."""
    return {"type": "function", "function": {"name": name, "parameters": SCHEMA, **more}}


TOOLS: Any = [function("people", description="Counts people."), function("time")]
NAMED: Any = {"type": "function", "function": {"name": "time"}}


def call(id: str, name: str, arguments: str = '{"city": "Madrid"}', **more: Any) -> Any:
    """A call of a tool, as it stands in a message."""
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}, **more}


def result(id: str, content: str) -> Any:
    """The result of a call."""
    return {"role": "tool", "tool_call_id": id, "content": content}


def called(*calls: Any, content: str | None = None) -> Any:
    """The answer that calls tools."""
    return {"role": "assistant", "content": content, "tool_calls": list(calls)}


CHAT: Any = [QUESTION, called(call("t1", "people"), call("t2", "time")), result("t1", "3277451"), result("t2", "noon")]
