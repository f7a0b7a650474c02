"""A task's conversations: what it asks with, what it reads, and where it stands among other steps."""

from __future__ import annotations

import asyncio
import contextvars
import random
import threading
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from limbeck import GeneratorTask, LLMField, Pipeline, ask, join, register_task, router, step
from limbeck.errors import ConfigurationError, RowFailedError
from limbeck.steps import LoadDataFromDicts
from limbeck.testing import EchoLLM, ScriptedLLM, registry
from limbeck.types import Capabilities
from support.questions import METADATA, PATIENCE, prompt_of, questions
from support.talking import Talk, fault_of, talking, told

if TYPE_CHECKING:
    from pathlib import Path

place: contextvars.ContextVar[str] = contextvars.ContextVar("place", default="nowhere")


class Twice(Talk):
    """Asks about the question, and about the answer; some rows are bad."""

    critic: LLMField | None = None

    def converse(self, input: Any) -> Any:
        if input["question"] == "bad":
            raise ValueError("a bad row")
        first = yield ask(input["question"])
        second = yield ask(f"and {first.text}", llm=self.critic)
        return {"out": second.text}


def twice(**fields: Any) -> Twice:
    return Twice(**{"name": "talk", "llm": EchoLLM(), **fields})


# How it is run


def test_process_run_and_their_asynchronous_forms_give_the_same() -> None:
    async def both() -> list[Any]:
        return [await twice().aprocess(questions(3)), [row async for row in twice().arun(questions(3))]]

    expected = list(twice().run(questions(3)))
    assert [*twice().process(questions(3)), *asyncio.run(both())] == [expected] * 3


def test_a_failed_conversation_is_kept_dropped_or_ends_the_run() -> None:
    rows = [{"question": text} for text in ("a", "bad", "c")]
    assert told(list(twice(on_error="keep").run(rows))) == ["and a", "RowError", "and c"]
    assert told(list(twice(on_error="drop").run(rows))) == ["and a", "and c"]
    with pytest.raises(RowFailedError, match="row 1: RowError: `converse` of task 'talk' raised ValueError: a bad row"):
        list(twice(on_error="raise").run(rows))


def test_the_metadata_hold_the_text_of_each_turn_and_the_sums_of_all() -> None:
    (row,) = twice(add_statistics=True).run(questions(1))
    assert row[METADATA]["raw_output_talk"] == ["0", "and 0"]
    assert set(row[METADATA]) == {"raw_output_talk", "statistics_talk"}


def test_rows_made_from_nothing_may_be_conversations() -> None:
    class Ideas(GeneratorTask):
        @property
        def inputs(self) -> list[str]:
            return []

        @property
        def outputs(self) -> list[str]:
            return ["idea"]

        def converse(self, rng: random.Random) -> Any:
            answer = yield ask(f"an idea, say {rng.randrange(10**9)}")
            return {"idea": answer.text}

    (rows,) = Ideas(llm=EchoLLM(), num_rows=5).process()
    assert len({row["idea"] for row in rows}) == 5


def test_chance_comes_of_the_seed_the_row_and_the_sample() -> None:
    class Seeded(Talk):
        seed: int = 0

        def converse(self, rng: random.Random) -> Any:
            yield ask("hi")
            return {"out": rng.random()}

    def drawn(seed: int) -> list[Any]:
        return told(list(Seeded(name="talk", llm=EchoLLM(), seed=seed, num_generations=2).run(questions(3))))

    assert drawn(1) == drawn(1)
    assert len({*drawn(1), *drawn(2)}) == 12


# Among other steps


@step(inputs=["out"], outputs=["length"])
def measure(row: Any) -> Any:
    return {**row, "length": len(row["out"] or "")}


def test_conversations_stand_in_pipelines_with_routers_joins_and_branches(tmp_path: Path) -> None:
    def pipeline() -> Pipeline:
        with Pipeline(name="talks") as made:
            first, second = twice(name="a", num_generations=2), twice(name="b")
            last = twice(name="last", input_mappings={"question": "out"}, output_mappings={"out": "last"})
            routes = router(a=lambda row: int(row["question"]) % 2 == 0, b=None)
            made.add(questions(12)) >> routes >> [first, second] >> last >> measure()
        return made

    runs = [pipeline().run(run_dir=tmp_path) for _ in range(2)]
    rows = [sorted((row["question"], row["last"], row["length"]) for row in run["measure"]) for run in runs]
    expected = [
        (str(number), f"and and {number}", len(f"and {number}")) for number in range(12) for _ in range(2 - number % 2)
    ]
    assert rows == [sorted(expected)] * 2
    assert [runs[1].report[name].requests for name in ("a", "b", "last")] == [0, 0, 0]


