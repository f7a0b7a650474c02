"""Harder instructions from plain ones: each is made harder again and again, as long as a check accepts what comes.

    python examples/evolve.py

A graph has no circles, so the rounds of the loop are written one behind the other, by a loop in
Python. After each round a router sends what was accepted into the next one, and the rest, as it
was, to be answered.

It needs no key: functions stand in for the two models. For real ones put names in their place,
such as `WRITER = "openai/gpt-5-mini"`; nothing else changes.
"""

from limbeck import Pipeline, Task, router, step
from limbeck.steps import KeepColumns, SaveToJsonl
from limbeck.tasks import TextClassification, TextGeneration
from limbeck.testing import ScriptedLLM

ROUNDS = 3
SEEDS = [
    {"instruction": "Sort a list."},
    {"instruction": "Name a river."},
    {"instruction": "Explain photosynthesis, its chemistry and its history, to a child."},
]
CONSTRAINTS = ["in one sentence", "without the letter e", "as a poem"]


def write(request):
    prompt = request.messages[-1]["content"]
    if not prompt.startswith("Add one constraint"):
        return f"An answer to: {prompt}"
    instruction = prompt.rpartition("\n")[2].rstrip(".")
    return f"{instruction}, {CONSTRAINTS[instruction.count(',') % len(CONSTRAINTS)]}."


def check(request):
    commas = request.messages[-1]["content"].count(",")
    return '{"label": "%s"}' % ("too much" if commas > 3 else "sound")


WRITER = ScriptedLLM(model="writer", script=write)
CHECKER = ScriptedLLM(model="checker", script=check)


class Evolve(Task):
    """Makes an instruction a little harder."""

    @property
    def inputs(self):
        return ["instruction"]

    @property
    def outputs(self):
        return ["evolved", "model_name"]

    def format_input(self, input):
        demand = "Add one constraint to this instruction, and reply with nothing but the new instruction:"
        return [{"role": "user", "content": f"{demand}\n{input['instruction']}"}]

    def format_output(self, output, input):
        if not output or output == input["instruction"]:
            raise ValueError("the instruction did not change")
        return {"evolved": output}


@step(inputs=["instruction", "evolved", "label", "depth"], outputs=["accepted"], dropped=["evolved", "label"])
def take(row):
    """Goes on with the evolved instruction where it was found sound."""
    row = dict(row)
    evolved, label = row.pop("evolved"), row.pop("label")
    if label != "sound":
        return {**row, "accepted": False}
    return {**row, "instruction": evolved, "depth": row["depth"] + 1, "accepted": True}


def evolution(seeds, path):
    with Pipeline("evolve") as pipeline:
        answer = TextGeneration(name="answer", llm=WRITER)
        rows = seeds
        for number in range(1, ROUNDS + 1):
            evolve = Evolve(name=f"evolve-{number}", llm=WRITER)
            sound = TextClassification(
                name=f"check-{number}",
                llm=CHECKER,
                labels={"sound": "It can be done.", "too much": "It cannot be done, or not by anybody sane."},
                input_mappings={"text": "evolved"},
            )
            taken = take(name=f"take-{number}")
            rows >> evolve >> sound >> taken
            if number == ROUNDS:
                taken >> answer
                break
            routes = {f"evolve-{number + 1}": "accepted", "answer": None}
            rows = taken >> router(name=f"router-{number}", **routes)
            rows >> answer
        answer >> KeepColumns(columns=["instruction", "depth", "generation"]) >> SaveToJsonl(path=path)
    return pipeline


if __name__ == "__main__":
    seeds = [{**seed, "depth": 0} for seed in SEEDS]
    print(evolution(seeds, "evolved.jsonl").run(overwrite=True).report)
