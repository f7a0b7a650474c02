"""`conversation-simulation`: a chat of several turns, between a model that plays the user and one that answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import PositiveInt

from limbeck import LLMField, Task, ask
from limbeck.errors import OutputError
from limbeck.types import Example

from .places import filled
from .texts import answer_text, text_column

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from limbeck.types import ChatType, Row

USER_PROMPT = """\
You play a person who talks to an AI assistant. You are not the assistant: you want something, ask, answer its \
questions, follow up on what it says, and are now and then vague, as people are.

Who you are: <PERSONA>
What you want: <GOAL>

Each of your messages is short, and one message only. When you have got what you want, or see that you will not, reply \
with nothing but <END>."""

_BEGIN = "The assistant is listening. Write your first message."
_ANYBODY, _ANYTHING = "somebody of your own choice", "something that such a person would want"


class ConversationSimulation(Task):
    """Have one model play a user and another one answer, message by message.

    Input columns, all optional: `persona` (who the user is), `goal` (what they want),
    `instruction` (the user's first message, as it is), `system_prompt` (the assistant's). Output
    columns: `conversation`, a list of messages that begins with the user and ends with the
    assistant; `model_name`.

    Source: Ding et al., UltraChat (https://arxiv.org/abs/2305.14233).

    Attributes:
        user_llm: plays the user; `llm` where it is None.
        n_turns: the most pairs of messages. The user may end it before, by `end_mark`.
        system_prompt: the assistant's, for every row that has none of its own. It is not in `conversation`.
        user_prompt: the system prompt of who plays the user, with `<PERSONA>`, `<GOAL>` and `<END>`.
        end_mark: what the user says instead of a message to end the conversation.
    """

    citation: ClassVar[str] = """\
@misc{ding2023ultrachat,
    title={Enhancing Chat Language Models by Scaling High-quality Instructional Conversations},
    author={Ning Ding and Yulin Chen and Bokai Xu and Yujia Qin and Zhi Zheng and Shengding Hu and Zhiyuan Liu and \
Maosong Sun and Bowen Zhou},
    year={2023},
    eprint={2305.14233},
    archivePrefix={arXiv},
}"""

    user_llm: LLMField | None = None
    n_turns: PositiveInt = 3
    system_prompt: str | None = None
    user_prompt: str = USER_PROMPT
    end_mark: str = "[END]"

    @property
    def inputs(self) -> dict[str, bool]:
        return dict.fromkeys(("persona", "goal", "instruction", "system_prompt"), False)

    @property
    def outputs(self) -> list[str]:
        return ["conversation", "model_name"]

    def converse(self, input: Row) -> Generator[Any, Any, Row]:
        """Ask the user and the assistant in turn."""
        given = {column: text_column(input, column) for column in self.inputs if input.get(column) is not None}
        system_prompt = given.get("system_prompt") or self.system_prompt
        before: ChatType = [{"role": "system", "content": system_prompt}] if system_prompt else []
        conversation: ChatType = []
        for turn in range(self.n_turns):
            said = given.get("instruction") if turn == 0 else None
            if not said:
                said = answer_text((yield ask(self._seen_by_user(given, conversation), llm=self.user_llm)))
                if self.end_mark in said:
                    break
            conversation.append({"role": "user", "content": said})
            answer = yield ask([*before, *conversation])
            conversation.append({"role": "assistant", "content": answer_text(answer)})
        if not conversation:
            raise OutputError(f"Who plays the user said {self.end_mark!r} before the conversation began.", raw=said)
        return {"conversation": conversation}

    def _seen_by_user(self, given: Row, conversation: ChatType) -> ChatType:
        """The conversation as who plays the user sees it: what the assistant said comes from the other side."""
        prompt = filled(
            self.user_prompt,
            PERSONA=given.get("persona") or _ANYBODY,
            GOAL=given.get("goal") or _ANYTHING,
            END=self.end_mark,
        )
        turned: ChatType = [
            {"role": "assistant" if each["role"] == "user" else "user", "content": each["content"]}
            for each in conversation
        ]
        return [{"role": "system", "content": prompt}, {"role": "user", "content": _BEGIN}, *turned]

    def examples(self) -> Sequence[Example]:
        row = {"persona": "You are a baker.", "goal": "to know why the dough does not rise"}
        said = [f"{who} {number}." for number in range(self.n_turns) for who in ("Question", "Answer")]
        conversation = [
            {"role": "user" if place % 2 == 0 else "assistant", "content": text} for place, text in enumerate(said)
        ]
        return [Example(row, said, {"conversation": conversation})]
