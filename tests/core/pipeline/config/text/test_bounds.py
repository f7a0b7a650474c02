"""Documents that do not end, are too deep, or hold what no file can: each is told by its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from limbeck import Pipeline
from limbeck.errors import ConfigurationError, LimbeckError

DEEP = 5_000
STEPS = "steps: [{task: ask, llm: offline}]\n"
ROWS: list[dict[str, Any]] = [{"question": "a"}]


def refused(tmp_path: Path, name: str, text: str) -> str:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    read = Pipeline.from_toml if name.endswith(".toml") else Pipeline.from_yaml
    with pytest.raises(ConfigurationError) as caught:
        read(path)
    return str(caught.value).removeprefix(str(path))


def refused_dict(data: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        Pipeline.from_dict(data)
    return str(caught.value)


def nested(levels: int, value: Any = 1) -> Any:
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("a.yaml", "name: x\nsteps: " + "[" * DEEP + "]" * DEEP, 2),
        ("a.yaml", "name: x\nsteps: " + "{a: " * DEEP + "}" * DEEP, 2),
        ("a.yaml", "\n".join("  " * level + "a:" for level in range(120)), 101),
        ("a.yaml", "? " + "[" * DEEP + "]" * DEEP + "\n: 1\n", 1),
        ("a.toml", "name = 'x'\nsteps = " + "[" * DEEP + "]" * DEEP, 2),
        ("a.toml", "name = 'x'\nsteps = " + "{a = " * DEEP + "1" + "}" * DEEP, 2),
        ("a.toml", "name = 'x'\n" + "a." * DEEP + "a = 1", 2),
        ("a.toml", "name = 'x'\n[" + "a." * DEEP + "a]\nb = 1", 1),
    ],
)
def test_a_file_that_is_too_deep_is_told_with_its_line(tmp_path: Path, name: str, text: str, line: int) -> None:
    told = refused(tmp_path, name, text)
    assert told.startswith(f":{line}: lists and mappings are nested more than 100 levels deep")


def test_levels_are_counted_through_references(tmp_path: Path) -> None:
    once, twice = "[" * 60 + "]" * 60, "[" * 60 + "*a" + "]" * 60
    told = refused(tmp_path, "a.yaml", f"input:\n  - question: &a {once}\n  - question: {twice}\n{STEPS}")
    assert told.startswith(":2: lists and mappings are nested")


def test_a_hundred_levels_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("input: [{question: " + "[" * 96 + "]" * 96 + "}]\n" + STEPS)
    assert list(Pipeline.from_yaml(path).steps) == ["input", "ask"]


@pytest.mark.parametrize(
    "text",
    [
        f"name: x\ninput: &i [{{question: a, b: *i}}]\n{STEPS}",
        "name: x\nsteps: &a [*a]\n",
        "name: x\nsteps: &a {<<: *a, b: 1}\n",
        "name: x\nsteps: &a {? *a : 1}\n",
    ],
)
def test_a_file_that_leads_in_a_circle_is_told_with_its_line(tmp_path: Path, text: str) -> None:
    assert refused(tmp_path, "a.yaml", text).startswith(":2: this refers to what it stands in")


def laughs(first: str, more: str) -> str:
    lines = [f"  - &a0 {first}"]
    lines += [f"  - &a{n} {more.format(', '.join([f'*a{n - 1}'] * 10))}" for n in range(1, 10)]
    return "input:\n" + "\n".join(lines) + f"\n{STEPS}"


@pytest.mark.parametrize(
    ("first", "more"), [("[x, x]", "[{}]"), ("{question: x}", "{{question: [{}]}}"), ("{question: x}", "{{<<: [{}]}}")]
)
def test_references_that_stand_for_too_many_values_are_told(tmp_path: Path, first: str, more: str) -> None:
    assert "again and again" in refused(tmp_path, "a.yaml", laughs(first, more))


def test_a_reference_may_be_used_many_times(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("input:\n  - &a {question: x}\n" + "  - *a\n" * 50 + STEPS)
    assert list(Pipeline.from_yaml(path).steps) == ["input", "ask"]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.yaml", f"name: x\ninput: a\0b\n{STEPS}", ":2: the character '\\x00' cannot stand in YAML"),
        ("a.yaml", "name: x\n# \x07\n", ":2: the character '\\x07' cannot stand in YAML"),
        ("a.toml", "name = 'a\0b'\n", ": this is not valid TOML"),
        ("a.yaml", "limit: " + "9" * 5000, ":1:8: this is not valid YAML: '9999"),
        ("a.toml", "limit = " + "9" * 5000, ": this is not valid TOML: Exceeds the limit"),
    ],
)
def test_what_no_file_can_hold_is_told_with_its_place(tmp_path: Path, name: str, text: str, told: str) -> None:
    assert refused(tmp_path, name, text).startswith(told)


@pytest.mark.parametrize("read", [Pipeline.from_yaml, Pipeline.from_toml])
def test_a_path_with_a_nul_names_no_file(read: Any) -> None:
    with pytest.raises(ConfigurationError, match="names no file"):
        read("a\0b.yaml")


@pytest.mark.parametrize("key", ["input", "output"])
def test_a_path_with_a_nul_in_a_file_names_no_file(key: str) -> None:
    data = {"input": ROWS, "steps": [{"task": "ask", "llm": "offline"}], key: "a\0b.jsonl"}
    with pytest.raises(ConfigurationError, match=r"'a\\x00b.jsonl' names no file"):
        Pipeline.from_dict(data).run()


def test_a_step_whose_name_holds_a_nul_keeps_its_rows(tmp_path: Path) -> None:
    pipeline = Pipeline.from_dict({"input": ROWS, "steps": [{"task": "ask", "name": "a\0b", "llm": "offline"}]})
    assert len(pipeline.run(run_dir=tmp_path / "run").to_list()) == 1


def test_a_folder_and_what_is_not_utf8_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").mkdir()
    with pytest.raises(ConfigurationError, match=r"a\.yaml: cannot be read"):
        Pipeline.from_yaml(tmp_path / "a.yaml")
    (tmp_path / "b.toml").write_bytes(b"name = '\xe9'\n")
    with pytest.raises(ConfigurationError, match=r"b\.toml: cannot be read: it is not UTF-8 \(byte 8\)"):
        Pipeline.from_toml(tmp_path / "b.toml")


# Dicts


def test_a_dict_that_leads_in_a_circle_is_told_with_its_keys() -> None:
    data: dict[str, Any] = {"input": [{"question": "a"}]}
    data["input"][0]["again"] = data["input"]
    assert refused_dict(data).startswith("input[0].again: this refers to what it stands in")
    data = {}
    data["steps"] = (data,)
    assert refused_dict(data).startswith("steps[0]: this refers to what it stands in")


def test_a_dict_that_is_too_deep_is_told_with_its_first_keys() -> None:
    told = refused_dict({"input": [{"question": nested(DEEP)}], "steps": [{"task": "ask", "llm": "offline"}]})
    assert told.startswith("input[0].question[0][0][0]: lists and mappings are nested")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({1: 2}, "[1]: there is no key 1 here"),
        ({(1, 2): 3}, "(1, 2): there is no key (1, 2) here"),
        ({"steps": [{None: 1}]}, "`steps[0]`: expected keys that are texts"),
        ({"input": [{2: "a"}], "steps": [{"task": "ask", "llm": "offline"}]}, "`input[0]`: expected column names"),
        ({"steps": [{"task": "ask", "llm": {"provider": "offline", 3: 1}}]}, "steps[0].llm: the LLM 'offline' has no"),
        ({"input": ROWS, "steps": [{"join": {4: 1}}]}, "steps[0].join: the step 'join' has no field 4"),
    ],
)
def test_a_key_that_is_no_text_is_told_with_its_place(data: Any, told: str) -> None:
    assert refused_dict(data).startswith(told)


def test_a_parameter_whose_name_is_no_text_is_refused_by_the_llm() -> None:
    llm = {"provider": "offline", "generation_kwargs": {(1, 2): 3, "a": 1}}
    assert "steps[0].llm" in refused_dict({"input": ROWS, "steps": [{"task": "ask", "llm": llm}]})


# Settings


@pytest.mark.parametrize("value", ["[" * DEEP + "]" * DEEP, "{a: " * 101 + "}" * 101, "[&a [*a]]"])
@pytest.mark.parametrize("key", ["steps.ask.num_generations", "steps.ask.llm.generation_kwargs", "input"])
def test_a_setting_without_end_is_told_by_its_option(key: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^--set {key}: (lists and mappings|this refers)"):
        Pipeline.from_dict({"input": ROWS, "steps": [{"task": "ask", "llm": "offline"}]}, settings=[f"{key}={value}"])


def test_a_value_of_the_environment_without_end_is_told_where_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEP", "[" * DEEP + "]" * DEEP)
    told = refused(tmp_path, "a.yaml", "steps:\n- {task: ask, llm: offline}\n- {task: ask, labels: '${env:DEEP}'}\n")
    assert told.startswith(":3: lists and mappings are nested")


# Rows and prices


@pytest.mark.parametrize("suffix", ["jsonl", "json"])
def test_rows_of_which_none_can_be_read_are_told_with_the_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rows.{suffix}"
    path.write_text('[{"question": ' + "[" * DEEP + "]" * DEEP + "}]" if suffix == "json" else "[" * DEEP)
    pipeline = Pipeline.from_dict({"input": str(path), "steps": [{"task": "ask", "llm": "offline"}]})
    with pytest.raises(LimbeckError, match=rf"rows\.{suffix}.*cannot be read as JSON"):
        pipeline.run(run_dir=tmp_path / "run")


@pytest.mark.parametrize(("name", "text"), [("p.yaml", "m: {}{}"), ("p.json", '{{"m": {}{}}}'), ("p.toml", "m = {}{}")])
def test_prices_that_are_too_deep_are_told_with_the_file(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text.format("[" * DEEP, "]" * DEEP))
    pipeline = Pipeline.from_dict({"input": ROWS, "steps": [{"task": "ask", "llm": "offline"}]})
    with pytest.raises(ConfigurationError, match="nested too deeply"):
        pipeline.run(prices=path)
