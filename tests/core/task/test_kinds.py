"""Tasks of embedders, scorers and image generators (`_task.kinds`, `_task.kind_forms`): all that the engine does."""

from __future__ import annotations

import json
import sqlite3
from array import array
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from limbeck import LLM, EmbeddingTask, ImageTask, Pipeline, ScoringTask, Task, register_embedder
from limbeck.errors import BudgetError, ConfigurationError, LimbeckWarning, OutputError, PluginContractError
from limbeck.steps import LoadDataFromDicts
from limbeck.testing import (
    EchoLLM,
    HashEmbedder,
    MemoryLedger,
    ScriptedEmbedder,
    ScriptedImageGenerator,
    ScriptedLLM,
    ScriptedScorer,
    registry,
    replay,
)
from limbeck.types import (
    Capabilities,
    EmbeddingRequest,
    EmbeddingResponse,
    GenerationRequest,
    Image,
    ImageRequest,
    ScoreRequest,
    Usage,
)

if TYPE_CHECKING:
    from pathlib import Path

    from limbeck.types import ChatType, Row


class Embed(EmbeddingTask):
    """Embeds a column."""

    @property
    def inputs(self) -> list[str]:
        return ["text"]

    @property
    def outputs(self) -> list[str]:
        return ["embedding"]

    def format_input(self, input: Row) -> Any:
        return input["text"]

    def format_output(self, output: list[float], input: Row) -> Row:
        return {"embedding": output}


class Judge(ScoringTask):
    """Scores a list of answers."""

    @property
    def inputs(self) -> list[str]:
        return ["question", "answers"]

    @property
    def outputs(self) -> list[str]:
        return ["scores"]

    def format_input(self, input: Row) -> Any:
        return input["question"], input["answers"]

    def format_output(self, output: list[float], input: Row) -> Row:
        return {"scores": output}


class Draw(ImageTask):
    """Draws a prompt."""

    @property
    def inputs(self) -> list[str]:
        return ["prompt"]

    @property
    def outputs(self) -> list[str]:
        return ["image"]

    def format_input(self, input: Row) -> Any:
        return input["prompt"]

    def format_output(self, output: Image, input: Row) -> Row:
        return {"image": output.content}


TEXTS: list[Row] = [{"text": text} for text in ("a b", "b c", "c d")]
QUESTION: list[Row] = [{"question": "q", "answers": ["a", "b"]}]
PROMPTS: list[Row] = [{"prompt": "a cat"}, {"prompt": "a dog"}]


def queried(run_dir: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(run_dir / "ledger.sqlite")) as ledger:
        return ledger.execute(query).fetchall()


# What comes of rows


def test_a_row_of_an_embedder_has_a_list_of_numbers_and_the_models_name() -> None:
    (row,) = next(Embed(embedder=ScriptedEmbedder(script=[[0.5, -1.0]])).process(TEXTS[:1]))
    assert row == {"text": "a b", "embedding": [0.5, -1.0], "model_name": "scripted"}


def test_a_row_of_a_scorer_has_the_scores_in_the_order_of_the_candidates() -> None:
    (row,) = next(Judge(scorer=ScriptedScorer(script=[[0.25, 2]])).process(QUESTION))
    assert row["scores"] == [0.25, 2.0]


def test_a_row_of_an_image_generator_has_the_picture() -> None:
    (row,) = next(Draw(image_generator=ScriptedImageGenerator(script=[b"png"])).process(PROMPTS[:1]))
    assert row["image"] == b"png"


def test_several_pictures_of_a_row_are_several_samples() -> None:
    draw = Draw(image_generator=ScriptedImageGenerator(script=[b"1", b"2"]), num_generations=2, group_generations=True)
    (row,) = next(draw.process(PROMPTS[:1]))
    assert sorted(row["image"]) == [b"1", b"2"]


@pytest.mark.parametrize("model", ["offline", {"provider": "offline"}, {"provider": "offline/m"}], ids=repr)
@pytest.mark.parametrize(("cls", "field"), [(Embed, "embedder"), (Judge, "scorer"), (Draw, "image_generator")])
def test_a_model_is_named_as_an_llm_is(cls: Any, field: str, model: Any) -> None:
    task = cls(**{field: model})
    assert getattr(task, field).model_name.startswith("offline/")
    assert task.model_dump()[field]["provider"] == "offline"
    assert task.llm is getattr(task, field)


