"""What servers, files and plugins have written reaches the terminal without its control characters."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from limbeck import LLM, register_llm
from limbeck.errors import BadRequestError, LimbeckWarning
from limbeck.testing import registry
from limbeck.types import GenerationRequest, GenerationResponse
from limbeck_cli.exits import echo, show_warning
from limbeck_cli.tables import show_table
from support.command import invoke, limbeck, write_rows
from support.packs import write_pack

STRANGE = {
    "the clipboard": "a\x1b]52;c;cHduZWQ=\x07b",
    "the title": "a\x1b]0;title\x1b\\b",
    "a colour of one byte": "a\x9b31mb",
    "the line before": "a\rb",
    "the direction": "a\u202eb",
    "a delete": "a\x7fb",
}
strange = pytest.mark.parametrize("text", STRANGE.values(), ids=STRANGE)


class RudeLLM(LLM):
    """Refuses with what it was asked."""

    model: str

    @property
    def model_name(self) -> str:
        return self.model

    async def agenerate(self, request: GenerationRequest) -> GenerationResponse:
        raise BadRequestError(f"no: {request.messages[0]['content']}")


@strange
def test_an_error_of_a_server_and_the_names_of_a_run(text: str) -> None:
    with registry():
        register_llm("rude", RudeLLM)
        step = {"task": "text-generation", "name": f"s{text}", "llm": {"provider": "rude", "model": text}}
        data = {"name": f"n{text}", "input": [{"instruction": text}], "output": f"{text}.jsonl", "steps": [step]}
        Path("p.yaml").write_text(json.dumps(data))
        told = invoke("run", "p.yaml", "--run-dir", "R").output
        told += invoke("runs", ".").output
        told += invoke("report", "R").output
        assert "First failure" in told
        assert text not in told
        assert not {"\x1b", "\x07", "\x9b", "\r", "\u202e", "\x7f"} & set(told)


@strange
def test_a_column_and_a_file(text: str) -> None:
    write_rows(Path("rows.jsonl"), [{text: 1}])
    assert text not in invoke("generate", "-m", "offline", "-i", "rows.jsonl").output
    assert text not in invoke("generate", "-m", "offline", "-i", f"{text}.jsonl").output
    assert text not in invoke("validate", f"{text}.yaml").output


@strange
def test_a_warning(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    for category in (LimbeckWarning, UserWarning):
        show_warning(text, category, "file.py", 1)
    assert text not in capsys.readouterr().err


def test_a_cell_of_a_table_stays_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(["name", "is"], [["a\nb\x1b[31m", "c"]])
    assert capsys.readouterr().out.splitlines() == ["NAME         IS", "a b\\x1b[31m  c"]


def test_the_summary_of_a_distribution(tmp_path: Path) -> None:
    packs = tmp_path / "packs"
    names = "[limbeck.tasks]\nrude = acme_rude:Rude\n[limbeck.commands]\nrude = acme_rude:app\n"
    metadata = "Metadata-Version: 2.1\nName: acme-rude\nVersion: 1.0\nSummary: a\x1b]0;title\x07b\n"
    write_pack(packs, "acme-rude", names, metadata=metadata)
    for command in (["tasks"], ["tasks", "--json"], ["plugins", "list"], ["plugins", "list", "--json"], ["--help"]):
        done = limbeck(*command, env={"PYTHONPATH": str(packs)})
        assert "rude" in done.stdout
        assert "\x1b]" not in done.stdout


def test_lines_tabs_and_letters_of_any_language_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    echo("¿Qué?\tשלום\r\n日本語")
    assert capsys.readouterr().out == "¿Qué?\tשלום\r\n日本語\n"
