"""Pipelines from files and dicts.

Covers `_pipeline.config.build`, `_pipeline.config.endpoints`, `_pipeline.config.load`, `_pipeline.config.recipe`,
`_pipeline.config.settings`, `_pipeline.config.text.document` and `_pipeline.config.text.toml_text`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from limbeck import Pipeline
from limbeck.errors import ConfigurationError, MissingDependencyError

ROWS = [{"question": "a"}]


def written(tmp_path: Path, text: str, name: str = "p.yaml") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def of(*steps: dict[str, Any], **top: Any) -> Pipeline:
    return Pipeline.from_dict({"input": ROWS, "steps": list(steps), **top})


ASK = {"task": "ask", "llm": "offline"}


# The graph


def test_entries_are_a_chain_behind_the_input() -> None:
    pipeline = of(ASK, {"step": "upper", "column": "answer"})
    assert pipeline.edges == [("input", "ask"), ("ask", "upper")]


def test_tasks_is_the_older_name_of_the_list() -> None:
    pipeline = Pipeline.from_dict({"input": ROWS, "tasks": [{**ASK, "name": "first"}]})
    assert list(pipeline.steps) == ["input", "first"]


def test_after_makes_a_graph_of_the_chain() -> None:
    pipeline = of(
        {**ASK, "name": "small"},
        {**ASK, "name": "large", "after": "input"},
        {"join": {"group": ["answer"]}, "after": ["large", "small"]},
        {"step": "upper", "column": "question"},
    )
    assert pipeline.before("large") == ["input"]
    assert pipeline.before("join") == ["large", "small"]
    assert pipeline.before("upper") == ["join"]


def test_after_may_name_what_comes_later() -> None:
    pipeline = of({"step": "upper", "column": "answer", "after": "ask"}, {**ASK, "after": "input"})
    assert list(pipeline.steps) == ["input", "ask", "upper"]


def test_a_step_after_nothing_gets_its_rows_when_the_pipeline_is_run() -> None:
    pipeline = Pipeline.from_dict({"steps": [ASK, {"step": "upper", "column": "question", "after": []}]})
    assert pipeline.edges == []


def test_a_source_in_the_list_follows_nothing() -> None:
    pipeline = of(ASK, {"step": "load-data-from-dicts", "data": ROWS}, {**ASK, "name": "again"})
    assert pipeline.before("load-data-from-dicts") == []
    assert pipeline.before("again") == ["load-data-from-dicts"]


def test_a_router_and_its_conditions_are_an_entry() -> None:
    pipeline = of(
        {"router": {"short": "question|length < 9", "long": None}},
        {**ASK, "name": "short"},
        {**ASK, "name": "long", "after": "router"},
    )
    pipeline.check()
    assert pipeline.steps["router"].destinations({"question": "why?"}) == ["short"]
    assert pipeline.steps["router"].destinations({"question": "why on earth?"}) == ["long"]


def test_an_unnamed_repeat_gets_a_number() -> None:
    assert list(of(ASK, ASK).steps) == ["input", "ask", "ask-2"]


def test_equal_llms_are_one_object() -> None:
    pipeline = of(ASK, ASK, {**ASK, "llm": {"provider": "offline", "model": "other"}})
    first, second, third = (pipeline.steps[name].llm for name in ("ask", "ask-2", "ask-3"))
    assert first is second
    assert first is not third


def test_steps_do_not_join_a_pipeline_that_happens_to_be_open() -> None:
    with Pipeline("open") as outer:
        of(ASK)
    assert outer.steps == {}


# Files


def test_a_toml_file_says_the_same(tmp_path: Path) -> None:
    text = """
name = "t"
input = [{question = "a"}]
max_failed = "5%"

[[steps]]
router = {hard = "question == 'b'", easy = ""}

[[steps]]
task = "ask"
name = "hard"
num_generations = 2
[steps.llm]
provider = "paid/m"
rpm = 60

