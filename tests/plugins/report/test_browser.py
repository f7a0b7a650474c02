"""The page in a browser: from disk, without a network, wide and narrow, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from limbeck_report.page import write_page

from .conversed_runs import converse
from .recorded_runs import record, step_record, write_report

browser_module = pytest.importorskip("plugins.report.browser", reason="selenium is not installed")
pytestmark = pytest.mark.skipif(browser_module.executables() is None, reason=browser_module.MISSING)

WIDTHS = [1280, 390]
HOSTILE = [
    "</pre></details><script>document.title = 'owned'</script><img src='http://example.invalid/x.png'>",
    "<style>body { display: none }</style>",
    "W" * 300_000,
    "\u202eright to left\u2066 " * 200,
    "שלום עולם " * 300,
    "line\n" * 5_000,
    "\x00\x1b[31m\ud800",
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium with an empty profile."""
    with browser_module.open_browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a pipeline with failures, and with texts that would break out if they could."""
    folder = record(
        tmp_path_factory.mktemp("runs") / "run",
        [*HOSTILE, *(f"unreadable {text}" for text in HOSTILE), "bad", "filtered", *(f"q{n}" for n in range(30))],
        name="ask",
    )
    steps = [
        step_record("load", "source", rows_out=46),
        step_record("ask", "task", ["load"], rows_in=46, rows_out=46, rows_failed=9, failures={"OutputError": 7}),
        step_record("a-step-with-" + "a-long-" * 20 + "name", "step", ["ask"], rows_in=46, rows_out=46),
    ]
    write_report(folder, steps)
    page = folder.parent / "report.html"
    write_page(str(folder), page, count=20, seed=0)
    return page


@pytest.mark.parametrize("width", WIDTHS)
def test_it_opens_without_an_error_and_without_asking_for_anything(browser: Any, page: Path, width: int) -> None:
    browser.open(page, width=width)
    console, asked = browser.read_log()
    assert console == []
    assert set(asked) <= {page.as_uri()}
    assert browser.ask("return document.title") == "preference: run report"


def test_a_page_that_asks_for_something_would_be_noticed(browser: Any, tmp_path: Path) -> None:
    asking = tmp_path / "asking.html"
    asking.write_text("<img src='http://127.0.0.1:9/x.png'><script>console.error('no')</script>", encoding="utf-8")
    browser.open(asking, width=1280)
    console, asked = browser.read_log()
    assert "http://127.0.0.1:9/x.png" in asked
    assert any('"no"' in message for message in console)


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_window(browser: Any, page: Path, width: int) -> None:
    browser.open(page, width=width)
    browser.ask("for (const each of document.querySelectorAll('details')) each.open = true")
    assert browser.ask("return [document.documentElement.scrollWidth, innerWidth]") == [width, width]


@pytest.mark.parametrize("width", WIDTHS)
def test_every_plot_is_drawn_inside_the_window(browser: Any, page: Path, width: int) -> None:
    browser.open(page, width=width)
    plots = browser.ask(
        "return [...document.querySelectorAll('figure')].map(figure => {"
        " const box = figure.querySelector('svg').getBoundingClientRect();"
        " const marks = [...figure.querySelectorAll('svg path')].filter(path => path.getBBox().width > 0);"
        " return {name: figure.id, left: box.left, right: box.right, height: box.height, marks: marks.length}})"
    )
    assert [plot["name"] for plot in plots] == [
        f"plot-{name}" for name in ("flow", "failures", "tokens", "latency", "length", "throughput")
    ]
    for plot in plots:
        assert 0 <= plot["left"] < plot["right"] <= width, plot
        assert plot["height"] > 30, plot
        assert plot["marks"] > 0, plot


@pytest.mark.parametrize("width", WIDTHS)
def test_failures_and_successes_are_seen_with_prompts_and_answers(browser: Any, page: Path, width: int) -> None:
    browser.open(page, width=width)
    boxes = browser.ask(
        "return Object.fromEntries(['failed', 'answered'].map(kind => {"
        " const cards = [...document.querySelectorAll('.sample.' + kind)];"
        " const box = cards[0].getBoundingClientRect();"
        " const shown = cards.filter(card => card.checkVisibility() && card.querySelectorAll('.text').length > 1);"
        " return [kind, {left: box.left, right: box.right, top: box.top, shown: shown.length}]}))"
    )
    failed, answered = boxes["failed"], boxes["answered"]
    assert failed["shown"] >= 7
    assert answered["shown"] == 20
    if width > 700:  # beside each other
        assert failed["right"] <= answered["left"]
        assert failed["top"] == answered["top"]
    else:
        assert (failed["left"], failed["right"]) == (answered["left"], answered["right"])


def test_the_words_of_a_plot_are_as_large_as_those_of_the_page_on_a_telephone(browser: Any, page: Path) -> None:
    browser.open(page, width=390)
    heights = browser.ask(
        "return [...document.querySelectorAll('figure svg text')].map(text => text.getBoundingClientRect().height)"
    )
    assert min(heights) > 9


def test_a_dark_screen_gets_a_dark_page_with_plots_in_its_colours(browser: Any, page: Path) -> None:
    colours = []
    for dark in (False, True):
        browser.open(page, width=1280, dark=dark)
        colours.append(
            browser.ask(
                "const of = (where, what) => getComputedStyle(document.querySelector(where))[what];"
                "return [of('html', 'backgroundColor'), of('html', 'color'), of('figure svg text', 'fill')]"
            )
        )
    (light_paper, light_ink, light_words), (dark_paper, dark_ink, dark_words) = colours
    assert light_paper != dark_paper
    assert (light_words, dark_words) == (light_ink, dark_ink)


def test_a_long_text_is_unfolded_with_the_keyboard(browser: Any, page: Path) -> None:
    browser.open(page, width=1280)
    browser.ask("document.querySelector('.sample summary').focus()")
    browser.driver.switch_to.active_element.send_keys("\ue007")
    assert browser.ask("return document.activeElement.closest('details').open")


def test_every_text_has_a_button_that_copies_it(browser: Any, page: Path) -> None:
    browser.open(page, width=1280)
    texts, buttons = browser.ask(
        "return [document.querySelectorAll('.text').length, document.querySelectorAll('.text > button').length]"
    )
    assert texts == buttons > 0
    copied = browser.driver.execute_async_script(
        "const done = arguments[0], text = document.querySelector('.text');"
        "text.querySelector('button').click();"
        "const look = () => ['Copied', 'Selected'].includes(text.querySelector('button').textContent)"
        " ? done(true) : requestAnimationFrame(look); look()"
    )
    assert copied


@pytest.fixture(scope="module")
def conversations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run of conversations, with texts that would break out if they could."""
    topics = [*HOSTILE[:5], "odd", "broken", "filtered second", "filtered draft"]
    folder = converse(tmp_path_factory.mktemp("runs") / "run", topics, repair=1)
    page = folder.parent / "report.html"
    write_page(str(folder), page, count=20, seed=0)
    return page