def test_branches_of_conversations_are_joined(tmp_path: Path) -> None:
    with Pipeline(name="joined") as pipeline:
        talks = [twice(name=name, output_mappings={"out": name}) for name in ("a", "b")]
        pipeline.add(questions(5)) >> talks >> join(name="both")
    rows = pipeline.run(run_dir=tmp_path)["both"]
    assert sorted((row["a"], row["b"]) for row in rows) == [(f"and {number}",) * 2 for number in range(5)]


def test_a_pipeline_in_a_file_holds_further_llms_fallbacks_and_repair() -> None:
    with registry():
        register_task("twice", Twice)
        with Pipeline(name="filed") as pipeline:
            task = Twice(name="talk", llm="offline", critic="offline", fallback=["offline"], repair=2, max_turns=5)
            LoadDataFromDicts(name="load", data=questions(2)) >> task
        text = pipeline.to_yaml()
        again: Any = Pipeline.from_yaml(text).steps["talk"]
        assert again.model_dump() == task.model_dump()
        assert again.fallback[0].model_name == task.llm.model_name
    for line in ("critic:", "fallback:", "repair: 2", "max_turns: 5"):
        assert line in text


# What it asks with


def test_parameters_of_a_call_stand_over_those_of_the_row_and_of_the_llm() -> None:
    seen: list[Any] = []

    class Row(Talk):
        def parameters_for(self, input: Any) -> Any:
            return {"temperature": float(input["question"]), "top_p": 0.5}

        def converse(self, input: Any) -> Any:
            yield ask("hi", parameters={"top_p": 0.9})
            return {"out": 1}

    def script(request: Any) -> str:
        seen.append(request.parameters)
        return "well"

    list(
        Row(name="talk", llm=ScriptedLLM(script=script, generation_kwargs={"seed": 1, "top_p": 0.1})).run(questions(1))
    )
    assert seen == [{"seed": 1, "temperature": 0.0, "top_p": 0.9}]


def test_parameters_that_cannot_be_had_fail_their_row() -> None:
    class Odd(Twice):
        def parameters_for(self, input: Any) -> Any:
            return {"top_p": 1 / int(input["question"])}

    assert told(list(Odd(name="talk", llm=EchoLLM()).run(questions(2)))) == ["RowError", "and 1"]


def test_tools_are_refused_for_an_llm_that_takes_none_before_anything_is_asked() -> None:
    class Toolless(EchoLLM):
        capabilities = Capabilities(tools=False)

    llm = Toolless()

    def converse(self: Any) -> Any:
        yield ask("hi", tools=[{"type": "function", "function": {"name": "f"}}])

    with pytest.raises(ConfigurationError, match="which takes none"):
        list(talking(converse, llm=llm).run(questions(1)))


class Verdict(BaseModel):
    """What a judge says."""

    good: bool


def test_an_answer_is_read_by_the_schema_that_was_asked_for() -> None:
    answers = {"model": '{"good": true}', "json": "so: [1, 2]", "none": "nothing"}

    def converse(self: Any, input: Any) -> Any:
        model = yield ask("model", schema=Verdict)
        plain = yield ask("json", schema={"type": "array"})
        none = yield ask("none", schema=Verdict, on_error="return")
        return {"out": [model.parsed, plain.parsed, type(none).__name__, none.raw]}

    llm = ScriptedLLM(script=lambda request: answers[prompt_of(request)])
    assert told(list(talking(converse, llm=llm).run(questions(1)))) == [
        [Verdict(good=True), [1, 2], "SchemaError", "nothing"]
    ]


def test_what_is_no_generator_fails_its_row() -> None:
    def converse(self: Any, input: Any) -> Any:
        return {"out": 1}

    (row,) = talking(converse, llm=EchoLLM()).run(questions(1))
    assert fault_of(row)["message"] == "`converse` of task 'talk' returned dict, not a generator: it has no `yield`."


def test_the_row_that_a_conversation_is_given_is_its_own() -> None:
    def converse(self: Any, input: Any) -> Any:
        input["question"].append("changed")
        answer = yield ask(str(input["question"]))
        return {"out": answer.text}

    rows = [{"question": ["as it was"]}]
    (row,) = talking(converse, llm=EchoLLM()).run(rows)
    assert (row["question"], row["out"]) == (["as it was"], "['as it was', 'changed']")


# Whose context variables it sees


def test_a_conversation_sees_its_callers_context_variables_and_what_it_has_set_itself() -> None:
    def converse(self: Any, input: Any) -> Any:
        seen = [place.get()]
        place.set(f"{input['question']} of {seen[0]}")
        yield ask("hi")
        return {"out": [*seen, place.get()]}

    def run_in(who: str, results: list[Any]) -> None:
        place.set(who)
        results.extend(told(list(talking(converse, llm=EchoLLM()).run(questions(2)))))
        assert place.get() == who

    results: list[Any] = []
    threads = [threading.Thread(target=run_in, args=(who, results)) for who in ("here", "there")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(results) == [[who, f"{number} of {who}"] for who in ("here", "there") for number in range(2)]
