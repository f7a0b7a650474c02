"""`limbeck generate`: one task over rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import Result

from support.command import invoke, read_rows, rows_of, write_rows

SPAIN = {"instruction": "What's the capital of Spain?"}
MADRID = "The capital of Spain is Madrid."


def generate(*arguments: str, stdin: str | None = None) -> Result:
    return invoke("generate", "-m", "offline", *arguments, stdin=json.dumps(SPAIN) if stdin is None else stdin)


def test_text_generation_is_the_task_when_none_is_named() -> None:
    (row,) = rows_of(generate().stdout)
    assert row == {
        **SPAIN,
        "generation": MADRID,
        "distilabel_metadata": {"raw_output_text-generation": MADRID},
        "model_name": "offline/stand-in",
    }


def test_the_model_may_come_from_the_environment() -> None:
    assert invoke("generate", stdin=json.dumps(SPAIN), LIMBECK_MODEL="offline").exit_code == 0


def test_there_is_no_model_by_default() -> None:
    result = invoke("generate", stdin=json.dumps(SPAIN))
    assert result.exit_code == 2
    assert "--model" in result.stderr


def test_several_generations_are_several_rows() -> None:
    rows = rows_of(generate("-n", "3").stdout)
    assert [row["generation"] for row in rows] == [MADRID] * 3


def test_a_group_is_one_row_with_lists() -> None:
    (row,) = rows_of(generate("-n", "3", "--group").stdout)
    assert row["generation"] == [MADRID] * 3
    assert row["instruction"] == SPAIN["instruction"]


def test_rows_leave_in_the_order_they_came(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "rows.jsonl", [{"instruction": str(number)} for number in range(500)])
    rows = rows_of(generate("-i", source).stdout)
    assert [row["instruction"] for row in rows] == [str(number) for number in range(500)]


def test_a_limit_reads_no_more_rows(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "rows.jsonl", [{"instruction": str(number)} for number in range(9)])
    assert len(rows_of(generate("-i", source, "--limit", "4").stdout)) == 4


# Settings


def test_a_setting_of_the_task_is_one_of_its_fields() -> None:
    (row,) = rows_of(
        generate("--set", "task.add_raw_input=true", "--set", "task.system_prompt=Be brief: one word.").stdout
    )
    messages = row["distilabel_metadata"]["raw_input_text-generation"]
    assert messages[0] == {"role": "system", "content": "Be brief: one word."}


def test_a_text_field_takes_a_number_as_it_was_typed() -> None:
    (row,) = rows_of(generate("--set", "llm.model=7").stdout)
    assert row["model_name"] == "offline/7"


def test_a_template_in_braces_is_text() -> None:
    stdin = json.dumps({"question": "Why?"})
    (row,) = rows_of(
        generate("--set", "task.template={{ question }}", "--set", "task.add_raw_input=true", stdin=stdin).stdout
    )
    assert row["distilabel_metadata"]["raw_input_text-generation"] == [{"role": "user", "content": "Why?"}]


def test_a_list_is_written_in_brackets_and_no_is_a_word_in_it() -> None:
    (row,) = rows_of(
        generate("-t", "text-classification", "--set", "task.labels=[no, yes]", stdin='{"text": "So?"}').stdout
    )
    assert row["label"] == "no"


def test_a_key_inside_a_mapping_is_reached_with_a_further_dot() -> None:
    stdin = json.dumps({"question": SPAIN["instruction"]})
    (row,) = rows_of(generate("--set", "task.input_mappings.instruction=question", stdin=stdin).stdout)
    assert row["generation"] == MADRID


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("task.sytem_prompt=x", ["--set task.sytem_prompt", "Did you mean `system_prompt`?"]),
        (
            "task.num_generations=three",
            ["--set task.num_generations: `num_generations`", "valid integer", "not 'three'"],
        ),
        ("task.num_generations.x=3", ["`num_generations` is not a mapping"]),
        ("llm.max_concurrency=0", ["--set llm.max_concurrency", "greater than 0"]),
        ("model=x", ["--set model: expected `task.FIELD` or `llm.NAME`"]),
        ("task=x", ["expected `task.FIELD`"]),
        ("temperature", ["takes KEY=VALUE"]),
    ],
)
def test_a_setting_that_does_not_fit_is_told_by_its_own_name(setting: str, told: list[str]) -> None:
    arguments = ("-n", "2") if "generations.x" in setting else ()
    result = generate("--set", setting, *arguments)
    assert result.exit_code == 1
    for fragment in told:
        assert fragment in result.stderr


def test_the_value_of_a_secret_is_not_repeated_in_an_error() -> None:
    result = invoke(
        "generate", "-m", "openai/m", "--set", "llm.api_key=[sk-secret]", "--set", "llm.timeout=soon", stdin="{}"
    )
    assert result.exit_code == 1
    assert "llm.timeout" in result.stderr
    assert "sk-secret" not in result.stderr


def test_a_name_that_the_llm_has_no_field_for_is_a_parameter_of_the_provider() -> None:
    result = invoke("generate", "-m", "openai/m", "--set", "llm.temprature=0", stdin="{}", OPENAI_API_KEY="sk-x")
    assert result.exit_code == 1
    assert "--set llm.temprature" in result.stderr
    assert "Did you mean `temperature`" in result.stderr


def test_an_unknown_task_or_llm_is_told_with_what_is_close() -> None:
    task = generate("-t", "text-generaton")
    assert task.exit_code == 1
    assert "--task: There is no task named 'text-generaton'. Did you mean `text-generation`" in task.stderr
    llm = invoke("generate", "-m", "ofline", stdin="{}")
    assert llm.exit_code == 1
    assert "--model: There is no llm named 'ofline'. Did you mean `offline`" in llm.stderr


# Files


def test_a_json_file_is_a_list_of_rows(tmp_path: Path) -> None:
    source = tmp_path / "rows.json"
    source.write_text(json.dumps([SPAIN, SPAIN], indent=2))
    assert len(rows_of(generate("-i", str(source)).stdout)) == 2


def test_a_csv_file_has_a_row_a_record_and_its_header_names_the_columns(tmp_path: Path) -> None:
    source = tmp_path / "rows.csv"
    source.write_bytes('\ufeffid,instruction\r\n1,"two\r\nlines"\r\n2,plain\r\n'.encode())
    rows = rows_of(generate("-i", str(source)).stdout)
    assert [(row["id"], row["instruction"]) for row in rows] == [("1", "two\r\nlines"), ("2", "plain")]


UNREADABLE_ROWS = [
    ("a.jsonl", b'{"instruction": oops}\n{"instruction": "x"}\n', "a.jsonl:1:17: this line is not JSON: Expecting"),
    ("a.jsonl", b'{"instruction": "x"}\n[1]\n', "a.jsonl:2: a row must be a JSON object of columns, not list."),
    ("a.jsonl", b'{"instruction": "x"}\n{"instruction": "\xff"}\n', "a.jsonl:2: this line is not UTF-8: byte 18"),
    ("a.jsonl", b'{"instruction": "x"}\n' + b"[" * 200_000, "a.jsonl:2: this line cannot be read as JSON"),
    ("a.json", b'[{"instruction": "x"}, 3]', "a.json: item 2: a row must be a JSON object"),
    ("a.csv", b"instruction,id\nx,1\ny\n", "a.csv:3: 1 cell, where the header has 2."),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "told"), UNREADABLE_ROWS)
def test_a_row_that_cannot_be_read_is_told_with_its_place_and_the_others_go_on(
    tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    source, output = tmp_path / name, tmp_path / "out.jsonl"
    source.write_bytes(content)
    result = generate("-i", str(source), "-o", str(output))
    assert result.exit_code == 3
    assert f"warning: {tmp_path}/{told}" in result.stderr
    assert "2 rows in, 1 written to" in result.stderr
    assert "1 failed (1 RowError)" in result.stderr
    assert [row["instruction"] for row in read_rows(output)] == ["x"]


@pytest.mark.parametrize(("name", "content", "told"), UNREADABLE_ROWS)
def test_with_strict_it_stops_the_run(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    source = tmp_path / name
    source.write_bytes(content)
    result = generate("-i", str(source), "-o", str(tmp_path / "out.jsonl"), "--strict")
    assert result.exit_code in (1, 5)  # whether the row before it was asked by then
    assert f"error: {tmp_path}/{told}" in result.stderr


def test_many_rows_that_cannot_be_read_are_told_once_for_all(tmp_path: Path) -> None:
    source = tmp_path / "a.jsonl"
    source.write_text('{"instruction": "x"}\n' + "oops\n" * 99)
    result = generate("-i", str(source))
    assert result.exit_code == 3
    assert result.stderr.count("this line is not JSON") == 10
    assert "99 failed (99 RowError)" in result.stderr


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.json", b'[{"instruction": "x"},]', "a.json:1:"),
        ("a.json", b'{"instruction": "x"}\n{}', "If each line is an object, name the file .jsonl."),
        ("a.csv", b"instruction,id,id\nx,1,2\n", "a.csv:1: the column 'id' is there twice."),
        ("a.xyz", b"x", "nothing installed handles .xyz files"),
        ("a.jsonl", b"", "a.jsonl' is empty: it has no rows."),
    ],
)
def test_a_file_that_is_none_is_told_before_anything_is_written(
    tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    source, output = tmp_path / name, tmp_path / "out.jsonl"
    source.write_bytes(content)
    result = generate("-i", str(source), "-o", str(output))
    assert result.exit_code == 1
    assert "error: --input: " in result.stderr
    assert told in result.stderr
    assert not output.exists()


def test_an_input_that_is_not_there_is_told_with_the_option(tmp_path: Path) -> None:
    result = generate("-i", str(tmp_path / "none.jsonl"))
    assert result.exit_code == 1
    assert "error: --input: " in result.stderr
    assert "No such file" in result.stderr


def test_no_rows_are_an_empty_output(tmp_path: Path) -> None:
    result = generate("-o", str(tmp_path / "out.jsonl"), stdin="")
    assert result.exit_code == 0
    assert (tmp_path / "out.jsonl").read_bytes() == b""
    assert "0 rows in, 0 written" in result.stderr


def test_text_is_written_as_it_is_and_half_a_surrogate_pair_as_an_escape(tmp_path: Path) -> None:
    source = tmp_path / "rows.jsonl"
    source.write_text('{"instruction": "¿Qué?"}\n{"instruction": "\\ud83d"}\n', encoding="utf-8")
    generate("-i", str(source), "-o", str(tmp_path / "out.jsonl"))
    first, second = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert "¿Qué?" in first
    assert "\\ud83d" in second
    assert json.loads(second)["instruction"] == "\ud83d"


def test_an_existing_output_is_refused_and_kept(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    output.write_text("old\n")
    result = generate("-o", str(output))
    assert result.exit_code == 1
    assert "--overwrite" in result.stderr
    assert output.read_text() == "old\n"


def test_an_existing_output_is_replaced_when_that_is_asked_for(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    output.write_text("old\n" * 100)
    assert generate("-o", str(output), "--overwrite").exit_code == 0
    assert [row["generation"] for row in read_rows(output)] == [MADRID]


def test_an_output_to_be_replaced_is_kept_by_a_run_that_fails_before_its_first_row(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    output.write_text("old\n")
    result = generate("-o", str(output), "--overwrite", stdin='{"text": "no such column"}')
    assert result.exit_code == 1
    assert output.read_text() == "old\n"


def test_the_input_is_not_overwritten(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "rows.jsonl", [SPAIN])
    result = generate("-i", source, "-o", source, "--overwrite")
    assert result.exit_code == 1
    assert "is the input" in result.stderr
    assert read_rows(tmp_path / "rows.jsonl") == [SPAIN]


def test_the_folder_of_the_output_is_made(tmp_path: Path) -> None:
    output = tmp_path / "new" / "out.jsonl"
    assert generate("-o", str(output)).exit_code == 0
    assert len(read_rows(output)) == 1


def test_the_suffix_of_the_output_says_its_format(tmp_path: Path) -> None:
    assert generate("-o", str(tmp_path / "out.csv")).exit_code == 0
    assert (tmp_path / "out.csv").read_text().startswith("instruction,generation,")
    result = generate("-o", str(tmp_path / "out.xyz"))
    assert result.exit_code == 1
    assert "nothing installed handles .xyz files" in result.stderr


def test_rows_may_go_to_a_device() -> None:
    result = generate("-o", "/dev/null")
    assert result.exit_code == 0
    assert "1 written to /dev/null" in result.stderr


def test_a_quiet_run_that_goes_well_says_nothing() -> None:
    result = generate("--quiet")
    assert result.exit_code == 0
    assert result.stderr == ""
    assert len(rows_of(result.stdout)) == 1


def test_a_quiet_run_with_failures_says_so() -> None:
    result = generate("--quiet", stdin='{"instruction": null}')
    assert result.exit_code == 3
    assert "1 written to stdout, 1 of them with a failure (1 RowError)" in result.stderr
