"""`genstruct`: a question about a document, and its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from limbeck import Task
from limbeck.types import Example

from .places import check_places, filled
from .texts import text_column, without_thinking

if TYPE_CHECKING:
    from collections.abc import Sequence

    from limbeck.types import ChatType, Row

_USER, _ASSISTANT = "[[[User]]]", "[[[Assistant]]]"

TEMPLATE = f"""\
[[[Title]]] <TITLE>
[[[Content]]] <CONTENT>

What follows is a dialogue about the text above: one question of a user after {_USER}, then the whole answer of an AI \
assistant after {_ASSISTANT}.

{_USER} """


class Genstruct(Task):
    """Write a user's question about a document, and an assistant's answer to it.

    Input columns: `title`, `content`. Output columns: `user`, `assistant`; `model_name`.

    The tags in the prompt are those of the model Genstruct-7B
    (https://huggingface.co/NousResearch/Genstruct-7B), which was trained for this; others understand them too.

    Source: Cui and Wang, Ada-Instruct (https://arxiv.org/abs/2310.04484).

    Attributes:
        template: the prompt, with `<TITLE>` and `<CONTENT>` where the row's texts belong.
    """

    citation: ClassVar[str] = """\
@misc{cui2023adainstruct,
    title={Ada-Instruct: Adapting Instruction Generators for Complex Reasoning},
    author={Wanyun Cui and Qianle Wang},
    year={2023},
    eprint={2310.04484},
    archivePrefix={arXiv},
}"""

    template: str = TEMPLATE

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        check_places(self.template, ["TITLE", "CONTENT"], what=f"`template` of {self.name!r}")

    @property
    def inputs(self) -> list[str]:
        return ["title", "content"]

    @property
    def outputs(self) -> list[str]:
        return ["user", "assistant", "model_name"]

    def format_input(self, input: Row) -> ChatType:
        title, content = text_column(input, "title"), text_column(input, "content")
        return [{"role": "user", "content": filled(self.template, TITLE=title, CONTENT=content)}]

    def format_output(self, output: str | None, input: Row) -> Row:  # noqa: ARG002 - the answer is enough
        question, tag, rest = without_thinking(output).removeprefix(_USER).partition(_ASSISTANT)
        row = {"user": question.strip(), "assistant": rest.partition(_USER)[0].strip()}
        if not tag or not all(row.values()):
            raise ValueError(f"the answer is no question and answer with {_ASSISTANT} between them")
        return row

    def examples(self) -> Sequence[Example]:
        row = {"title": "Salt", "content": "Salt keeps food from going bad, and roads from freezing."}
        output = {"user": "Why do towns buy salt before winter?", "assistant": "To keep their roads from freezing."}
        return [Example(row, f"{output['user']}\n{_ASSISTANT} {output['assistant']}", output)]
