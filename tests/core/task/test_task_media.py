"""Tasks whose rows hold images, audio and documents: what is sent, stored, found again and written."""

from __future__ import annotations

import base64
import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from limbeck import Task, task
from limbeck.errors import BreakerError, ConfigurationError, LedgerError
from limbeck.runs import Run
from limbeck.testing import ScriptedLLM, replay
from limbeck.types import (
    Capabilities,
    ChatType,
    Generation,
    GenerationRequest,
    GenerationResponse,
    Row,
    audio,
    document,
    image,
)
from support.children import said_by
from support.media import JPEG, PDF, PNG, WAV, BlindLLM, chat_about, look, parts_of, png, seeing, stored_parts

if TYPE_CHECKING:
    pass


def stored(run_dir: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(run_dir / "ledger.sqlite")) as connection:
        return connection.execute(query).fetchall()


def blobs_in(run_dir: Path) -> dict[str, bytes]:
    return {path.suffix: path.read_bytes() for path in (run_dir / "blobs").iterdir()}


def pictures(folder: Path, count: int) -> list[Row]:
    """Rows with paths of images, each of a colour of its own."""
    folder.mkdir(exist_ok=True)
    for number in range(count):
        (folder / f"{number}.png").write_bytes(png(color=bytes([number, 0, 0])))
    return [{"picture": str(folder / f"{number}.png")} for number in range(count)]


def said(row: Row) -> Any:
    return row["distilabel_metadata"]["error_look"]


# What is sent, and what comes out


def test_the_backend_gets_openais_form_and_the_row_keeps_its_own_value(tmp_path: Path) -> None:
    llm = seeing()
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    rows: list[Row] = [{"picture": value} for value in (str(path), path, PNG, {"bytes": PNG, "path": None})]
    results = list(look(llm=llm).run(rows, run_dir=tmp_path / "run"))
    assert [row["picture"] for row in results] == [row["picture"] for row in rows]
    urls = {parts_of(request)[1]["image_url"]["url"] for request in llm.requests}
    assert urls == {f"data:image/png;base64,{base64.b64encode(PNG).decode()}"}


def test_a_file_whose_name_is_no_text_is_asked_about_and_one_that_is_gone_is_told(tmp_path: Path) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")
    Path(name).write_bytes(PNG)
    rows: list[Row] = [{"picture": name}, {"picture": f"{name}.gone"}]
    done, failed = look(llm=seeing()).run(rows, run_dir=tmp_path / "run")
    assert (done["picture"], done["answer"]) == (name, "seen")
    assert "there is no such file" in said(failed)["message"]
    assert json.loads((tmp_path / "run" / "failed.jsonl").read_text(encoding="utf-8"))["picture"] == f"{name}.gone"
    assert [row["answer"] for row in look(llm=seeing("another")).run(rows, run_dir=tmp_path / "run")] == ["seen", None]


def test_an_image_of_pillow_comes_out_as_the_object_that_went_in(tmp_path: Path) -> None:
    pil = pytest.importorskip("PIL.Image")
    picture = pil.new("CMYK", (2, 2))
    (row,) = look(llm=seeing()).run([{"picture": picture}], run_dir=tmp_path)
    assert row["picture"] is picture
    assert row["answer"] == "seen"


def test_the_raw_input_in_a_row_is_what_is_stored() -> None:
    (row,) = next(look(llm=seeing(), add_raw_input=True).process([{"picture": PNG}]))
    (message,) = row["distilabel_metadata"]["raw_input_look"]
    assert message["content"][1] == image(PNG)
    assert type(message["content"][1]) is dict


def test_a_value_that_cannot_be_sent_fails_its_row_with_the_column_named_and_no_call() -> None:
    llm = seeing()
    rows: list[Row] = [
        {"picture": "no-such.png"},
        {"picture": b""},
        {"picture": None},
        {"picture": PDF},
        {"picture": PNG},
    ]
    results = next(look(llm=llm).process(rows))
    assert [said(row)["type"] for row in results[:4]] == ["MediaError"] * 4
    assert all(said(row)["message"].startswith("The column `picture`: ") for row in results[:4])
    assert results[4]["answer"] == "seen"
    assert len(llm.requests) == 1


def test_the_column_that_is_named_is_the_rows_own() -> None:
    renamed = look(llm=seeing(), input_mappings={"picture": "scan"})
    (row,) = next(renamed.process([{"scan": "no-such.png", "picture": "other"}]))
    assert said(row)["message"].startswith("The column `scan`: ")


