"""The plots: SVG that the page colours, and the lanes of the graph beside the bars."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from array import array

import matplotlib as mpl
import pytest

from limbeck_report.figures import Calls, StepFigures
from limbeck_report.plots import Bar, draw_bars, draw_distribution, draw_throughput, flow_bars, lanes_of


def words_of(svg: str) -> list[str]:
    """The words in an SVG."""
    return [element.text or "" for element in ET.fromstring(svg).iter() if element.tag.endswith("}text")]


def test_a_bar_has_its_name_and_its_value() -> None:
    svg = draw_bars([Bar("answer", "1,000 → 990", [(990, "#010a06"), (10, "#010a05")])], name="flow")
    assert words_of(svg) == ["answer", "1,000 → 990"]


def test_a_name_is_never_read_as_mathematics_or_markup() -> None:
    svg = draw_bars([Bar("$x^2$ <b>&", "$1", [(1, "#010a06")])], name="flow")
    assert words_of(svg) == ["$x^2$ <b>&", "$1"]


def test_a_long_name_is_cut_to_the_room_beside_its_value() -> None:
    (name, _) = words_of(draw_bars([Bar("x" * 200, "1 → 1", [(1, "#010a06")])], name="flow"))
    assert name.endswith("…")
    assert len(name) < 60


def test_every_colour_is_the_pages() -> None:
    step = StepFigures("ask", rows_in=3, rows_out=2, rows_failed=1)
    svg = draw_bars(flow_bars([step]), name="flow", edges=[])
    assert {"var(--soft)", "var(--good)", "var(--bad)", "var(--ink)"} <= set(re.findall(r"var\(--\w+\)", svg))
    assert "#010a" not in svg


def test_the_users_own_style_does_not_change_a_plot() -> None:
    bars = [Bar("answer", "3", [(3, "#010a06")])]
    plain = draw_bars(bars, name="flow")
    with mpl.rc_context({"svg.fonttype": "path", "text.color": "red", "savefig.dpi": 300}):
        assert draw_bars(bars, name="flow") == plain


def test_bars_of_nothing_are_drawn() -> None:
    assert words_of(draw_bars([Bar("empty", "0", [(0, "#010a06")])], name="flow")) == ["empty", "0"]


def test_values_that_range_widely_are_drawn_on_a_logarithmic_scale() -> None:
    svg = draw_distribution([("ask", [0.001, 0.01, 0.1, 1.0, 10.0])], name="latency", unit="s")
    assert {"10 ms", "100 ms", "1.0 s"} <= set(words_of(svg))


@pytest.mark.parametrize("values", [[], [0.0], [2.0], [2.0, 2.0], [math.nan, 1.0], [1e-9, 1e9]])
def test_a_distribution_of_few_or_odd_values_is_drawn(values: list[float]) -> None:
    ET.fromstring(draw_distribution([("ask", values)], name="latency", unit="s"))


def test_answers_and_failures_a_second_are_drawn_over_the_time() -> None:
    at = array("d", [100.0 + number / 10 for number in range(100)])
    calls = Calls(array("q", range(100)), at, array("d", [0.1] * 100), array("q", [3] * 100), array("b", [0, 1] * 50))
    svg = draw_throughput([calls], at[0], at[-1], name="throughput")
    assert {"0 ms", "5.0 s"} <= set(words_of(svg))
    assert "var(--bad)" in svg


def test_a_chain_is_one_lane() -> None:
    assert lanes_of(4, [(0, 1), (1, 2), (2, 3)]) == [0, 0, 0, 0]


def test_a_branch_has_a_lane_of_its_own_until_it_joins_again() -> None:
    assert lanes_of(5, [(0, 1), (1, 2), (1, 3), (2, 4), (3, 4)]) == [0, 0, 0, 1, 0]


def test_a_lane_is_free_again_when_its_path_has_ended() -> None:
    assert lanes_of(6, [(0, 1), (0, 2), (2, 3), (1, 4), (3, 4), (4, 5)])[4:] == [0, 0]


def test_two_sources_do_not_share_a_lane() -> None:
    assert lanes_of(3, [(0, 2), (1, 2)]) == [0, 1, 0]
