"""YAML as it is read here: version 1.2, with the lines that values stand on.

Covers `_pipeline.config.text.scalars`.
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from limbeck._pipeline.config.text.yaml_text import read_value, read_yaml
from limbeck.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-3", -3),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("1.5", 1.5),
        ("1e-3", 0.001),
        (".5", 0.5),
        ("-.inf", -math.inf),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("no", "no"),
        ("on", "on"),
        ("12:30", "12:30"),
        ("1_000", "1_000"),
        ("2026-11-23", "2026-11-23"),
        ("a: b # c", "a: b # c"),
        ("You are: brief", "You are: brief"),
        ("[a, 2, no]", ["a", 2, "no"]),
        ("{a: 1}", {"a": 1}),
        ('"3"', "3"),
        ("[INST] hi", "[INST] hi"),
        ("{{ question }}", "{{ question }}"),
        ("&anchor", "&anchor"),
        ("!tag x", "!tag x"),
    ],
)
def test_a_value_on_the_command_line_is_a_scalar_or_in_brackets(text: str, value: object) -> None:
    assert read_value(text, "--set x") == value
    assert type(read_value(text, "--set x")) is type(value)


def test_a_place_is_the_line_of_the_nearest_thing_that_is_known(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a:\n  - b: 1\n    c:\n      d: 2\n")
    document = read_yaml(str(path))
    assert document.data == {"a": [{"b": 1, "c": {"d": 2}}]}
    assert document.at() == f"{path}:1"
    assert document.at("a", 0, "c", "d") == f"{path}:4"
    assert document.at("a", 0, "no such key") == f"{path}:2"


def test_anchors_and_merge_keys_are_understood(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("base: &base {x: 1}\nboth:\n  <<: *base\n  y: 2\n")
    assert read_yaml(str(path)).data["both"] == {"x": 1, "y": 2}


@pytest.mark.parametrize(
    "text", ["a: !!python/object/apply:os.getcwd []", "a: !tag x", "? {a: b}\n: c", "a: 1\n---\nb: 2"]
)
def test_what_is_not_plain_data_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match="not valid YAML"):
        read_yaml(str(path))


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("{a: Why?, b: ?x}", {"a": "Why?", "b": "?x"}),
        ("[?x, a?b, a ?b c?]", ["?x", "a?b", "a ?b c?"]),
        ("{is it?: yes?}", {"is it?": "yes?"}),
        ("[[http://a.b/c?d=1], {a: 2 + 2?}]", [["http://a.b/c?d=1"], {"a": "2 + 2?"}]),
        ("{? a : b}", {"a": "b"}),
        ("[? a]", [{"a": None}]),
        ("? a\n: b?", {"a": "b?"}),
    ],
)
def test_a_question_mark_is_a_letter_unless_a_space_or_a_bracket_follows_it_at_the_start(
    text: str, data: object
) -> None:
    assert read_yaml("a.yaml", text=text).data == data