def test_no_column_is_named_where_two_have_the_value() -> None:
    @task(inputs=["title", "picture"], outputs=["answer"])
    def look(input: Row) -> ChatType:
        return chat_about(image(input["picture"]))

    (row,) = next(look(llm=seeing()).process([{"title": "", "picture": ""}]))
    assert said(row)["message"].startswith("'' cannot be sent")


def test_each_kind_reaches_the_backend(tmp_path: Path) -> None:
    @task(inputs=["a"], outputs=["answer"])
    def ask(input: Row) -> ChatType:
        return chat_about(image(input["a"][0]), audio(input["a"][1]), document(input["a"][2]))

    llm = seeing()
    list(ask(llm=llm).run([{"a": [PNG, WAV, PDF]}], run_dir=tmp_path))
    assert [part["type"] for part in parts_of(llm.requests[0])] == ["text", "image_url", "input_audio", "file"]
    assert blobs_in(tmp_path) == {".png": PNG, ".wav": WAV, ".pdf": PDF}


# What the LLM declares


def test_an_llm_that_takes_no_images_is_not_asked() -> None:
    llm = BlindLLM()
    (row,) = next(look(llm=llm).process([{"picture": PNG}]))
    assert said(row)["type"] == "BadRequestError"
    assert "takes no images" in said(row)["message"]
    assert llm.requests == []


def test_an_address_needs_the_capability_too() -> None:
    (row,) = next(look(llm=BlindLLM()).process([{"picture": "https://example.invalid/a.png"}]))
    assert "takes no images" in said(row)["message"]


def test_a_run_that_only_finds_the_capability_missing_stops() -> None:
    llm = BlindLLM(breaker_threshold=3)
    with pytest.raises(BreakerError, match="takes no images"):
        list(look(llm=llm).run([{"picture": PNG}] * 50))
    assert llm.requests == []


def test_a_task_that_says_what_it_needs_is_refused_before_any_row_is_read() -> None:
    class Look(Task):
        needs: ClassVar[tuple[str, ...]] = ("vision",)

        @property
        def inputs(self) -> list[str]:
            return ["picture"]

        @property
        def outputs(self) -> list[str]:
            return ["answer"]

        def format_input(self, input: Row) -> ChatType:
            return chat_about(image(input["picture"]))

        def format_output(self, output: str | None, input: Row) -> Row:
            return {"answer": output}

    with pytest.raises(ConfigurationError, match=r"`BlindLLM` takes no images.* Task 'look' needs it"):
        Look(llm=BlindLLM()).load()
    assert next(Look(llm=seeing()).process([{"picture": PNG}]))[0]["answer"] == "seen"


def test_a_task_of_a_function_says_what_it_needs_too() -> None:
    @task(inputs=["sound"], outputs=["answer"], needs=["audio"])
    def listen(input: Row) -> ChatType:
        return chat_about(audio(input["sound"]))

    with pytest.raises(ConfigurationError, match="`BlindLLM` takes no audio"):
        next(listen(llm=BlindLLM()).process([{"sound": WAV}]))
    assert next(listen(llm=seeing()).process([{"sound": WAV}]))[0]["answer"] == "seen"


def test_a_capability_that_is_none_is_told() -> None:
    @task(inputs=["sound"], outputs=["answer"], needs=["visoin"])
    def listen(input: Row) -> str:
        return str(input["sound"])

    with pytest.raises(ConfigurationError, match=r"'visoin', which is no capability. Did you mean `vision`"):
        listen(llm=seeing()).load()


def test_of_a_backends_batch_only_those_requests_fail_that_it_does_not_take() -> None:
    class Batching:
        model_name, batch_size = "batching", 4
        capabilities = Capabilities(vision=True)
        sizes: ClassVar[list[int]] = []

        def generate_batch(self, requests: list[GenerationRequest]) -> list[GenerationResponse]:
            self.sizes.append(len(requests))
            return [GenerationResponse(generations=[Generation(text="ok")]) for _ in requests]

    @task(inputs=["sound", "picture"], outputs=["answer"])
    def ask(input: Row) -> ChatType:
        return chat_about(audio(input["sound"]) if input["sound"] else image(input["picture"]))

    rows = next(ask(llm=Batching()).process([{"sound": WAV, "picture": None}, {"sound": None, "picture": PNG}]))
    assert [row["answer"] for row in rows] == [None, "ok"]
    assert "takes no audio" in rows[0]["distilabel_metadata"]["error_ask"]["message"]
    assert sum(Batching.sizes) == 1