[[steps]]
task = "ask"
name = "easy"
llm = "offline"
after = "router"
"""
    pipeline = Pipeline.from_toml(written(tmp_path, text, "p.toml"))
    assert pipeline.steps["hard"].num_generations == 2
    assert pipeline.steps["hard"].llm.rpm == 60
    assert pipeline.steps["router"].destinations({"question": "x"}) == ["easy"]
    assert pipeline.run_settings is not None
    assert pipeline.run_settings.max_failed == 0.05


def test_a_text_of_several_lines_is_no_path() -> None:
    assert list(Pipeline.from_yaml("name: x\nsteps:\n- {task: ask, llm: offline}\n").steps) == ["ask"]


def test_a_path_is_meant_from_the_file_s_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "below").mkdir()
    path = written(tmp_path / "below", "steps:\n- {step: upper, column: q}\n- {step: keep, path: out.jsonl}\n")
    monkeypatch.chdir(tmp_path)
    assert Pipeline.from_yaml(path).steps["keep"].path == str(tmp_path / "below" / "out.jsonl")
    assert Pipeline.from_yaml("below/p.yaml").steps["keep"].path == "below/out.jsonl"


@pytest.mark.parametrize("path", ["-", "s3://bucket/out.parquet", "/tmp/out.jsonl"])
def test_what_is_no_path_of_a_folder_stays_as_it_is(tmp_path: Path, path: str) -> None:
    file = written(tmp_path, f"steps:\n- {{step: upper, column: q}}\n- {{step: keep, path: '{path}'}}\n")
    assert Pipeline.from_yaml(file).steps["keep"].path == path


def test_without_pyyaml_a_yaml_file_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from limbeck._pipeline.config.text import yaml_text

    yaml_text._loader.cache_clear()
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'limbeck-core\[yaml\]'"):
        Pipeline.from_yaml(written(tmp_path, "steps: []"))


# Settings


@pytest.mark.parametrize("word", ["steps", "tasks"])
def test_a_setting_is_on_top_of_the_file(word: str) -> None:
    settings = [f"{word}.ask.num_generations=3", f"{word}.ask.llm.model=other", f"{word}.ask.labels=[no, yes]"]
    pipeline = Pipeline.from_dict({"steps": [ASK]}, settings=settings)
    assert pipeline.steps["ask"].num_generations == 3
    assert pipeline.steps["ask"].llm.model_name == "offline/other"
    assert pipeline.steps["ask"].labels == ["no", "yes"]


def test_a_limit_is_that_of_every_llm_that_has_none_of_its_own() -> None:
    own = {"provider": "paid/m", "rpm": 9}
    pipeline = of({**ASK, "llm": "paid/m"}, {**ASK, "llm": own}, rpm=60, max_concurrency=3)
    assert [(pipeline.steps[name].llm.rpm, pipeline.steps[name].llm.max_concurrency) for name in ("ask", "ask-2")] == [
        (60, 3),
        (9, 3),
    ]


def test_a_source_is_read_up_to_the_limit() -> None:
    pipeline = of(ASK, input=[{"question": str(number)} for number in range(99)], limit=60)
    source = pipeline.steps["input"]
    assert [row["question"] for chunk in source.process() for row in chunk] == [str(number) for number in range(60)]
    assert source.count() == 60


# Mistakes


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- a", "p.yaml:1: expected a mapping with the keys `name`, `input`, `output`, `steps`, `tasks`, not a list."),
        ("step: []", "p.yaml:1: there is no key 'step' here. Did you mean `steps`?"),
        ("steps:\n- {task: ask, step: upper}", "p.yaml:2: an entry is one of `task`, `step`, `router`, `join`;"),
        ("steps:\n- {task: ask, llm: offline}\ntasks: []", "p.yaml:3: `tasks` and `steps` are the same list"),
        ("steps:\n- taks: ask", "p.yaml:2: `steps[0].step`: expected the name of a step (see `limbeck steps`), not"),
        ("steps:\n- task: aks\n  llm: offline", "p.yaml:2: There is no task named 'aks'. Did you mean `ask`?"),
        ("steps:\n- step: uper", "p.yaml:2: There is no step named 'uper'. Did you mean `upper` or"),
        ("steps:\n- {step: ask}", "p.yaml:2: 'ask' is a task: write `task: ask`."),
        ("steps:\n- {task: upper}", "p.yaml:2: 'upper' is a step: write `step: upper`."),
        ("steps:\n- step: upper", "p.yaml:2: the step 'upper' needs the field `column`."),
        ("steps:\n- step: upper\n  column: a\n  times: many", "p.yaml:4: `times` of the step 'upper': Input should"),
        (
            "steps:\n- step: upper\n  colum: a",
            "p.yaml:3: the step 'upper' has no field 'colum'. Did you mean `column`?",
        ),
        ("steps:\n- router: [a]", "p.yaml:2: `steps[0].router`: expected a mapping: a condition for each step"),
        ("steps:\n- router: {a: 'x >'}", "p.yaml:2: The route to 'a' is not an expression"),
        (
            "steps:\n- {task: ask, llm: offline}\n- task: ask\n  llm: offline\n  after: aks",
            "p.yaml:5: `after` of 'ask-2'",
        ),
        ("steps:\n- task: ask\n  llm: offline\n  after: 3", "p.yaml:4: `steps[0].after`: expected the name of a step"),
        (
            "steps:\n- step: keep\n  path: a\n- task: ask\n  llm: offline",
            "p.yaml:4: 'ask' comes after the sink 'keep', which gives no rows on. Say with `after: NAME`",
        ),
        (
            "steps:\n- {task: ask, llm: offline, name: a, after: b}\n- {task: ask, llm: offline, name: b}",
            "goes in a circle: a -> b -> a.",
        ),
        ("limit: 0\nsteps: [{task: ask, llm: offline}]", "p.yaml:1: `limit`: expected a whole number above 0, not 0."),
    ],
)
def test_a_mistake_is_told_by_file_line_and_key_with_what_was_expected(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Pipeline.from_yaml(written(tmp_path, text + "\n"))
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[[steps]]\ntask = "ask"\nllm = "offline"\n\n[[steps]]\n"task" = "aks"\n', "p.toml:6: There is no task named"),
        ('[[steps]]\nstep = "upper"\ncolumn = """\na\n"""\n\ntimes = "x"\n', "p.toml:7: `times` of the step 'upper'"),
        ('steps = [\n  {step = "upper", times = 1},\n]\n', "p.toml:1: the step 'upper' needs the field `column`"),
        ('[[steps]]\ntask = "ask"\n[steps.llm]\nprovider = "ofline"\n', "p.toml:3: There is no llm named 'ofline'"),
        ("name = \n", "p.toml: this is not valid TOML: Invalid value (at line 1, column 8)."),
    ],
)
def test_a_mistake_in_toml_is_told_so_too(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Pipeline.from_toml(written(tmp_path, text, "p.toml"))
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"steps": 3}, "`steps`: expected a list of steps, each with the key `task` or `step`, not 3."),
        ({"steps": [{"step": "uper"}]}, "steps[0].step: There is no step named 'uper'."),
        ({"steps": [{**ASK, "num_generations": 0}]}, "steps[0].num_generations: `num_generations` of the task 'ask'"),
        ({}, "`steps`: expected a list of steps"),
    ],
)
def test_a_mistake_in_a_dict_is_told_by_its_keys(data: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Pipeline.from_dict(data)
    assert told in str(caught.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.yaml: cannot be read: No such file"):
        Pipeline.from_yaml(tmp_path / "none.yaml")
