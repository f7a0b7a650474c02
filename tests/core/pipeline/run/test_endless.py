"""Steps and sources without end: what is wanted of them comes, no more is made, and Ctrl-C ends the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.children import interrupted, said_by

if TYPE_CHECKING:
    from pathlib import Path

# 3 GB, so that a program that holds all it is given fails instead of the machine.
SCENE = """
import asyncio, itertools, resource, threading
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
from limbeck import GeneratorStep, GlobalStep, Pipeline, Step, step
from support.questions import Ask

def counted():
    try:
        for n in itertools.count():
            yield {"n": n}
    finally:
        print("closed", flush=True)

class First(Step):
    "Lets ten rows pass."
    in_order = True
    seen: int = 0
    inputs, outputs = property(lambda self: ["n"]), property(lambda self: [])
    @property
    def exhausted(self):
        return self.seen >= 10
    def process(self, inputs):
        kept = inputs[: max(0, 10 - self.seen)]
        self.seen += len(kept)
        yield kept

class Endless(Step):
    inputs, outputs = property(lambda self: []), property(lambda self: ["n"])
    def process(self, inputs):
        try:
            for n in itertools.count():
                yield [{"n": n}]
        finally:
            print("closed", flush=True)

class Silent(Endless):
    def process(self, inputs):
        try:
            print("begun", flush=True)
            while True:
                yield []
        finally:
            print("closed", flush=True)

class Stuck(Endless):
    def process(self, inputs):
        print("begun", flush=True)
        threading.Event().wait()
        yield []

class EndlessSource(GeneratorStep):
    outputs = property(lambda self: ["n"])
    def process(self):
        try:
            for n in itertools.count():
                yield []
                yield [{"n": n}]
        finally:
            print("closed", flush=True)

class EndlessOverAll(GlobalStep):
    inputs, outputs = property(lambda self: []), property(lambda self: ["n"])
    def process(self, inputs):
        yield counted()

def numbers(run):
    print([row["n"] for row in run])
"""
TEN = str(list(range(10)))
ONE = "[{'n': 0}]"
PIPELINES = {
    "a step": f"Pipeline({ONE}, Endless(), First())",
    "a generator function": f"Pipeline({ONE}, step(outputs=['n'])(lambda row: counted())(), First())",
    "a step behind a step": "Pipeline([{'n': 0}] * 3, step(inputs=['n'])(lambda row: row)(), Endless(), First())",
    "a step with branches behind it, one of them wanted": f"Pipeline({ONE}, Endless(), First(), First(name='again'))",
    "a source": "Pipeline(EndlessSource(), First())",
    "a generator": "Pipeline(counted(), First())",
    "a step over all rows": f"Pipeline({ONE}, EndlessOverAll(), First())",
}


@pytest.mark.parametrize("pipeline", PIPELINES.values(), ids=PIPELINES)
def test_ten_rows_of_something_endless_come_and_what_makes_them_is_closed(pipeline: str, tmp_path: Path) -> None:
    said = said_by(f"{SCENE}\nnumbers({pipeline}.run(run_dir='run'))", tmp_path)
    assert said.splitlines() == ["closed", TEN]


def test_an_endless_async_source_is_closed_once_no_more_is_wanted(tmp_path: Path) -> None:
    program = """
async def rows():
    try:
        for n in itertools.count():
            yield {"n": n}
    finally:
        print("closed", flush=True)
print([row["n"] for row in asyncio.run(Pipeline(rows(), First()).arun(run_dir="run"))])
"""
    assert said_by(SCENE + program, tmp_path).splitlines() == ["closed", TEN]


def test_the_rows_of_an_endless_step_leave_while_it_makes_others(tmp_path: Path) -> None:
    program = f"""
with Pipeline({ONE}, Endless()).stream(run_dir="run") as stream:
    print([next(stream)["n"] for _ in range(1000)] == list(range(1000)), flush=True)
"""
    assert said_by(SCENE + program, tmp_path).splitlines() == ["True", "closed"]


def test_a_step_over_all_rows_that_nobody_wants_any_more_stops_what_leads_to_it(tmp_path: Path) -> None:
    program = """
with Pipeline() as p:
    enough, endless = p.add([{"n": n} for n in range(10)]), EndlessSource()
    ordered = step(inputs=["n"], all_rows=True)(lambda rows: rows)(name="ordered")
    first = First()
    enough >> first
    endless >> ordered >> first