# The ledger


def test_the_ledger_holds_the_digest_and_the_content_lies_beside_it_once(tmp_path: Path) -> None:
    rows: list[Row] = [{"picture": PNG}, {"picture": bytearray(PNG)}, {"picture": JPEG}]
    list(look(llm=seeing()).run(rows, run_dir=tmp_path))
    assert blobs_in(tmp_path) == {".png": PNG, ".jpg": JPEG}
    noted = stored_parts(tmp_path)
    assert sorted(part["sha256"] for part in noted) == sorted(part["sha256"] for part in map(image, (PNG, PNG, JPEG)))
    assert [Run(tmp_path).content_of(part) for part in noted if part["media_type"] == "image/png"] == [PNG, PNG]


def test_prompts_that_are_not_stored_leave_no_file(tmp_path: Path) -> None:
    list(look(llm=seeing()).run([{"picture": PNG}], run_dir=tmp_path, ledger_requests="hash"))
    assert not (tmp_path / "blobs").exists()
    assert stored(tmp_path, "SELECT request FROM calls") == [(None,)]


def test_the_answer_is_found_again_wherever_the_image_comes_from_by_then(tmp_path: Path) -> None:
    run_dir, path = tmp_path / "run", tmp_path / "a.png"
    list(look(llm=seeing()).run([{"picture": PNG}], run_dir=run_dir))
    path.write_bytes(PNG)
    for value in (
        str(path),
        {"bytes": PNG, "path": "b.png"},
        f"data:image/png;base64,{base64.b64encode(PNG).decode()}",
    ):
        llm = seeing("another")
        (row,) = look(llm=llm).run([{"picture": value}], run_dir=run_dir)
        assert (row["answer"], llm.requests) == ("seen", [])


def test_another_image_at_the_same_path_is_asked_about(tmp_path: Path) -> None:
    rows = pictures(tmp_path / "pictures", 1)
    list(look(llm=seeing()).run(rows, run_dir=tmp_path / "run"))
    (tmp_path / "pictures" / "0.png").write_bytes(JPEG)
    llm = seeing("another")
    (row,) = look(llm=llm).run(rows, run_dir=tmp_path / "run")
    assert (row["answer"], len(llm.requests)) == ("another", 1)


def test_two_rows_with_the_same_image_are_asked_about_each(tmp_path: Path) -> None:
    llm = seeing()
    rows: list[Row] = [{"picture": PNG}] * 2
    assert len(list(look(llm=llm).run(rows, run_dir=tmp_path))) == 2
    assert len(llm.requests) == 2
    assert len(blobs_in(tmp_path)) == 1


def test_a_run_that_was_killed_asks_nothing_again(tmp_path: Path) -> None:
    rows = pictures(tmp_path / "pictures", 40)
    program = f"""
        import os
        from support.media import look, seeing
        rows = [{{"picture": path["picture"]}} for path in {rows!r}]
        stream = look(llm=seeing(max_concurrency=4)).run(rows, run_dir={str(tmp_path / "run")!r})
        for number, row in enumerate(stream):
            if number == 20:
                os._exit(9)
    """
    said_by(program, tmp_path)
    ((kept,),) = stored(tmp_path / "run", "SELECT count(*) FROM calls")
    assert kept >= 20
    llm = seeing(max_concurrency=4)
    results = list(look(llm=llm).run(rows, run_dir=tmp_path / "run"))
    assert [row["answer"] for row in results] == ["seen"] * 40
    assert len(llm.requests) == 40 - kept
    assert len(list((tmp_path / "run" / "blobs").iterdir())) == 40


def test_a_run_is_replayed_with_its_images(tmp_path: Path) -> None:
    expected = list(look(llm=seeing()).run([{"picture": PNG}], run_dir=tmp_path))
    llm = seeing("another")
    with replay(tmp_path):
        assert next(look(llm=llm).process([{"picture": PNG}])) == expected
    assert llm.requests == []


