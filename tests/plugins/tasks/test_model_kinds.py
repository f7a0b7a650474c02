"""The tasks of embedders, scorers and image generators: their columns, and what fails a row."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from limbeck import Pipeline, get_task
from limbeck.errors import BadRequestError
from limbeck.testing import (
    EmbeddingTaskContract,
    HashEmbedder,
    ImageTaskContract,
    ScoringTaskContract,
    ScriptedEmbedder,
    ScriptedImageGenerator,
    ScriptedLLM,
    ScriptedScorer,
)
from limbeck.types import Capabilities, Image
from limbeck_tasks import ChatGeneration, GenerateEmbeddings, GenerateImages, Rank, Score

if TYPE_CHECKING:
    from pathlib import Path

PNG = b"\x89PNG\r\n\x1a\n..."


class TestGenerateEmbeddings(EmbeddingTaskContract):
    def make_task(self, llm: Any, **fields: Any) -> Any:
        return GenerateEmbeddings(embedder=llm, **fields)


class TestScore(ScoringTaskContract):
    def make_task(self, llm: Any, **fields: Any) -> Any:
        return Score(scorer=llm, **fields)


class TestRank(ScoringTaskContract):
    def make_task(self, llm: Any, **fields: Any) -> Any:
        return Rank(scorer=llm, **fields)


class TestGenerateImages(ImageTaskContract):
    def make_task(self, llm: Any, **fields: Any) -> Any:
        return GenerateImages(image_generator=llm, **fields)


def failure(row: Any, task: str) -> Any:
    return row["distilabel_metadata"][f"error_{task}"]


def test_a_text_becomes_its_vector() -> None:
    task = GenerateEmbeddings(embedder=ScriptedEmbedder(script=[[0.5, 1.0]]))
    assert next(task.process([{"id": 7, "text": "Madrid"}])) == [
        {"id": 7, "text": "Madrid", "embedding": [0.5, 1.0], "model_name": "scripted"}
    ]


def test_a_prefix_stands_before_each_text() -> None:
    embedder = HashEmbedder()
    next(GenerateEmbeddings(embedder=embedder, prefix="query: ").process([{"text": "a"}, {"text": "b"}]))
    assert [list(request.texts) for request in embedder.requests] == [["query: a", "query: b"]]


@pytest.mark.parametrize("text", [None, 7, ["a"]], ids=repr)
def test_what_is_no_text_fails_its_row(text: Any) -> None:
    good, bad = next(GenerateEmbeddings(embedder=HashEmbedder()).process([{"text": "a"}, {"text": text}]))
    assert good["embedding"] is not None
    assert bad["embedding"] is None
    assert "The column `text` must hold a text" in failure(bad, "generate-embeddings")["message"]


def test_a_candidate_gets_a_score_for_its_query() -> None:
    scorer = ScriptedScorer(script=[[0.75]])
    (row,) = next(Score(scorer=scorer).process([{"query": "q", "candidate": "c"}]))
    assert row == {"query": "q", "candidate": "c", "score": 0.75, "model_name": "scripted"}
    assert (scorer.requests[0].query, scorer.requests[0].candidates) == ("q", ["c"])


def test_an_answer_gets_a_score_for_its_instruction() -> None:
    task = Score(scorer="offline", input_mappings={"query": "instruction", "candidate": "generation"})
    (row,) = next(task.process([{"instruction": "capital of Spain", "generation": "the capital of Spain is Madrid"}]))
    assert row["score"] == 1.0


@pytest.mark.parametrize(
    ("scores", "ranking"),
    [([0.1, 0.9, 0.5], [1, 2, 0]), ([3.0], [0]), ([0.5, 0.5, 0.5], [0, 1, 2]), ([-1.0, -2.0], [0, 1])],
    ids=repr,
)
def test_a_ranking_has_the_best_first_and_equal_ones_in_their_order(scores: list[float], ranking: list[int]) -> None:
    row = {"query": "q", "candidates": [f"c {place}" for place in range(len(scores))]}
    (made,) = next(Rank(scorer=ScriptedScorer(script=[scores])).process([row]))
    assert (made["ranking"], made["scores"]) == (ranking, scores)


@pytest.mark.parametrize(
    ("candidates", "says"),
    [([], "an empty list"), (None, "not null"), ("ab", "not str"), (["a", None], r"`candidates[1]` must be a text")],
    ids=repr,
)
def test_what_are_no_candidates_fail_their_row(candidates: Any, says: str) -> None:
    (row,) = next(Rank(scorer="offline").process([{"query": "q", "candidates": candidates}]))
    assert (row["ranking"], row["scores"]) == (None, None)
    assert says in failure(row, "rank")["message"]


def test_a_picture_is_a_data_url() -> None:
    task = GenerateImages(image_generator=ScriptedImageGenerator(script=[Image(content=PNG, media_type="image/webp")]))
    (row,) = next(task.process([{"prompt": "a cat"}]))
    assert row["image"] == f"data:image/webp;base64,{base64.b64encode(PNG).decode()}"


def test_a_picture_is_a_file_where_there_is_a_folder(tmp_path: Path) -> None:
    generator = ScriptedImageGenerator(script=[PNG, PNG])
    task = GenerateImages(image_generator=generator, folder=tmp_path / "pictures")
    first, second = next(task.process([{"prompt": "a cat"}, {"prompt": "the same cat"}]))
    (file,) = (tmp_path / "pictures").iterdir()
    assert first["image"] == second["image"] == str(file)
    assert (file.suffix, file.read_bytes()) == (".png", PNG)


def test_a_prompt_that_is_refused_fails_its_row() -> None:
    task = GenerateImages(image_generator=ScriptedImageGenerator(script=[BadRequestError("No.")]))
    (row,) = next(task.process([{"prompt": "a cat"}]))
    assert row["image"] is None
    assert failure(row, "generate-images")["type"] == "BadRequestError"


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("generate-embeddings", "embedder"),
        ("score", "scorer"),
        ("rank", "scorer"),
        ("generate-images", "image_generator"),
    ],
)
def test_a_file_names_a_task_and_its_model(name: str, field: str, tmp_path: Path) -> None:
    row = '{"text": "a", "query": "a", "candidate": "a b", "candidates": ["a b", "c"], "prompt": "a"}'
    (tmp_path / "in.jsonl").write_text(f"{row}\n", encoding="utf-8")
    path = tmp_path / "pipeline.yaml"
    path.write_text(
        f"input: in.jsonl\nsteps:\n  - task: {name}\n    {field}:\n      provider: offline\n      max_concurrency: 3\n",
        encoding="utf-8",
    )
    pipeline = Pipeline.from_yaml(path)
    assert getattr(pipeline.steps[name], field).max_concurrency == 3
    (made,) = pipeline.run(run_dir=tmp_path / "run")
    assert made["model_name"] == "offline/stand-in"
    written = pipeline.to_yaml()
    assert f"task: {name}" in written
    assert "provider: offline" in written


def test_a_setting_reaches_the_model_of_a_step(tmp_path: Path) -> None:
    from limbeck.recipes import build_pipeline, recipe_of_file

    path = tmp_path / "pipeline.yaml"
    path.write_text(
        "input: [{text: a}]\nsteps:\n  - task: generate-embeddings\n    embedder: offline\n", encoding="utf-8"
    )
    recipe = recipe_of_file(str(path), ["steps.generate-embeddings.embedder.dimensions=5"])
    step: Any = build_pipeline(recipe).steps["generate-embeddings"]
    assert step.embedder.dimensions == 5


def test_a_task_without_its_model_is_told_which_names_there_are(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text("input: [{text: a}]\nsteps:\n  - task: generate-embeddings\n", encoding="utf-8")
    with pytest.raises(Exception, match="names no embedder") as caught:
        Pipeline.from_yaml(path)
    assert "limbeck embedders" in str(caught.value)


def test_names_find_the_classes() -> None:
    assert get_task("generate-embeddings") is GenerateEmbeddings
    assert get_task("generate-images") is GenerateImages


# The beginning of an answer


def test_a_conversation_may_end_with_the_beginning_of_the_answer_where_the_llm_goes_on_with_it() -> None:
    messages = [{"role": "user", "content": "Spain?"}, {"role": "assistant", "content": "Its capital is"}]
    (row,) = next(ChatGeneration(llm=ScriptedLLM(script=[" Madrid."])).process([{"messages": messages}]))
    assert row["generation"] == " Madrid."


def test_a_conversation_that_ends_with_the_assistant_is_refused_where_the_llm_begins_answers_itself() -> None:
    class ChatOnly(ScriptedLLM):
        capabilities = Capabilities()

    messages = [{"role": "user", "content": "Spain?"}, {"role": "assistant", "content": "Its capital is"}]
    (row,) = next(ChatGeneration(llm=ChatOnly(script=[])).process([{"messages": messages}]))
    assert "must be from the user or a tool, not 'assistant'" in failure(row, "chat-generation")["message"]


def test_the_schema_of_files_knows_the_models_of_each_kind() -> None:
    from limbeck.recipes import file_schema

    definitions = file_schema()["$defs"]
    assert definitions["task.generate-embeddings"]["properties"]["embedder"]["$ref"] == "#/$defs/embedder"
    assert "llm" not in definitions["task.generate-embeddings"]["properties"]
    assert "dimensions" in definitions["embedder.offline"]["properties"]
    assert {"scorer", "image_generator", "llm"} <= definitions.keys()
