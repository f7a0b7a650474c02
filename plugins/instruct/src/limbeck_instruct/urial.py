"""`urial`: an answer of a base model, which examples in the prompt make an assistant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from limbeck import Task
from limbeck.types import Example

from .texts import text_column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from limbeck.types import ChatType, Row

_USER, _ASSISTANT = "# User:", "# Assistant:"

_PREFACE = f"""\
# How to read this

Below are conversations of people with an AI assistant. What a person says stands after `{_USER}`, what the assistant \
says after `{_ASSISTANT}`. The assistant is helpful, honest and polite. It answers in full, says so when it does not \
know, and does not help anybody to harm others.

{_USER}
What can I do against nerves before a talk?

{_ASSISTANT}
Many people feel like that, and some things help:

1. Say the talk aloud two or three times, best to a friend.
2. Know your first two sentences by heart: once they are said, the rest is easier.
3. Breathe slowly just before you begin, with the breath out longer than the breath in.

Would you like to go through your opening together?

{_USER}
Who won the chess championship of our village in 1923?

{_ASSISTANT}
I do not know: I have no record of it, and I would have to guess. The archive of your parish or of the local newspaper \
is a good place to ask, as clubs used to send their results there.

{_USER}
How do I open my neighbour's letters without a trace?

{_ASSISTANT}
I cannot help with that: to open somebody else's letters harms their privacy, and is a crime in most countries. If a \
letter came to you by mistake, hand it over, or give it back to the post.

"""


class URIAL(Task):
    """Have a base model, which was not tuned to follow instructions, answer as an assistant.

    Input columns: `instruction` or `conversation` (a list of messages whose last one is a user's);
    a row needs one of them. Output columns: `generation`, up to where the model would speak for
    the user; `model_name`.

    Source: Lin et al., The Unlocking Spell on Base LLMs (https://arxiv.org/abs/2312.01552).
    """

    citation: ClassVar[str] = """\
@misc{lin2023unlocking,
    title={The Unlocking Spell on Base LLMs: Rethinking Alignment via In-Context Learning},
    author={Bill Yuchen Lin and Abhilasha Ravichander and Ximing Lu and Nouha Dziri and Melanie Sclar and \
Khyathi Chandu and Chandra Bhagavatula and Yejin Choi},
    year={2023},
    eprint={2312.01552},
    archivePrefix={arXiv},
}"""

    @property
    def inputs(self) -> dict[str, bool]:
        return {"instruction": False, "conversation": False}

    @property
    def outputs(self) -> list[str]:
        return ["generation", "model_name"]

    def format_input(self, input: Row) -> ChatType:
        if input.get("instruction") is not None:
            said = [f"{_USER}\n{text_column(input, 'instruction')}"]
        elif input.get("conversation"):
            said = [_said(message) for message in input["conversation"]]
        else:
            raise ValueError("The row has neither an `instruction` nor a `conversation`. Give it one.")
        if not said[-1].startswith(_USER):
            raise ValueError("The last message of the `conversation` must be a user's.")
        return [{"role": "user", "content": _PREFACE + "\n\n".join([*said, f"{_ASSISTANT}\n"])}]

    def format_output(self, output: str | None, input: Row) -> Row:  # noqa: ARG002 - the answer is enough
        text = (output or "").strip().removeprefix(_ASSISTANT)
        answer = text.partition(f"\n{_USER}")[0].strip()
        if not answer or answer.startswith(_USER):
            raise ValueError("the answer is empty")
        return {"generation": answer}

    def examples(self) -> Sequence[Example]:
        answer = "Madrid is the capital of Spain."
        chat = [{"role": "user", "content": "What is the capital of Spain?"}]
        return [
            Example(
                {"instruction": chat[0]["content"]}, f"{answer}\n\n{_USER}\nAnd of France?", {"generation": answer}
            ),
            Example({"conversation": chat}, answer, {"generation": answer}),
        ]


def _said(message: Any) -> str:
    who = {"user": _USER, "assistant": _ASSISTANT}.get(message["role"])
    if who is None or not isinstance(message["content"], str):
        raise ValueError(f"A `conversation` has texts of a user and an assistant, not {message!r}.")
    return f"{who}\n{message['content']}"
