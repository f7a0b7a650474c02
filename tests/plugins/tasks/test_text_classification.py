"""TextClassification: a closed set of labels, in the prompt, in the schema and in the row."""

import json
from typing import Any

import pytest

from limbeck.errors import ConfigurationError
from limbeck.testing import ScriptedLLM
from limbeck.types import Row
from limbeck_tasks import TextClassification

TEXT = "Win a prize now!"


def classified(answer: str | None, text: str = TEXT, **fields: Any) -> Row:
    fields = {"labels": ["spam", "ham"], **fields}
    (row,) = next(TextClassification(llm=ScriptedLLM(script=[answer]), **fields).process([{"text": text}]))
    return row


def chat_of(text: str = TEXT, **fields: Any) -> Any:
    return TextClassification(llm="offline", **{"labels": ["spam", "ham"], **fields}).format_input({"text": text})


# What comes of a row


def test_a_text_gets_one_label() -> None:
    assert classified('{"label": "spam"}') == {
        "text": TEXT,
        "label": "spam",
        "distilabel_metadata": {"raw_output_text-classification": '{"label": "spam"}'},
        "model_name": "scripted",
    }


def test_with_multi_label_a_text_gets_a_list_without_repeats() -> None:
    row = classified('{"labels": ["ham", "spam", "ham"]}', multi_label=True)
    assert row["labels"] == ["ham", "spam"]
    assert "label" not in row


def test_with_multi_label_there_may_be_no_label() -> None:
    assert classified('{"labels": []}', multi_label=True)["labels"] == []


def test_an_empty_list_becomes_the_default_label() -> None:
    assert classified('{"labels": []}', multi_label=True, default_label="other")["labels"] == ["other"]


def test_the_default_label_may_be_the_answer() -> None:
    assert classified('{"label": "other"}', default_label="other")["label"] == "other"


def test_three_generations_are_three_rows_in_sample_order() -> None:
    answers = ['{"label": "spam"}', '{"label": "ham"}', '{"label": "spam"}']
    task = TextClassification(llm=ScriptedLLM(script=answers), labels=["spam", "ham"], num_generations=3)
    assert [row["label"] for row in next(task.process([{"text": TEXT}]))] == ["spam", "ham", "spam"]


def test_a_group_keeps_a_failed_sample_in_its_place() -> None:
    answers = ['{"labels": ["spam"]}', "spam", '{"labels": []}']
    task = TextClassification(
        llm=ScriptedLLM(script=answers),
        labels=["spam", "ham"],
        multi_label=True,
        num_generations=3,
        group_generations=True,
    )
    (row,) = next(task.process([{"text": TEXT}]))
    assert row["labels"] == [["spam"], None, []]
    assert [metadata["raw_output_text-classification"] for metadata in row["distilabel_metadata"]] == answers


@pytest.mark.parametrize(
    "answer", ['```json\n{"label": "spam"}\n```', '<think>Ham? {"label": "ham"}</think>{"label": "spam"}']
)
def test_json_in_a_fence_or_after_thinking_is_found(answer: str | None) -> None:
    assert classified(answer)["label"] == "spam"


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ('{"label": "eggs"}', "'eggs' is not one of ['spam', 'ham']"),
        ('{"label": "Spam"}', "'Spam' is not one of"),
        ('{"label": ["spam"]}', "['spam'] is not one of"),
        ('{"label": null}', "None is not one of"),
        ("{}", "'label' is a required property"),
        ('{"label": "spam", "why": "…"}', "Additional properties are not allowed"),
        ("spam", "holds no JSON"),
        ("I'd say it is spam.", "holds no JSON"),
        ("", "is empty"),
        (None, "is empty"),
        ("[" * 100_000, "cannot be checked"),
    ],
)
def test_an_answer_that_is_no_label_is_a_typed_error_with_its_text_kept(answer: str | None, fault: str) -> None:
    row = classified(answer)
    assert row["label"] is None
    assert row["distilabel_metadata"]["raw_output_text-classification"] == answer
    error = row["distilabel_metadata"]["error_text-classification"]
    assert error["type"] == "SchemaError"
    assert fault in error["message"]


@pytest.mark.parametrize(("text", "fault"), [(None, "The column `text` is null"), (3, "must hold text, not int")])
def test_a_text_that_is_none_fails_its_row_and_nothing_is_sent(text: Any, fault: str) -> None:
    llm = ScriptedLLM(script=[])
    (row,) = next(TextClassification(llm=llm, labels=["a", "b"]).process([{"text": text}]))
    assert row["label"] is None
    assert fault in row["distilabel_metadata"]["error_text-classification"]["message"]
    assert llm.requests == []


@pytest.mark.parametrize("text", ["", "\ud83d half", "数" * 10_000_000], ids=["empty", "surrogate", "30 MB"])
def test_any_text_can_be_classified(text: Any) -> None:
    assert classified('{"label": "ham"}', text=text)["label"] == "ham"


# What the model is asked


def test_the_schema_is_a_closed_enum_over_the_labels() -> None:
    llm = ScriptedLLM(script=['{"label": "ham"}'])
    next(TextClassification(llm=llm, labels=["spam", "ham"], default_label="other").process([{"text": TEXT}]))
    assert llm.requests[0].output_schema == {
        "type": "object",
        "properties": {"label": {"type": "string", "enum": ["spam", "ham", "other"]}},
        "required": ["label"],
        "additionalProperties": False,
    }


