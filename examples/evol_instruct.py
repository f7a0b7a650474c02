"""Harder instructions from plain ones, as WizardLM makes them, for people who are drawn from a grid.

    python examples/evol_instruct.py

A grid draws who is asking, a task writes an instruction for each of them, and `evol-instruct` makes it
harder in three rounds. Each row is a conversation: with `run(run_dir=…)` a run that was stopped goes on
in the middle of it, and pays for no round twice.

It needs no key: a function stands in for the model. For a real one put its name in its place, such as
`WRITER = "openai/gpt-5-mini"`; nothing else changes.
"""

from limbeck import Pipeline
from limbeck.steps import AttributeGrid, KeepColumns, SaveToJsonl
from limbeck.tasks import EvolInstruct, TextGeneration
from limbeck.testing import ScriptedLLM


def write(request):
    prompt = request.messages[-1]["content"]
    instruction = prompt.rpartition("\n")[2]
    if prompt.startswith(("You make", "You think")):
        return f"{instruction} Give one more reason."
    return f"Explain {instruction}."


WRITER = ScriptedLLM(model="writer", script=write)


def evolution(path, rows=4, rounds=3):
    with Pipeline("evol-instruct") as pipeline:
        people = AttributeGrid(
            attributes={"reader": {"child": 1, "adult": 2}, "topic": ["why bread rises", "what a prime number is"]},
            conditions=[{"when": {"reader": "child"}, "then": {"topic": ["why the sky is blue"]}}],
            num_rows=rows,
        )
        plain = TextGeneration(
            llm=WRITER,
            template="Write one request to an AI system about this:\n{{ topic }} to {{ reader }} readers",
            output_mappings={"generation": "instruction"},
        )
        evolve = EvolInstruct(llm=WRITER, num_evolutions=rounds)
        kept = KeepColumns(columns=["reader", "topic", "instruction", "evolved_instruction"])
        people >> plain >> evolve >> kept >> SaveToJsonl(path=path)
    return pipeline


if __name__ == "__main__":
    print(evolution("evolved-instructions.jsonl").run(overwrite=True).report)
