"""JSON in what models say: behind thinking, in fences, among brackets that mean something else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from limbeck.errors import SchemaError
from limbeck.structured import conform


class Answer(BaseModel):
    a: int


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
EITHER = pytest.mark.parametrize("schema", [Answer, SCHEMA], ids=["model", "schema"])


@EITHER
@pytest.mark.parametrize(
    "said",
    [
        'By [2, p. 5] and [Smith 1999] it is {"a": 1}, see [3].',
        r'With $\frac{1}{2}$ it is {"a": 1}, or \boxed{x}.',
        '- [x] read\n- [ ] checked\n{"a": 1}',
        '[INST] {"a": 1} [/INST]</s>',
        '{{"a": 1}}',
        "Of ['x', 'y'] and {'a': 2} the answer is {\"a\": 1}",
        'Call foo({}) on int[] for {"a": 1}; foo({}) again.',
        'First {"a": no, wait. Rather {"a": 1}',
        '{"b": 2}\n{"a": 1}\n{"c": 3}',
        'Use {"a": <number>}. Mine: {"a": 1}',
        ':-{ {"a": 1} :-[',
    ],
)
def test_brackets_of_other_meaning_are_passed_over(schema: Any, said: str) -> None:
    assert json.loads(conform(said, schema)) == {"a": 1}


@EITHER
@pytest.mark.parametrize(
    "said",
    [
        '{"a": 0} is wrong. {"a": 1}',
        '```json\n{"a": 0}\n```\nNo:\n```\n{"a": 1}\n```\nThat is all, {"b": 2} apart.',
        'For example:\n~~~JSON\n{"a": 0}\n~~~\nSo: {"a": 1}',
        '```json\n{"a": 0,\n```\nAgain:\n```json\n{"a": 1}\n```',
        '1. So:\n   ```json\n   {"a": 1}\n   ```',
        'Cut off behind it:\n```json\n{"a": 1}',
        '```json {"a": 1} ```',
    ],
)
def test_the_last_that_fits_the_schema_counts(schema: Any, said: str) -> None:
    assert json.loads(conform(said, schema)) == {"a": 1}


@EITHER
@pytest.mark.parametrize(
    "said",
    [
        '```json\n{"a": 1, "b": "<reasoning>x"}\n```',
        'Sure:\n{"a": 1, "b": "ends with </thinking>"} ok',
        'Sure:\n{"a": 1, "b": ["[THINK]", "◁/think▷"]}',
        'Sure:\n{"a": 1, "<think>": {"b": "</thought>"}}\n{"c": "<think>"}',
        '<think>It says {"a": 0, "b": "<think>"}.</think>{"a": 1, "b": "</think>"} ok',
        '<think>A draft: {"a": 0, "b": </think>\n```\n{"a": 1, "b": "<think>"}\n```',
        'It has {no end. {"a": 1, "b": "x\\"</think>"} <think>Or {"a": 2, "b": "</think>"}? Let me',
    ],
)
def test_a_mark_of_thinking_in_a_text_of_the_json_is_no_mark(schema: Any, said: str) -> None:
    assert json.loads(conform(said, schema))["a"] == 1


@EITHER
@pytest.mark.parametrize(
    "said",
    [
        '<think>Perhaps {"a": 1, "b": "<think>"}? Let me',
        '<think>Perhaps\n```json\n{"a": 1, "b": "</think>"}\n```\nHm,',
        '<think>Perhaps {"a": 1, "b": "x <think> {"a": 1} and',
    ],
)
def test_a_draft_that_names_a_mark_of_thinking_is_a_draft(schema: Any, said: str) -> None:
    with pytest.raises(SchemaError, match="it ends in the model's thinking"):
        conform(said, schema)


@pytest.mark.parametrize(("said", "value"), [("```\n5\n```", 5), ('So:\n```json\n"x"\n```\nYes.', "x"), ("5", 5)])
def test_a_number_or_a_text_is_found_alone_and_in_a_fence(said: str, value: Any) -> None:
    assert json.loads(conform(said, {"type": ["integer", "string"]})) == value


@EITHER
@pytest.mark.parametrize(
    "said",
    [
        '<thinking>{"a": 0}</thinking>{"a": 1}',
        '[THINK]{"a": 0}[/THINK]{"a": 1}',
        '◁think▷{"a": 0}◁/think▷{"a": 1}',
        '<think>x<think>{"a": 0}</think>{"a": 2}</think>{"a": 1}',
        '<think>They use <reasoning> here. {"a": 0}</think>{"a": 1}',
        '{"a": 0} it may be</thinking>{"a": 1}',
        '{"a": 1}<think>Or {"a": 2}? Let me',
        'I used `<think>` marks. {"a": 1}',
    ],
)
def test_thinking_is_not_searched(schema: Any, said: str) -> None:
    assert json.loads(conform(said, schema)) == {"a": 1}


TEXT = {"type": "string"}


@pytest.mark.parametrize(
    "text", ["<think>", "use </think>", "[THINK] and [/THINK]", "◁think▷", "<think>x</think>", "x"]
)
@pytest.mark.parametrize(
    "form",
    [
        "{}",
        "```json\n{}\n```",
        "~~~\n{}\n~~~\nThat is it.",
        "```{}```",
        "So:\n```json {} ```",
        "`{}`",
        "<think>Or?</think>\n```\n{}\n```",
    ],
)
def test_a_bare_text_that_names_a_mark_of_thinking_is_the_answer(form: str, text: str) -> None:
    assert json.loads(conform(form.format(json.dumps(text, ensure_ascii=False)), TEXT)) == text


@EITHER
@pytest.mark.parametrize(
    "said",
    [
        'Use "<think>" for it: {"a": 1}',
        "The mark '[THINK]' is Mistral's. {\"a\": 1}",
        'The mark “◁think▷” begins it, (“◁/think▷” ends it). {"a": 1}',
        'I would write "the <think> tag first". {"a": 1}',
        'Code such as `x = <think>` or ``<think>`` is {"a": 1}',
        '```python\nx = "<think>" + y\n```\nSo it is {"a": 1}',
        '~~~\n<think>\n~~~\n{"a": 1}',
        '<think>They want "</think>", or {"a": 0}?</think>{"a": 1}',
        '<think>They want `</think>`, or {"a": 0}?</think>{"a": 1}',
        '{"a": 1}. No "</think>" is needed.',
    ],
)
def test_a_mark_of_thinking_in_quotes_or_code_is_spoken_of(schema: Any, said: str) -> None:
    assert json.loads(conform(said, schema)) == {"a": 1}


@EITHER
@pytest.mark.parametrize(
    "said",
    [
        '<think>It is "x"</think>"y" {"a": 1}',
        '"Yes," <think>or "no"? {"a": 0}</think>{"a": 1}',
        'So "hello <think>or {"a": 0}</think>{"a": 1}',
        'It\'s <think>\'s {"a": 0}</think>{"a": 1}',
        '<think>```json\n{"a": 0}\n</think>\n```json\n{"a": 1}\n```',
        '```xml\n<think>\n{"a": 0}\n</think>\n{"a": 1}\n```',
        '<think>Say `x {"a": 0} </think> then` {"a": 1}',
        '{"a": 0} "or not" </think> "so" {"a": 1}',
    ],
)
def test_a_mark_between_quotes_or_fences_of_other_things_is_one_of_thinking(schema: Any, said: str) -> None:
    assert json.loads(conform(said, schema)) == {"a": 1}


@EITHER
@pytest.mark.parametrize(
    "said",
    [
        '<think>It may be {"a": 1}',
        '<thinking>So:\n```json\n{"a": 1}\n```\nHm',
        '[THINK]{"a": 1}',
        '<think>Short.</think><think>{"a": 1}',
        '<think>a<think>b</think>{"a": 1}',
    ],
)
def test_thinking_that_was_never_closed_holds_no_answer(schema: Any, said: str) -> None:
    with pytest.raises(SchemaError, match=r"holds no JSON, .* \(it ends in the model's thinking\)"):
        conform(said, schema)


@EITHER
@pytest.mark.parametrize(
    "said",
    [
        '{"b": {"a": 1}, "c": [1,',
        '{"b": {"a": 1}, "c": "and so',
        '[{"a": 1}, {"a": 2',
        '{"b": NaN, "c": {"a": 1}}',
        '{"a": Infinity}',
        'It is {"a": 1e999}.',
        '{"a": 1, "b": "\\ud83d"}',
        '{"a": 1, "b": "\ud83d"}',
    ],
    ids=ascii,
)
def test_what_is_inside_of_broken_json_is_no_answer(schema: Any, said: str) -> None:
    with pytest.raises(SchemaError, match="holds no JSON"):
        conform(said, schema)


def test_a_number_or_half_a_character_that_json_cannot_have_is_named() -> None:
    with pytest.raises(SchemaError, match="NaN is not JSON"):
        conform('{"a": NaN}', SCHEMA)
    with pytest.raises(SchemaError, match="half a surrogate pair is no text"):
        conform('{"a": 1, "b": "\\uDC00"}', SCHEMA)


def test_a_whole_pair_is_a_character() -> None:
    assert conform('{"b": "\\ud83d\\ude00", "a": 1}', SCHEMA) == '{"b": "\\ud83d\\ude00", "a": 1}'


def test_of_several_that_fit_not_the_longest_is_told() -> None:
    with pytest.raises(SchemaError, match=r"at \$.a: 'x' is not of type"):
        conform('By [1]: {"a": "x"}, see [2].', SCHEMA)


@pytest.mark.parametrize(
    "said",
    [
        *('{"a {' * 20_000, "[1 " * 50_000, '{"a": ["' * 10_000, "[[x " * 20_000, "<think>" * 50_000, "```\n" * 30_000),
        *(
            '"<think> ' * 30_000,
            "`" * 200_000,
            "` <think>" * 30_000,
            "```\n<think>\n```\n</think>" * 9_000,
            " “" * 90_000,
        ),
    ],
    ids=lambda said: said[:8],
)
def test_a_model_caught_in_a_loop_holds_nobody_up(said: str) -> None:
    with pytest.raises(SchemaError):
        conform(said, SCHEMA)


# Whatever models write

ANSWERS = st.fixed_dictionaries(
    {"answer": st.integers(), "why": st.text()},
    optional={"more": st.recursive(st.none() | st.booleans() | st.text(), st.lists, max_leaves=5)},
)
FITS = {
    "type": "object",
    "properties": {"answer": {"type": "integer"}, "why": {"type": "string"}},
    "required": ["answer", "why"],
}
NOISE = st.sampled_from(
    [
        *("As [1] says,", "for x in {1, 2},", "[/INST]", r"\frac{1}{2}", "[a](http://b)", "{name}", "```\ncode\n```"),
        *("- [x] done", '{"answer": "no"}', "[[1], {}]", "{'answer': 0}", '("quoted")', "{", "}", "]", "\n", "…", "5'"),
    ]
)
PROSE = st.lists(NOISE, max_size=6).map(" ".join)
THINKING = st.sampled_from(
    [
        "",
        '<think>Perhaps {"answer": 0, "why": "draft"}?</think>',
        '[THINK]```json\n{"answer": 0, "why": "draft"}\n```[/THINK]',
        '<thinking>a<think>b</think>{"answer": 0, "why": "draft"}</thinking>',
        '{"answer": 0, "why": "draft"}</think>',
    ]
)


def wrapped(draw: Any, text: str) -> str:
    form: str = draw(st.sampled_from(["{}", "\n```json\n{}\n```\n", "\n~~~\n{}\n~~~\n", "`{}`", " so {}."]))
    return form.replace("{}", text)


@settings(deadline=None)
@given(st.data(), ANSWERS, st.sampled_from([None, 2]), st.booleans())
def test_an_answer_is_found_in_any_prose_fence_and_thinking(
    data: st.DataObject, answer: Any, indent: int | None, ascii_only: bool
) -> None:
    text = json.dumps(answer, indent=indent, ensure_ascii=ascii_only)
    if "think" in text.lower():
        return
    said = data.draw(THINKING) + data.draw(PROSE) + "\n" + wrapped(data.draw, text) + "\n" + data.draw(PROSE)
    assert json.loads(conform(said, FITS)) == answer


@settings(deadline=None)
@given(st.data(), ANSWERS)
def test_whatever_befalls_an_answer_it_is_read_or_a_schema_error(data: st.DataObject, answer: Any) -> None:
    said = data.draw(THINKING) + wrapped(data.draw, json.dumps(answer)) + data.draw(PROSE)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(said)))
        cut = data.draw(st.integers(0, 5))
        said = (
            said[:place]
            + data.draw(st.sampled_from([*'{}[]",:\\`<>', "<think>", "NaN", "\ud83d", ""]))
            + said[place + cut :]
        )
    try:
        read = json.loads(conform(said, FITS), parse_constant=pytest.fail)
    except SchemaError as exc:
        read = {"answer": 0, "raw": exc.raw}
    assert type(read["answer"]) is int
    assert read.get("raw", said) == said
