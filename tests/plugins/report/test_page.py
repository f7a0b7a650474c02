"""The page as a file: whole in itself, everything of strangers escaped and bounded."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from limbeck.errors import ContentFilteredError, TransientError
from limbeck.testing import ScriptedLLM
from limbeck_report.page import MOST_SHOWN, excerpt_of, write_page

from .recorded_runs import record, step_record, write_report

HOSTILE = "</pre></details><script>alert(1)</script><img src=x onerror=alert(1)>"
_VOID = {"meta", "link", "br", "img", "input", "hr"}


class Elements(HTMLParser):
    """The elements of a page; fails where one is not closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def named(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.found if tag in tags]


def page_of(folder: Path, *, count: int = 6) -> str:
    target = folder.parent / "report.html"
    write_page(str(folder), target, count=count, seed=0)
    return target.read_text(encoding="utf-8")


@pytest.fixture
def page(tmp_path: Path) -> str:
    """The page of a run in which everything that comes from outside is hostile."""
    row = {"question": HOSTILE, HOSTILE: HOSTILE}
    folder = record(tmp_path / "run", [row, f"bad {HOSTILE}", f"unreadable {HOSTILE}"], name=HOSTILE)
    (folder / "run.json").write_text(f'{{"name": "{HOSTILE}", "command": "{HOSTILE}"}}', encoding="utf-8")
    return page_of(folder)


def test_what_comes_from_outside_makes_no_element(page: str) -> None:
    elements = Elements(page)
    assert elements.named("img", "iframe", "object", "link", "form") == []
    assert len(elements.named("script")) == 1
    assert not [name for _, attributes in elements.found for name in attributes if name.startswith("on")]
    assert "&lt;img src=x onerror=alert(1)&gt;" in page


def test_names_with_markup_make_no_element_from_a_report_either(tmp_path: Path) -> None:
    write_report(
        tmp_path,
        [step_record(HOSTILE, HOSTILE, [HOSTILE], model_name=HOSTILE, failures={HOSTILE: 1}, rows_in=3, rows_out=1)],
        pipeline=HOSTILE,
        started=HOSTILE,
        error=HOSTILE,
        finished=False,
    )
    write_page(str(tmp_path), tmp_path / "report.html", count=6, seed=0)
    elements = Elements((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert elements.named("img") == []
    assert len(elements.named("script")) == 1


def test_the_page_asks_for_nothing_outside_of_itself(page: str) -> None:
    elements = Elements(page)
    addresses = [
        value
        for _, attributes in elements.found
        for name, value in attributes.items()
        if name in ("src", "href", "xlink:href", "srcset", "action", "data")
    ]
    assert [address for address in addresses if not (address or "").startswith("#")] == []
    assert "@import" not in page
    assert all(address.startswith("#") for address in re.findall(r"url\(([^)]*)\)", page))


def test_the_pages_policy_allows_its_one_script_and_nothing_else(page: str) -> None:
    (policy,) = [each["content"] for each in Elements(page).named("meta") if each.get("http-equiv")]
    script = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)[-1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    assert f"script-src 'sha256-{digest}'" in policy


def test_no_id_is_given_twice(page: str) -> None:
    ids = [attributes["id"] for _, attributes in Elements(page).found if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_every_reference_within_the_page_leads_somewhere(page: str) -> None:
    elements = Elements(page)
    ids = {attributes.get("id") for _, attributes in elements.found}
    links = [(value or "")[1:] for each in elements.named("a", "use") for name, value in each.items() if "href" in name]
    labels = [each["aria-labelledby"] for _, each in elements.found if "aria-labelledby" in each]
    assert {*links, *labels} - ids == set()


def test_headings_go_down_one_level_at_a_time(page: str) -> None:
    levels = [int(tag[1]) for tag, _ in Elements(page).found if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_a_page_of_huge_answers_stays_small(tmp_path: Path) -> None:
    folder = record(tmp_path / "run", [f"q{n}" for n in range(6)], script=lambda request: "x" * 1_000_000)
    page = page_of(folder)
    assert len(page) < 6 * MOST_SHOWN + 100_000
    assert "the text has 1,000,000 characters" in page


def test_lone_surrogates_and_control_characters_are_spelt_out(tmp_path: Path) -> None:
    page = page_of(record(tmp_path / "run", ["tea"], script=lambda request: "a\x00b\x1b[31mc\ud800d"))
    assert "a\\x00b\\x1b[31mc\\ud800d" in page


def test_a_run_without_calls_says_that_there_is_nothing_to_show(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    write_report(folder, [step_record("load", "source", rows_out=3)])
    assert "No model was asked in this run" in page_of(folder)


def test_prompts_that_are_kept_as_digests_are_said_not_to_be_stored(tmp_path: Path) -> None:
    folder = record(tmp_path / "run", ["tea"], run={"ledger_requests": "hash"})
    assert "The prompt is not stored" in page_of(folder)


def test_a_failure_is_shown_with_its_prompt_its_parameters_its_attempts_and_its_error(tmp_path: Path) -> None:
    script = [TransientError("Busy.", retry_after=0.0), ContentFilteredError("It is filtered.")]
    llm = ScriptedLLM(script=script, generation_kwargs={"temperature": 0.5})
    page = page_of(record(tmp_path / "run", ["the refused prompt"], llm=llm))
    (card,) = re.findall(r'<article class="sample failed">.*?</article>', page, re.DOTALL)
    for told in ("ContentFilteredError", "It is filtered.", "2 attempts", "temperature", "0.5", "the refused prompt"):
        assert told in card


def test_a_short_text_is_shown_whole() -> None:
    excerpt = excerpt_of("two\nlines")
    assert (excerpt.text, excerpt.peek, excerpt.size, excerpt.cut) == ("two\nlines", None, "9 characters", False)


@pytest.mark.parametrize("text", ["x" * 701, "\n" * 14])
def test_a_long_text_is_folded_behind_its_beginning(text: str) -> None:
    excerpt = excerpt_of(text)
    assert excerpt.peek is not None
    assert excerpt.text == text


def test_a_value_of_a_row_that_is_no_text_is_shown_as_json() -> None:
    assert excerpt_of({"a": ["ä", None]}).text == '{\n  "a": [\n    "ä",\n    null\n  ]\n}'