@pytest.mark.parametrize("width", WIDTHS)
def test_conversations_open_without_an_error_and_inside_the_window(
    browser: Any, conversations: Path, width: int
) -> None:
    browser.open(conversations, width=width)
    console, asked = browser.read_log()
    assert (console, set(asked) <= {conversations.as_uri()}) == ([], True)
    browser.ask("for (const each of document.querySelectorAll('details')) each.open = true")
    assert browser.ask("return [document.documentElement.scrollWidth, innerWidth]") == [width, width]


@pytest.mark.parametrize("width", WIDTHS)
def test_the_turns_of_a_conversation_are_seen_one_below_another_and_what_was_side_by_side_beside(
    browser: Any, conversations: Path, width: int
) -> None:
    browser.open(conversations, width=width)
    cards = browser.ask(
        "return [...document.querySelectorAll('.sample')].map(card => [...card.querySelectorAll('.turn')].map(turn => {"
        " const box = turn.getBoundingClientRect(), inside = card.getBoundingClientRect();"
        " return {name: turn.querySelector('h6').textContent, left: box.left, top: box.top, width: box.width,"
        "  within: inside.left <= box.left && box.right <= inside.right && turn.checkVisibility()}}))"
    )
    whole = [card for card in cards if [turn["name"] for turn in card][:3] == ["Turn 1", "Turn 2.1", "Turn 2.2"]]
    assert len(whole) >= 7
    for first, one, other, effect, *_ in (card for card in whole if len(card) > 3):
        assert first["top"] < one["top"] < effect["top"]
        if width > 700:
            assert (one["top"], one["left"] < other["left"]) == (other["top"], True)
        else:
            assert (one["left"], one["top"] < other["top"]) == (other["left"], True)
    assert all(turn["within"] and turn["width"] > 100 for card in cards for turn in card)


def test_a_conversation_that_failed_ends_with_its_error(browser: Any, conversations: Path) -> None:
    browser.open(conversations, width=390)
    ends = browser.ask(
        "return [...document.querySelectorAll('.sample.failed')].map(card => card.lastElementChild.textContent)"
    )
    assert sorted(end.split(":")[0] for end in ends) == ["Failed at turn 1", "Failed at turn 3"]