@pytest.mark.parametrize(("cls", "field"), [(Embed, "embedder"), (Judge, "scorer"), (Draw, "image_generator")])
def test_a_model_of_another_kind_is_refused_by_name(cls: Any, field: str) -> None:
    with pytest.raises(PluginContractError, match=r"cannot be used as an? "):
        cls(**{field: EchoLLM()})


def test_an_object_with_the_right_method_is_an_embedder() -> None:
    class Lengths:
        model_name = "lengths"
        batch_size = 8

        def embed(self, request: EmbeddingRequest) -> EmbeddingResponse:
            return EmbeddingResponse(vectors=[[float(len(text))] for text in request.texts])

    made = next(Embed(embedder=Lengths()).process(TEXTS))
    assert [row["embedding"] for row in made] == [[3.0]] * 3


@pytest.mark.parametrize(
    ("task", "row"),
    [
        (Embed(embedder="offline"), {"text": 7}),
        (Embed(embedder="offline"), {"text": None}),
        (Judge(scorer="offline"), {"question": "q", "answers": []}),
        (Judge(scorer="offline"), {"question": "q", "answers": "ab"}),
        (Judge(scorer="offline"), {"question": None, "answers": ["a"]}),
        (Draw(image_generator="offline"), {"prompt": ["a"]}),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_is_nothing_to_ask_fails_its_row_before_anything_is_sent(task: Any, row: Row) -> None:
    (made,) = next(task.process([row]))
    error = made["distilabel_metadata"][f"error_{task.name}"]
    assert error["type"] == "RowError"
    assert "`format_input` of task" in error["message"]
    assert error["attempts"] == 0


@pytest.mark.parametrize(
    ("task", "model", "request_"),
    [
        (Embed, ScriptedEmbedder(script=[[1.0]]), EmbeddingRequest(texts=["t"], parameters={"b": 2})),
        (Judge, ScriptedScorer(script=[[1.0]]), ScoreRequest(query="q", candidates=["c"], parameters={"b": 2})),
        (Draw, ScriptedImageGenerator(script=[b"i"]), ImageRequest(prompt="p", parameters={"b": 2})),
    ],
)
def test_a_task_may_return_a_whole_request_with_parameters_of_its_own(task: Any, model: Any, request_: Any) -> None:
    class Whole(task):  # type: ignore[misc]  # a class of three
        def format_input(self, input: Row) -> Any:
            return request_

    asked = type(model)(script=model.script, generation_kwargs={"a": 1, "b": 1})
    next(Whole(**{task.model_kind: asked}).process([{**TEXTS[0], **QUESTION[0], **PROMPTS[0]}]))
    assert asked.requests[0].parameters == {"a": 1, "b": 2}


# The ledger


def test_a_second_run_takes_the_same_vectors_from_the_ledger_and_asks_nothing(tmp_path: Path) -> None:
    embedder = HashEmbedder(dimensions=7)
    first = list(Embed(embedder=embedder).run(TEXTS, run_dir=tmp_path))
    stream = Embed(embedder=embedder).run(TEXTS, run_dir=tmp_path)
    assert list(stream) == first
    assert (stream.stats.requests, stream.stats.reused, len(embedder.requests)) == (0, 3, 1)


def test_vectors_are_stored_as_floats_of_32_bits(tmp_path: Path) -> None:
    list(Embed(embedder=ScriptedEmbedder(script=[[0.1, 2.0]])).run(TEXTS[:1], run_dir=tmp_path))
    ((value, text, detail),) = queried(tmp_path, "SELECT value, text, detail FROM calls")
    assert array("f", value) == array("f", [0.1, 2.0])
    assert (text, detail) == (None, None)


def test_a_vector_that_was_damaged_is_asked_again(tmp_path: Path) -> None:
    embedder = HashEmbedder()
    first = list(Embed(embedder=embedder).run(TEXTS, run_dir=tmp_path))
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as ledger:
        ledger.execute("UPDATE calls SET value = zeroblob(64) WHERE row = '1'")
        ledger.commit()
    with pytest.warns(LimbeckWarning, match="row 1 "):
        assert list(Embed(embedder=embedder).run(TEXTS, run_dir=tmp_path)) == first
    assert [list(request.texts) for request in embedder.requests][1:] == [["b c"]]


def test_the_tokens_of_rows_that_share_a_request_sum_up_to_those_of_the_request(tmp_path: Path) -> None:
    stream = Embed(embedder=HashEmbedder()).run([{"text": "a b c"}, {"text": "d"}, {"text": "e f"}], run_dir=tmp_path)
    list(stream)
    assert stream.stats.usage == Usage(input_tokens=6)
    assert queried(tmp_path, "SELECT sum(input_tokens) FROM calls") == [(6,)]


def test_scores_come_back_from_the_ledger(tmp_path: Path) -> None:
    first = list(Judge(scorer=ScriptedScorer(script=[[0.1, 0.7]])).run(QUESTION, run_dir=tmp_path))
    again = list(Judge(scorer=ScriptedScorer(script=[])).run(QUESTION, run_dir=tmp_path))
    assert again == first
    assert json.loads(queried(tmp_path, "SELECT detail FROM calls")[0][0]) == {"scores": [0.1, 0.7]}


def test_images_are_files_under_their_digests_and_the_row_of_the_ledger_has_the_name(tmp_path: Path) -> None:
    list(Draw(image_generator=ScriptedImageGenerator(script=[b"cat", b"dog"])).run(PROMPTS, run_dir=tmp_path))
    files = {path.name: path.read_bytes() for path in (tmp_path / "blobs").iterdir()}
    assert sorted(files.values()) == [b"cat", b"dog"]
    stored = [json.loads(detail)["image"] for (detail,) in queried(tmp_path, "SELECT detail FROM calls")]
    assert {image["file"] for image in stored} == set(files)
    again = list(Draw(image_generator=ScriptedImageGenerator(script=[])).run(PROMPTS, run_dir=tmp_path))
    assert sorted(row["image"] for row in again) == [b"cat", b"dog"]


def test_an_image_whose_file_is_gone_is_drawn_again(tmp_path: Path) -> None:
    list(Draw(image_generator=ScriptedImageGenerator(script=[b"cat"])).run(PROMPTS[:1], run_dir=tmp_path))
    next((tmp_path / "blobs").iterdir()).unlink()
    with pytest.warns(LimbeckWarning, match="is asked again"):
        (row,) = Draw(image_generator=ScriptedImageGenerator(script=[b"other"])).run(PROMPTS[:1], run_dir=tmp_path)
    assert row["image"] == b"other"


@pytest.mark.parametrize("kind", ["embedder", "scorer", "image_generator"])
def test_a_run_is_replayed_without_a_model(tmp_path: Path, kind: str) -> None:
    def task(script: Any) -> Any:
        made: dict[str, Any] = {
            "embedder": lambda: Embed(embedder=ScriptedEmbedder(script=script)),
            "scorer": lambda: Judge(scorer=ScriptedScorer(script=script)),
            "image_generator": lambda: Draw(image_generator=ScriptedImageGenerator(script=script)),
        }
        return made[kind]()

    script: dict[str, Any] = {"embedder": [[1.0]], "scorer": [[1.0, 2.0]], "image_generator": [b"png"]}
    rows = [{**TEXTS[0], **QUESTION[0], **PROMPTS[0]}]
    first = list(task(script[kind]).run(rows, run_dir=tmp_path))
    with replay(tmp_path):
        assert next(task([]).process(rows)) == first


def test_a_store_of_the_callers_keeps_vectors_too() -> None:
    ledger, embedder = MemoryLedger(), HashEmbedder()
    first = list(Embed(embedder=embedder).run(TEXTS, ledger=ledger))
    assert list(Embed(embedder=embedder).run(TEXTS, ledger=ledger)) == first
    assert len(embedder.requests) == 1


def test_vectors_of_another_run_are_taken_from_the_cache(tmp_path: Path) -> None:
    embedder = HashEmbedder()
    first = list(Embed(embedder=embedder).run(TEXTS, run_dir=tmp_path / "a"))
    copied = list(Embed(embedder=embedder).run(TEXTS, run_dir=tmp_path / "b", cache=tmp_path / "a"))
    assert copied == first
    assert list(Embed(embedder=embedder).run(TEXTS, run_dir=tmp_path / "b")) == first
    assert len(embedder.requests) == 1


def test_an_embedder_with_other_dimensions_is_asked_anew(tmp_path: Path) -> None:
    list(Embed(embedder=HashEmbedder(dimensions=4)).run(TEXTS, run_dir=tmp_path))
    with pytest.warns(LimbeckWarning, match="dimensions"):
        stream = Embed(embedder=HashEmbedder(dimensions=5)).run(TEXTS, run_dir=tmp_path)
    assert {len(row["embedding"]) for row in stream} == {5}


def test_the_batch_size_is_no_part_of_what_identifies_an_answer(tmp_path: Path) -> None:
    list(Embed(embedder=HashEmbedder(batch_size=1)).run(TEXTS, run_dir=tmp_path))
    with pytest.warns(LimbeckWarning, match="batch_size"):
        stream = Embed(embedder=HashEmbedder(batch_size=2)).run(TEXTS, run_dir=tmp_path)
    assert len(list(stream)) == 3
    assert stream.stats.reused == 3


def test_an_output_that_is_changed_is_made_anew_from_the_stored_vectors(tmp_path: Path) -> None:
    class First(Embed):
        def format_output(self, output: list[float], input: Row) -> Row:
            return {"embedding": output[:1]}

    embedder = HashEmbedder()
    list(Embed(embedder=embedder, name="embed").run(TEXTS, run_dir=tmp_path))
    again = list(First(embedder=embedder, name="embed").reparse(TEXTS, run_dir=tmp_path))
    assert [len(row["embedding"]) for row in again] == [1, 1, 1]


def test_it_is_explained_why_an_answer_is_not_found(tmp_path: Path) -> None:
    task = Embed(embedder=HashEmbedder())
    list(task.run(TEXTS, run_dir=tmp_path))
    assert task.explain(TEXTS[0], run_dir=tmp_path, id=0).found
    assert task.explain(None, run_dir=tmp_path, id=0).found
    changed = task.explain({"text": "other"}, run_dir=tmp_path, id=0)
    assert not changed.found
    assert any("messages[0] (text)" in difference for difference in changed.differs)


def test_rows_of_a_run_are_asked_again_of_another_embedder(tmp_path: Path) -> None:
    task = Embed(embedder=HashEmbedder(dimensions=4), name="embed")
    list(task.run(TEXTS, run_dir=tmp_path))
    again = list(task.rerun(TEXTS, run_dir=tmp_path, where="text = 'b c'", llm=HashEmbedder(dimensions=8)))
    assert [len(row["embedding"]) for row in again] == [4, 8, 4]


def test_a_budget_of_tokens_stops_a_run(tmp_path: Path) -> None:
    stream = Embed(embedder=HashEmbedder(batch_size=1)).run([{"text": "a b c"}] * 200, run_dir=tmp_path, max_tokens=300)
    with pytest.raises(BudgetError):
        list(stream)
    assert 0 < stream.stats.usage.input_tokens <= 300


def test_an_embedder_has_the_price_of_its_registered_name() -> None:
    with registry():
        register_embedder("acme", HashEmbedder)
        task = Embed(embedder="acme/hash-1")
        stream = task.run([{"text": "a b"}, {"text": "c d"}], prices={"acme/hash-1": {"input": 500_000, "output": 0}})
        list(stream)
    assert stream.stats.cost == 2.0


def test_an_estimate_knows_the_tokens_of_an_embedder() -> None:
    estimate = Embed(embedder=HashEmbedder()).estimate([{"text": "a b c"}] * 100, 10)
    assert estimate.input_tokens is not None
    assert estimate.input_tokens.estimate == 300


def test_a_fault_of_the_author_is_told_of_its_row() -> None:
    class Broken(Embed):
        def format_output(self, output: list[float], input: Row) -> Row:
            raise KeyError("no")

    (row,) = next(Broken(embedder="offline").process(TEXTS[:1]))
    assert row["distilabel_metadata"]["error_broken"]["type"] == OutputError.__name__


def test_what_a_model_gave_and_was_asked_stands_in_the_metadata_where_it_is_wanted() -> None:
    task = Embed(embedder=ScriptedEmbedder(script=[[0.5]]), add_raw_output=True, add_raw_input=True)
    (row,) = next(task.process(TEXTS[:1]))
    assert row["distilabel_metadata"] == {
        "raw_output_embed": [0.5],
        "raw_input_embed": [{"role": "text", "content": "a b"}],
    }


# Pipelines


def test_a_pipeline_streams_through_tasks_of_several_kinds(tmp_path: Path) -> None:
    with Pipeline("kinds") as pipeline:
        load = LoadDataFromDicts(data=[{**text, **QUESTION[0]} for text in TEXTS])
        load >> Embed(embedder="offline") >> Judge(scorer="offline")
    result = pipeline.run(run_dir=tmp_path / "run")
    assert [len(row["embedding"]) for row in result] == [64, 64, 64]
    assert [step.kind for step in result.report.steps] == ["source", "task", "task"]


# Raw prompts and prefills


class Complete(Task):
    """Goes on with a raw prompt."""

    @property
    def inputs(self) -> list[str]:
        return ["text"]

    @property
    def outputs(self) -> list[str]:
        return ["generation"]

    def format_input(self, input: Row) -> ChatType | GenerationRequest:
        return GenerationRequest(prompt=input["text"], parameters={"stop": ["\n"]})

    def format_output(self, output: str | None, input: Row) -> Row:
        return {"generation": output}


class Begin(Complete):
    """Begins the answer itself."""

    def format_input(self, input: Row) -> ChatType | GenerationRequest:
        return [{"role": "user", "content": input["text"]}, {"role": "assistant", "content": "Well, "}]


def test_a_raw_prompt_reaches_the_backend_as_it_is(tmp_path: Path) -> None:
    llm = ScriptedLLM(script=["d e"], generation_kwargs={"seed": 1})
    (row,) = Complete(llm=llm).run(TEXTS[:1], run_dir=tmp_path)
    (request,) = llm.requests
    assert (request.prompt, request.messages, row["generation"]) == ("a b", [], "d e")
    assert request.parameters == {"seed": 1, "stop": ["\n"]}
    (again,) = Complete(llm=ScriptedLLM(script=[], generation_kwargs={"seed": 1})).run(TEXTS[:1], run_dir=tmp_path)
    assert again["generation"] == "d e"


class ChatOnly(LLM):
    """Takes chats that end with the user's words."""

    capabilities = Capabilities()

    @property
    def model_name(self) -> str:
        return "chat-only"

    async def agenerate(self, request: GenerationRequest) -> Any:
        raise AssertionError(f"It was asked {request!r}.")


@pytest.mark.parametrize(("task", "capability"), [(Complete, "completions"), (Begin, "prefill")])
def test_a_form_that_a_backend_does_not_take_fails_its_row_unsent(task: Any, capability: str) -> None:
    (row,) = next(task(llm=ChatOnly()).process(TEXTS[:1]))
    error = row["distilabel_metadata"][f"error_{task(llm='offline').name}"]
    assert error["type"] == "BadRequestError"
    assert f"`{capability}`" in error["message"]


def test_a_request_has_messages_or_a_prompt() -> None:
    with pytest.raises(ConfigurationError, match="not both"):
        GenerationRequest(messages=[{"role": "user", "content": "a"}], prompt="a")


class GoesOn(Task):
    """Gives a raw prompt, and takes one answer only."""

    @property
    def inputs(self) -> list[str]:
        return ["text"]

    @property
    def outputs(self) -> list[str]:
        return ["rest"]

    def format_input(self, input: Row) -> GenerationRequest:
        return GenerationRequest(prompt=input["text"])

    def format_output(self, output: str | None, input: Row) -> Row:
        if output != "right":
            raise OutputError("That is not right.")
        return {"rest": output}


def test_a_raw_prompt_is_mended_by_a_longer_one() -> None:
    llm = ScriptedLLM(script=["wrong", "right"])
    (row,) = GoesOn(llm=llm, repair=1).run([{"text": "Once"}])
    assert row["rest"] == "right"
    assert str(llm.requests[1].prompt).startswith("Once" + "wrong")


def test_only_a_task_with_an_llm_converses() -> None:
    with pytest.raises(PluginContractError, match="no LLM to converse with"):

        class Talks(Embed):
            def converse(self, input: Row) -> Any:
                yield input
