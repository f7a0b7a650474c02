"""TextGenerationWithImage: images beside a prompt, and which values are images."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from limbeck.errors import ConfigurationError
from limbeck.testing import ScriptedLLM
from limbeck.types import image
from limbeck_tasks import TextGenerationWithImage
from support.media import JPEG, PNG, BlindLLM, parts_of, seeing

if TYPE_CHECKING:
    from pathlib import Path

    from limbeck.types import Row

QUESTION = "What is in the picture?"


def run(*rows: Row, **fields: Any) -> list[Row]:
    return next(TextGenerationWithImage(llm=seeing("A cat."), **fields).process(list(rows)))


def asked(row: Row, **fields: Any) -> Any:
    return TextGenerationWithImage(llm="offline", **fields).format_input(row)


def error_of(row: Row) -> Any:
    return row["distilabel_metadata"]["error_text-generation-with-image"]["message"]


def test_one_row_gives_the_columns_of_distilabels_task() -> None:
    (row,) = run({"instruction": QUESTION, "image": PNG})
    assert list(row.items()) == [
        ("instruction", QUESTION),
        ("image", PNG),
        ("generation", "A cat."),
        ("distilabel_metadata", {"raw_output_text-generation-with-image": "A cat."}),
        ("model_name", "scripted"),
    ]


def test_the_image_stands_behind_the_text() -> None:
    assert asked({"instruction": QUESTION, "image": PNG}, detail="low") == [
        {"role": "user", "content": [{"type": "text", "text": QUESTION}, image(PNG, detail="low")]}
    ]


def test_a_system_prompt_comes_first_and_the_rows_own_wins() -> None:
    (system, _) = asked({"instruction": QUESTION, "image": PNG}, system_prompt="Be brief.")
    assert system == {"role": "system", "content": "Be brief."}
    (system, _) = asked({"instruction": QUESTION, "image": PNG, "system_prompt": "Be long."}, system_prompt="Be brief.")
    assert system == {"role": "system", "content": "Be long."}


def test_the_prompt_is_a_template_of_the_other_columns() -> None:
    row = {"object": "cat", "image": PNG}
    (message,) = asked(row, template="Is there a {{ object }}?")
    assert message["content"][0] == {"type": "text", "text": "Is there a cat?"}
    with pytest.raises(ConfigurationError, match="does not use"):
        TextGenerationWithImage(llm="offline", columns=["instruction", "other"])


def test_a_row_may_hold_several_images() -> None:
    (message,) = asked({"instruction": QUESTION, "image": [PNG, JPEG]})
    assert message["content"][1:] == [image(PNG), image(JPEG)]


def test_an_image_may_be_anything_that_is_one(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    values = [PNG, str(path), {"bytes": PNG, "path": None}, f"data:image/png;base64,{base64.b64encode(PNG).decode()}"]
    assert [asked({"instruction": "?", "image": value})[0]["content"][1] for value in values] == [image(PNG)] * 4
    url = "https://example.invalid/a.png"
    assert asked({"instruction": "?", "image": url})[0]["content"][1] == image(url)


def test_bare_base64_is_taken_where_it_is_said() -> None:
    text = base64.b64encode(JPEG).decode()
    for value in (text, f"data:image/jpeg;base64,{text}", JPEG):
        assert asked({"instruction": "?", "image": value}, image_type="base64")[0]["content"][1] == image(JPEG)


def test_with_urls_only_no_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    for value in (str(path), path, path.as_uri(), {"bytes": None, "path": str(path)}):
        (row,) = run({"instruction": "?", "image": value}, image_type="url")
        assert "`image_type` is 'url'" in error_of(row)


def test_an_image_of_pillow_is_sent_and_comes_out_as_it_was() -> None:
    pil = pytest.importorskip("PIL.Image")
    picture = pil.new("RGBA", (2, 2))
    llm = seeing("A square.")
    (row,) = next(TextGenerationWithImage(llm=llm, image_type="PIL").process([{"instruction": "?", "image": picture}]))
    assert row["image"] is picture
    assert parts_of(llm.requests[0])[1]["image_url"]["url"].startswith("data:image/png;base64,")
    (row,) = run({"instruction": "?", "image": PNG}, image_type="PIL")
    assert "`image_type` is 'PIL'" in error_of(row)


@pytest.mark.parametrize("value", [None, [], [PNG, None], b"", "no-such.png", "not base64!"])
def test_a_row_without_an_image_fails_alone_and_says_which_column(value: Any) -> None:
    (failed, done) = run({"instruction": "?", "image": value}, {"instruction": "?", "image": PNG})
    assert "column `image`" in error_of(failed)
    assert done["generation"] == "A cat."


def test_an_llm_that_takes_no_images_is_refused_before_any_row() -> None:
    task = TextGenerationWithImage(llm=BlindLLM())
    with pytest.raises(ConfigurationError, match="takes no images"):
        next(task.process([{"instruction": "?", "image": PNG}]))
    with pytest.raises(ConfigurationError, match="takes no images"):
        task.run([{"instruction": "?", "image": PNG}])


def test_the_offline_stand_in_answers_its_example() -> None:
    task = TextGenerationWithImage(llm="offline")
    (example,) = task.examples()
    (row,) = next(task.process([example.row]))
    assert row["generation"] == "It is red."


def test_a_task_is_made_again_of_its_configuration() -> None:
    task = TextGenerationWithImage(llm=ScriptedLLM(script=[]), image_type="url", detail="high")
    fields = task.model_dump(include={"image_type", "detail", "columns", "template"})
    assert TextGenerationWithImage(llm="offline", **fields).model_dump(exclude={"llm"}) == task.model_dump(
        exclude={"llm"}
    )
