"""An agent with two tools: it looks products up and adds prices, for each question in a table.

    python examples/agent.py

A model is told of the tools, calls those that it needs, and is asked again with their results, until it answers. With a
run directory each answer and each result is on disk before the next request, so that a run that was stopped goes on in
the middle of a conversation.

It needs no key: a function stands in for the model. For a real one put a name in its place, such as
`MODEL = "openai/gpt-5-mini"`; nothing else changes.
"""

import json
import re
from typing import Annotated

from pydantic import Field

from limbeck import Task, run_tools, tool
from limbeck.testing import ScriptedLLM
from limbeck.tools import ToolsField
from limbeck.types import Generation

PRICES = {"lamp": 49.0, "chair": 120.0, "desk": 310.5}
QUESTIONS = [
    {"question": "What do a lamp and a desk cost together?"},
    {"question": "What does a chair cost?"},
    {"question": "What does a sofa cost?"},
]


@tool
def price_of(product: Annotated[str, Field(description="One word, in the singular.")]) -> float:
    """The price of a product, in euros."""
    if product not in PRICES:
        raise LookupError(f"we do not sell {product!r}; we sell {', '.join(PRICES)}")
    return PRICES[product]


@tool
def add(numbers: list[float]) -> float:
    """The sum of numbers.

    Args:
        numbers: two or more.
    """
    return sum(numbers)


class ShopAgent(Task):
    """Answers a question with tools."""

    tools: ToolsField

    @property
    def inputs(self):
        return ["question"]

    @property
    def outputs(self):
        return ["answer", "turns"]

    def converse(self, input):
        chat = [
            {"role": "system", "content": "Answer with the tools. Do not calculate yourself."},
            {"role": "user", "content": input["question"]},
        ]
        answer = yield from run_tools(chat, self.tools, max_turns=5)
        return {"answer": answer.text, "turns": answer.turns}


def stand_in(request):
    """Does what a model would: asks for prices, has them added, and says what came of it."""
    question = request.messages[1]["content"]
    results = [message["content"] for message in request.messages if message["role"] == "tool"]
    products = re.findall(r"\ba (\w+)", question)
    if not results:
        return Generation(text=None, tool_calls=[called("price_of", product=product) for product in products])
    if results[-1].startswith("Error"):
        return f"I cannot say: {results[-1].partition('LookupError: ')[2]}."
    if len(results) == len(products) > 1:
        return Generation(text=None, tool_calls=[called("add", numbers=[json.loads(each) for each in results])])
    return f"{results[-1]} euros."


def called(name, **arguments):
    return {"type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}


MODEL = ScriptedLLM(model="stand-in", script=stand_in)


def answers(run_dir=None):
    return list(ShopAgent(llm=MODEL, tools=[price_of, add]).run(QUESTIONS, run_dir=run_dir))


if __name__ == "__main__":
    for row in answers("runs/agent"):
        print(f"{row['question']} {row['answer']} ({row['turns']} turns)")
