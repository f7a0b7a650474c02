"""The calls that a task makes for its own examples: what the stand-in learns, and the contract looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._engine.calls.turns import Ask
from ..structured import parsed
from ..types import Generation
from .conversing import TaskTalk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..types import Example


def example_turns(task: Any, example: Example) -> Iterator[tuple[Any, Any]]:
    """Each call for an example, as what is asked and its answer; of a conversation, up to an effect.

    Args:
        task: of any kind of model.

    Raises:
        RowError: `converse` cannot begin with the example's row.
    """
    if getattr(task, "converse", None) is None:
        yield task.format_input(example.row), example.raw_output
        return
    answers = iter(answers_of(task, example))
    conversation = TaskTalk(task, (), input_of=dict, in_order=tuple).begin(example.row, "0", 0)
    sent: Any = None
    try:
        while True:
            yielded = conversation.send(sent)
            several = isinstance(yielded, list | tuple)
            turn = yielded if several else [yielded]
            if not all(isinstance(asked, Ask) for asked in turn):
                return
            answered = [(asked, next(answers)) for asked in turn]
            yield from ((asked.messages, text) for asked, text in answered)
            results = [_generation(asked, text) for asked, text in answered]
            sent = results if several else results[0]
    except StopIteration:  # it has returned, or there are no further answers
        return
    finally:
        conversation.close()


def answers_of(task: Any, example: Example) -> list[Any]:
    """The answers of a task's example, one a call: of a conversation perhaps several."""
    raw = example.raw_output
    return [raw] if isinstance(raw, str) or getattr(task, "converse", None) is None else [*raw]


def _generation(asked: Ask, text: str) -> Generation:
    value = None if asked.schema is None else parsed(text, asked.schema)
    return Generation(text=text, finish_reason="stop", parsed=value)