numbers(p.run(run_dir="run"))
"""
    assert said_by(SCENE + program, tmp_path).splitlines() == ["closed", TEN]


def test_very_many_rows_of_one_keep_their_order_and_their_places(tmp_path: Path) -> None:
    program = """
many = step(inputs=["n"], outputs=["n"])(lambda row: ({"n": n + row["n"]} for n in range(2000)))
twice = step(inputs=["n"], outputs=["n"])(lambda row: [{"n": row["n"]}, {"n": -row["n"]}])
rows = Pipeline([{"n": 0}, {"n": 10000}], many(), twice()).run(run_dir="run").to_list()
print([row["n"] for row in rows] == [m for base in (0, 10000) for n in range(2000) for m in (base + n, -base - n)])
"""
    assert said_by(SCENE + program, tmp_path).splitlines() == ["True"]


def test_a_row_that_fails_after_very_many_rows_came_of_it_is_kept_behind_them(tmp_path: Path) -> None:
    program = """
def some(row):
    for n in range(600):
        yield {"n": n}
    raise ValueError("enough")
rows = Pipeline([{"n": -1}], step(inputs=["n"], outputs=["m"])(some)()).run(run_dir="run").to_list()
print(len(rows), rows[-2]["n"], rows[-1]["n"], rows[-1]["m"])
"""
    assert said_by(SCENE + program, tmp_path).splitlines() == ["513 511 -1 None"]


def test_the_endless_seeds_of_a_task_are_closed_once_no_more_is_wanted(tmp_path: Path) -> None:
    program = """
from limbeck import GeneratorTask
from limbeck.testing import EchoLLM
class Made(GeneratorTask):
    outputs = property(lambda self: ["n"])
    def seeds(self):
        return counted()
    def format_input(self, input):
        return [{"role": "user", "content": str(input["n"])}]
    def format_output(self, output, input):
        return {"n": int(output)}
numbers(Pipeline(Made(llm=EchoLLM()), First()).run(run_dir="run"))
"""
    assert said_by(SCENE + program, tmp_path).splitlines()[-2:] == ["closed", TEN]


def test_three_hundred_thousand_rows_of_one_are_not_held(tmp_path: Path) -> None:
    program = """
many = step(inputs=["n"], outputs=["n"])(lambda row: ({"n": n, "text": str(n) * 200} for n in range(300_000)))
last = None
for last in Pipeline([{"n": 0}], many()).stream():
    pass
# This program's own peak: what `getrusage` gives begins with its parent's.
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(last["n"], int(peak.split()[1]) // 1024 < 250)
"""
    assert said_by(SCENE + program, tmp_path).splitlines() == ["299999 True"]


@pytest.mark.parametrize("kind", ["Silent", "Stuck"])
def test_two_interrupts_at_the_most_end_a_step_that_gives_nothing(kind: str, tmp_path: Path) -> None:
    said = interrupted(f"{SCENE}\nnumbers(Pipeline({ONE}, {kind}()).run(run_dir='run'))", tmp_path)
    assert said.startswith("begun")
    assert "KeyboardInterrupt" in said


IN_PROCESSES = """
import itertools, sys, threading
from limbeck import Pipeline, Step
class Many(Step):
    cpu_bound = True
    inputs, outputs = property(lambda self: []), property(lambda self: ["n"])
    def process(self, inputs):
        for n in itertools.count():
            yield [{"n": n}]
class Stuck(Many):
    def process(self, inputs):
        print("begun", flush=True)
        threading.Event().wait()
        yield []
if __name__ == "__main__":
    (row,) = Pipeline([{"q": 0}], globals()[sys.argv[1]]()).run(run_dir="run").to_list()
    print(row["distilabel_metadata"]["error_" + sys.argv[1].lower()]["message"])
"""
RUN = "import runpy, sys; sys.argv[1:] = ['{}']; runpy.run_path('scene.py', run_name='__main__')"


def test_a_step_in_processes_that_makes_rows_without_end_fails_its_row(tmp_path: Path) -> None:
    (tmp_path / "scene.py").write_text(IN_PROCESSES, encoding="utf-8")
    assert "makes more than 100,000 rows of one" in said_by(RUN.format("Many"), tmp_path)


def test_an_interrupt_ends_the_processes_of_a_step_that_gives_nothing(tmp_path: Path) -> None:
    (tmp_path / "scene.py").write_text(IN_PROCESSES, encoding="utf-8")
    said = interrupted(RUN.format("Stuck"), tmp_path)
    assert said.startswith("begun")
    assert "KeyboardInterrupt" in said
