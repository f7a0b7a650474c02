"""Tools that a model may call: typed functions, and what plugins bring.

    from limbeck.tools import run_tools, tool

    @tool
    def population(city: str) -> int:
        \"\"\"The number of people in a city.

Args:
            city: its name, in English.
        \"\"\"
        return CITIES[city]

    class Answer(Task):
        ...
        def converse(self, input):
            answer = yield from run_tools([{"role": "user", "content": input["question"]}], [population])
            return {"answer": answer.text}

- `tool`, `Tool`: a function with a name, a purpose and a JSON Schema of its arguments.
- `run_tools`: asks, runs the calls of an answer, and asks again, until there is an answer without calls. It gives a
  `ToolAnswer`.
- `on_engine_loop`: for sets of tools that hold something open where they are called.
- `get_tool`, `tool_of`: a tool by its name, and from whatever stands for one. `ToolsField`: the type of a task's field.

Names here are imported when they are first used, and pydantic where a schema is first needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from ._conversation import ToolAnswer, run_tools
    from ._fields import ToolsField
    from ._loop import on_engine_loop
    from ._tool import Tool, get_tool, tool, tool_of

__all__ = ["Tool", "ToolAnswer", "ToolsField", "get_tool", "on_engine_loop", "run_tools", "tool", "tool_of"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "Tool": ".tools._tool",
            "ToolAnswer": ".tools._conversation",
            "ToolsField": ".tools._fields",
            "get_tool": ".tools._tool",
            "on_engine_loop": ".tools._loop",
            "run_tools": ".tools._conversation",
            "tool": ".tools._tool",
            "tool_of": ".tools._tool",
        },
    )
