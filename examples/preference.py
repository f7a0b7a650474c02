"""A preference data set: two LLMs answer, a third rates the answers, the best and the worst make a pair for DPO.

    python examples/preference.py

It needs no key: functions stand in for the three models. For real ones put names in their place,
such as `SMALL = "openai/gpt-5-nano"` and `JUDGE = "anthropic/claude-opus-4-5"`; nothing else changes.
"""

import json
from pathlib import Path

from pydantic import BaseModel, Field

from limbeck import Pipeline, Task, join
from limbeck.steps import FilterRows, FormatForDPO, KeepColumns, LoadDataFromJsonl, SaveToJsonl
from limbeck.tasks import TextGeneration
from limbeck.testing import ScriptedLLM

HERE = Path(__file__).parent


def answer_briefly(request):
    return f"You ask: {request.messages[-1]['content']}"


def answer_at_length(request):
    return f"{answer_briefly(request)} That is a good question, and the answer to it is long."


def rate_by_length(request):
    _, *answers = request.messages[-1]["content"].split("\n\nAnswer ")
    return json.dumps({"ratings": [min(10, len(answer.split())) for answer in answers]})


SMALL = ScriptedLLM(model="small", script=answer_briefly)
LARGE = ScriptedLLM(model="large", script=answer_at_length)
JUDGE = ScriptedLLM(model="judge", script=rate_by_length)


class Ratings(BaseModel):
    ratings: list[int] = Field(description="A rating from 1 (useless) to 10 (nothing is missing) for each answer.")


class RateAnswers(Task):
    """Rates several answers to one question, side by side."""

    output_schema = Ratings

    @property
    def inputs(self):
        return ["instruction", "generation"]

    @property
    def outputs(self):
        return ["ratings", "model_name"]

    def format_input(self, input):
        answers = [f"Answer {number}: {text}" for number, text in enumerate(input["generation"], 1)]
        return [{"role": "user", "content": "\n\n".join([f"Rate the answers to: {input['instruction']}", *answers])}]

    def format_output(self, output, input):
        ratings = json.loads(output)["ratings"]
        if len(ratings) != len(input["generation"]):
            raise ValueError(f"{len(ratings)} ratings for {len(input['generation'])} answers")
        return {"ratings": ratings}


def preference(questions, pairs):
    with Pipeline("preference") as pipeline:
        load = LoadDataFromJsonl(paths=questions)
        small = TextGeneration(name="small", llm=SMALL, num_generations=2)
        large = TextGeneration(name="large", llm=LARGE)
        judge = RateAnswers(name="judge", llm=JUDGE)
        not_a_tie = FilterRows(condition=lambda row: len(set(row["ratings"] or ())) > 1)
        save = SaveToJsonl(path=pairs)

        # Three answers to each question: two of the small model's, one of the large one's.
        load >> [small, large] >> join(group=["generation"]) >> judge >> not_a_tie
        not_a_tie >> FormatForDPO() >> KeepColumns(columns=["prompt", "chosen", "rejected"]) >> save
    return pipeline


if __name__ == "__main__":
    result = preference(HERE / "questions.jsonl", "preference.jsonl").run(overwrite=True)
    print(result.report)