def test_a_file_that_was_changed_while_its_answer_came_costs_no_answer(tmp_path: Path) -> None:
    rows = pictures(tmp_path / "pictures", 1)

    def answer(_request: GenerationRequest) -> str:
        (tmp_path / "pictures" / "0.png").write_bytes(JPEG)
        return "seen"

    (row,) = look(llm=ScriptedLLM(script=answer)).run(rows, run_dir=tmp_path / "run")
    assert row["answer"] == "seen"
    (part,) = stored_parts(tmp_path / "run")
    with pytest.raises(LedgerError, match="cannot be read"):
        Run(tmp_path / "run").content_of(part)


def test_a_file_that_cannot_be_kept_ends_the_run_and_says_why(tmp_path: Path) -> None:
    tmp_path.joinpath("blobs").write_text("")
    with pytest.raises(LedgerError, match="blobs"):
        list(look(llm=seeing()).run([{"picture": PNG}], run_dir=tmp_path))


def test_explaining_shows_the_digest_that_differs(tmp_path: Path) -> None:
    list(look(llm=seeing()).run([{"picture": PNG}], run_dir=tmp_path))
    asked = look(llm=seeing())
    assert asked.explain({"picture": PNG}, run_dir=tmp_path, id=0).found
    assert asked.explain(None, run_dir=tmp_path, id=0).found
    differs = asked.explain({"picture": JPEG}, run_dir=tmp_path, id=0).differs
    assert 'messages[0] (user).content[1].media_type: "image/png" -> "image/jpeg"' in differs
    assert any(line.startswith("messages[0] (user).content[1].sha256: ") for line in differs)


# Files


def test_a_failed_row_is_written_so_that_it_can_be_asked_about_again(tmp_path: Path) -> None:
    llm = ScriptedLLM(script=[ValueError("no")])
    list(look(llm=llm).run([{"picture": PNG}], run_dir=tmp_path))
    failed = json.loads((tmp_path / "failed.jsonl").read_text(encoding="utf-8"))
    assert image(failed["picture"]) == image(PNG)


# Parts in a provider's own form


@task(inputs=["url"], outputs=["answer"])
def look_at(input: Row) -> ChatType:
    return chat_about({"type": "image_url", "image_url": {"url": input["url"]}})


def data_url(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def test_base64_that_an_author_wrote_is_not_in_the_ledger_but_beside_it(tmp_path: Path) -> None:
    content = PNG + bytes(5_000)
    llm = seeing()
    list(look_at(llm=llm).run([{"url": data_url(content)}] * 3, run_dir=tmp_path))
    assert parts_of(llm.requests[0])[1]["image_url"]["url"] == data_url(content)
    assert all(len(request) < 500 for (request,) in stored(tmp_path, "SELECT request FROM calls"))
    assert blobs_in(tmp_path) == {".png": content}


def test_what_it_was_asked_with_is_explained_and_found_again(tmp_path: Path) -> None:
    row = {"url": data_url(PNG + bytes(5_000))}
    list(look_at(llm=seeing()).run([row], run_dir=tmp_path))
    asked = look_at(llm=seeing())
    assert asked.explain(row, run_dir=tmp_path, id=0).found
    assert asked.explain(None, run_dir=tmp_path, id=0).found
    (difference,) = asked.explain({"url": data_url(PNG + b"!" * 5_000)}, run_dir=tmp_path, id=0).differs
    assert difference.startswith("messages[0] (user).content[1].image_url.url: ")
    (again,) = asked.run([row], run_dir=tmp_path)
    assert again["answer"] == "seen"


# Parts in rows


def test_a_part_in_a_row_reaches_the_backend_through_a_chat(tmp_path: Path) -> None:
    @task(inputs=["messages"], outputs=["answer"])
    def chat(input: Row) -> ChatType:
        return input["messages"]  # type: ignore[no-any-return]  # it is a chat

    llm = seeing()
    list(chat(llm=llm).run([{"messages": chat_about(image(PNG))}], run_dir=tmp_path))
    assert parts_of(llm.requests[0])[1]["type"] == "image_url"


def test_a_cache_gives_its_answer_to_the_same_image_and_the_content_is_kept_here_too(tmp_path: Path) -> None:
    list(look(llm=seeing()).run([{"picture": PNG}], run_dir=tmp_path / "old"))
    llm = seeing("another")
    (row,) = look(llm=llm).run([{"picture": PNG}], run_dir=tmp_path / "new", cache=[tmp_path / "old"])
    assert (row["answer"], llm.requests) == ("seen", [])
    assert blobs_in(tmp_path / "new") == {".png": PNG}