def test_the_schema_of_several_labels_is_an_array_of_the_enum() -> None:
    task = TextClassification(llm="offline", labels=["a", "b"], multi_label=True)
    assert task.schema_for({"text": TEXT})["properties"] == {
        "labels": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}}
    }


def test_a_default_label_among_the_labels_is_not_listed_twice() -> None:
    task = TextClassification(llm="offline", labels=["spam", "ham"], default_label="ham")
    assert task.schema_for({})["properties"]["label"]["enum"] == ["spam", "ham"]


def test_the_prompt_has_the_labels_their_descriptions_the_context_and_the_form() -> None:
    system, user = chat_of(labels={"spam": "unwanted", "größe": ""}, context="These are mails.", default_label="?")
    assert user == {"role": "user", "content": f"The text:\n{TEXT}"}
    paragraphs = system["content"].split("\n\n")
    assert "These are mails." in paragraphs
    assert 'The labels:\n- "spam": unwanted\n- "größe"\n- "?"' in paragraphs
    assert 'If none of the others fits, choose "?".' in paragraphs
    assert '{"label": "<label>"}' in paragraphs[-1]


def test_the_prompt_for_several_labels_asks_for_a_list_that_may_be_empty() -> None:
    system, _ = chat_of(multi_label=True)
    assert "every label that applies" in system["content"]
    assert "If none applies, give an empty list." in system["content"]
    assert '{"labels": ["<label>", …]}' in system["content"]


def test_the_text_is_nobodys_template() -> None:
    assert chat_of("{{ labels }} {0} %s")[-1]["content"] == "The text:\n{{ labels }} {0} %s"


@pytest.mark.parametrize(
    ("multi", "row"), [(False, {"text": "é", "label": "ham"}), (True, {"text": "é", "labels": ["ham", "spam"]})]
)
def test_few_shot_texts_are_earlier_turns_answered_in_the_form_asked_for(multi: bool, row: Row) -> None:
    chat = chat_of(multi_label=multi, few_shot=[row])
    assert [message["role"] for message in chat] == ["system", "user", "assistant", "user"]
    assert chat[1]["content"] == "The text:\né"
    assert json.loads(chat[2]["content"]) == {name: value for name, value in row.items() if name != "text"}


# What it refuses to be built with


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"labels": []}, "nothing to choose from"),
        ({"labels": ["spam"]}, "Give at least two `labels`"),
        ({"labels": ["spam"], "default_label": "spam"}, "nothing to choose from"),
        ({"labels": [], "default_label": "other"}, "nothing to choose from"),
        ({"labels": [], "multi_label": True}, "nothing to choose from"),
        ({"labels": ["spam", "ham", "spam"]}, "has the label 'spam' twice"),
        ({"labels": ["spam", " "]}, "has the blank label ' '"),
        ({"default_label": ""}, "has the blank label ''"),
        ({"few_shot": [{"text": "x"}]}, r"`few_shot\[0\]` of 'text-classification' must be {'text': …, 'label': …}"),
        ({"few_shot": [{"text": "x", "labels": ["ham"]}]}, "it has 'text', 'labels'"),
        ({"few_shot": [{"text": None, "label": "ham"}]}, "must be {'text'"),
        ({"few_shot": [{"text": "x", "label": "hm"}]}, "has 'hm', which is none of the labels. Did you mean `ham`?"),
        ({"few_shot": [{"text": "x", "label": ["ham"]}]}, "must be one label, as text, not"),
        ({"few_shot": [{"text": "x", "labels": "ham"}], "multi_label": True}, "must be a list, not 'ham'"),
        ({"few_shot": [{"text": "x", "labels": [3]}], "multi_label": True}, "has 3, which is none of the labels"),
    ],
)
def test_what_cannot_be_a_classification_is_refused_when_it_is_built(fields: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigurationError, match=fault):
        TextClassification(llm="offline", **{"labels": ["spam", "ham"], **fields})


def test_one_label_is_enough_beside_a_default_or_where_none_may_apply() -> None:
    assert classified('{"label": "other"}', labels=["spam"], default_label="other")["label"] == "other"
    assert classified('{"labels": []}', labels=["spam"], multi_label=True)["labels"] == []


@pytest.mark.parametrize(
    "fields",
    [
        {"labels": ["b", "a"]},
        {"labels": {"b": "second", "a": ""}, "multi_label": True, "default_label": "c", "context": "x"},
        {"labels": ["a", "b"], "few_shot": [{"text": "x", "label": "a"}]},
    ],
)
@pytest.mark.parametrize("exclude_unset", [True, False])
def test_the_configuration_survives_a_round_trip(fields: dict[str, Any], exclude_unset: bool) -> None:
    task = TextClassification(llm="offline", **fields)
    config = json.loads(task.model_dump_json(exclude_unset=exclude_unset))
    assert TextClassification.model_validate(config).model_dump() == task.model_dump()
    assert TextClassification.model_validate(config).format_input({"text": "x"}) == task.format_input({"text": "x"})


def test_a_copy_with_other_labels_asks_for_those() -> None:
    task = TextClassification(llm="offline", labels=["a", "b"])
    task.format_input({"text": "x"})
    other = task.model_copy(update={"labels": ["c", "d"]})
    assert '- "c"\n- "d"' in str(other.format_input({"text": "x"})[0]["content"])
