"""A page that says what is not so does not pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from .page_runner import PageRunner
from .pages import REPOSITORY, blocks_of


def run(folder: Path, *lines: str) -> list[Path]:
    """Run a page of these lines; the folders it installed."""
    page = REPOSITORY / "docs" / "not-a-page.md"  # never written: only its name is shown
    written = folder / "page.md"
    written.write_text("\n".join(lines) + "\n", encoding="utf-8")
    installed: list[Path] = []
    runner = PageRunner(page, folder, installed=installed.append)
    runner.run(blocks_of(written))
    return installed


def test_python_blocks_share_their_names(tmp_path: Path) -> None:
    run(
        tmp_path,
        "```python",
        "a = 1",
        "```",
        "",
        "And then:",
        "",
        "```python",
        "print(a)",
        "```",
        "```text",
        "1",
        "```",
    )


def test_an_output_that_is_not_printed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"docs/not-a-page.md:5 prints\n1\n\nand not\n2"):
        run(tmp_path, "```python", "print(1)", "```", "```text", "2", "```")


def test_an_ellipsis_stands_for_anything_and_for_nothing_else(tmp_path: Path) -> None:
    run(tmp_path, "```python", "print('one two three')", "```", "```text", "one … three", "```")
    with pytest.raises(AssertionError, match="prints"):
        run(tmp_path, "```python", "print('one two three')", "```", "```text", "one … four", "```")


def test_an_error_in_a_block_is_located_in_the_page(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        run(tmp_path, "", "", "```python", "1 / 0", "```")
    assert caught.traceback[-1].lineno == 3  # counted from 0


def test_what_a_command_shows_and_how_it_exits_are_checked(tmp_path: Path) -> None:
    run(tmp_path, "```console", "$ echo one", "one", "$ ls nowhere", "…nowhere…", "$ echo $?", "2", "```")
    with pytest.raises(AssertionError, match="`echo one` prints"):
        run(tmp_path, "```console", "$ echo one", "two", "```")
    with pytest.raises(AssertionError, match="`ls nowhere` exits with 2"):
        run(tmp_path, "```console", "$ ls nowhere", "```")


def test_a_command_that_is_not_known_is_not_run(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="`rm` is not a command that this test runs"):
        run(tmp_path, "```console", "$ rm -r folder", "```")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("python -m pip install ./nowhere", "there is no './nowhere'"),
        ("python -m pip install -c nowhere.txt ./core", "there is no 'nowhere.txt'"),
        ("pip install limbeck-nothing", "there is no package 'limbeck-nothing'"),
        ("pip install 'limbeck-huggingface[nothing]'", "no extra 'nothing'"),
    ],
)
def test_set_up_that_names_what_is_not_there_is_refused(tmp_path: Path, line: str, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        run(tmp_path, "```sh", line, "```")


def test_a_distribution_that_the_page_writes_is_installed(tmp_path: Path) -> None:
    project = ["```toml", "[project]", 'name = "acme"', 'version = "1"', "```"]
    assert run(tmp_path, "<!-- file: pyproject.toml -->", *project, "```sh", "pip install -e .", "```") == [tmp_path]


def test_a_block_in_a_language_that_cannot_be_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="there is no way to run 'pytohn'"):
        run(tmp_path, "```pytohn", "```")


def test_a_fence_that_is_not_closed_or_not_at_the_margin_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not closed"):
        run(tmp_path, "```python")
    with pytest.raises(ValueError, match="stands at the margin"):
        run(tmp_path, "  ```python", "  ```")
