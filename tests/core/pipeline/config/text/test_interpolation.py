"""What a file takes from the environment, and where that does not show."""

from __future__ import annotations

import json

import pytest

from limbeck import Pipeline
from limbeck.errors import ConfigurationError

SECRET = "sk-very-secret-9"


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"MY_KEY": SECRET, "MODEL": "large", "COUNT": "3", "EMPTY": "", "WORD": "no"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MY_KEI", raising=False)


def pipeline(fields: str) -> Pipeline:
    llm = "" if "llm:" in fields else "llm: paid/m, "
    return Pipeline.from_yaml(f"input: [{{question: a}}]\nsteps:\n- {{task: ask, {llm}{fields}}}\n")


def test_a_reference_is_replaced_wherever_it_stands_in_a_value() -> None:
    step = pipeline("style: 'in ${env:MODEL} type', labels: ['${env:WORD}', b]").steps["ask"]
    assert step.style == "in large type"
    assert step.labels == ["no", "b"]


def test_a_field_says_what_the_text_of_a_variable_is_read_as() -> None:
    step = pipeline("num_generations: '${env:COUNT}', style: '${env:COUNT}'").steps["ask"]
    assert step.num_generations == 3
    assert step.style == "3"


def test_a_default_stands_in_for_a_variable_that_is_not_set() -> None:
    step = pipeline("num_generations: '${env:NOT_SET:-2}', style: '${env:NOT_SET:-}'").steps["ask"]
    assert (step.num_generations, step.style) == (2, "")
    assert pipeline("style: '${env:EMPTY:-x}'").steps["ask"].style == ""


def test_nothing_else_is_interpolated() -> None:
    style = "$MODEL ${MODEL} {{ MODEL }} ${env MODEL}"
    assert pipeline(f"style: '{style}'").steps["ask"].style == style


def test_a_doubled_dollar_is_one_and_no_reference() -> None:
    assert pipeline("style: '$${env:MODEL}'").steps["ask"].style == "${env:MODEL}"


def test_the_keys_that_say_how_it_is_run_may_be_references() -> None:
    read = Pipeline.from_yaml("max_failed: ${env:COUNT}\nsteps:\n- {task: ask, llm: paid/m}\n")
    assert read.run_settings is not None
    assert read.run_settings.max_failed == 3


def test_a_variable_that_is_not_set_is_told_with_its_place() -> None:
    with pytest.raises(ConfigurationError) as caught:
        pipeline("style: '${env:MY_KEI}'")
    assert str(caught.value) == (
        "<text>:3: the environment variable `MY_KEI` is not set. Did you mean `MY_KEY`? "
        "Set it, or give a default: `${env:MY_KEI:-…}`."
    )


@pytest.mark.parametrize("reference", ["${env:}", "${env:A B}", "${env:1}", "${env:A-b}"])
def test_what_only_looks_like_a_reference_is_told(reference: str) -> None:
    with pytest.raises(ConfigurationError, match="is no reference to the environment"):
        pipeline(f"style: '{reference}'")


def test_a_name_does_not_come_from_the_environment() -> None:
    with pytest.raises(ConfigurationError, match=r"`steps\[0\].name`: a name cannot come from the environment"):
        pipeline("name: '${env:MODEL}'")


# What does not show


@pytest.mark.parametrize(
    "fields",
    [
        "num_generations: '${env:MY_KEY}'",
        "on_error: '${env:MY_KEY}'",
        "input_mappings: {'no such column': '${env:MY_KEY}', 3: 4}",
        "llm: '${env:MY_KEY}'",
        "llm: {provider: '${env:MY_KEY}'}",
        "llm: {provider: 'offline', model: '${env:MY_KEY}', timeout: '${env:MY_KEY}'}",
        "llm: {provider: paid/m, api_key: ['${env:MY_KEY}']}",
    ],
)
def test_a_value_from_the_environment_is_not_in_an_error(fields: str) -> None:
    text = f"steps:\n- {{task: ask, {fields}{'' if 'llm' in fields else ', llm: offline'}}}\n"
    with pytest.raises(ConfigurationError) as caught:
        Pipeline.from_yaml(text)
    shown: list[BaseException | None] = [caught.value, caught.value.__cause__]
    assert SECRET not in "".join(map(str, shown))
    assert str(caught.value).startswith("<text>:2: ")


def test_a_value_from_the_environment_is_written_as_the_reference_that_it_was() -> None:
    read = pipeline(
        "llm: {provider: 'paid/${env:MODEL}', api_key: '${env:MY_KEY}', generation_kwargs: {user: 'x-${env:MY_KEY}'}}, "
        "style: '${env:NOT_SET:-plain}'"
    )
    assert read.steps["ask"].llm.api_key.get_secret_value() == SECRET
    assert read.steps["ask"].llm.generation_kwargs == {"user": f"x-{SECRET}"}
    (entry,) = read.to_dict()["steps"]
    assert entry == {
        "task": "ask",
        "llm": {
            "provider": "paid/${env:MODEL}",
            "api_key": "${env:MY_KEY}",
            "generation_kwargs": {"user": "x-${env:MY_KEY}"},
        },
        "style": "${env:NOT_SET:-plain}",
    }
    assert SECRET not in read.to_yaml()


def test_a_row_that_looks_like_a_reference_is_written_so_that_it_stays_one() -> None:
    made = Pipeline([{"question": "What does ${env:HOME} mean?"}], name="p")
    read = Pipeline.from_yaml(made.to_yaml())
    assert read.steps["rows"].data == [{"question": "What does ${env:HOME} mean?"}]
    assert json.dumps(read.to_dict()) == json.dumps(made.to_dict())
