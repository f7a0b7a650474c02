"""What backends and servers say of their limits: it is taken where it can be one."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from limbeck._engine.limits.allowances import batched, quota_of, setting, wait_of
from limbeck.errors import ConfigurationError
from limbeck.types import Quota


@pytest.mark.parametrize(("fields", "expected"), [({}, False), ({"mode": "online"}, False), ({"mode": "batch"}, True)])
def test_a_backend_is_asked_in_batches_only_where_it_says_so(fields: dict[str, str], expected: bool) -> None:
    assert batched(SimpleNamespace(**fields)) is expected


def test_a_mode_of_another_word_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match="'batches' as its `mode`"):
        batched(SimpleNamespace(mode="batches"))


@pytest.mark.parametrize(("value", "whole"), [(1, True), (2.0, True), (0.5, False), (math.inf, True)])
def test_a_number_above_0_is_a_setting(value: float, whole: bool) -> None:
    assert setting(SimpleNamespace(width=value), "width", 9, whole=whole) == value


def test_a_setting_that_is_not_there_is_the_default_and_none_means_what_it_is_said_to() -> None:
    assert setting(SimpleNamespace(), "width", 9) == 9
    assert setting(SimpleNamespace(width=None), "width", 9, none=math.inf) == math.inf


@pytest.mark.parametrize(
    ("value", "whole"), [(0, False), (-1, False), (True, False), ("3", False), (math.nan, False), (1.5, True)]
)
def test_what_is_no_number_above_0_is_refused_with_its_name(value: Any, whole: bool) -> None:
    with pytest.raises(ConfigurationError, match="`width`"):
        setting(SimpleNamespace(width=value), "width", 9, whole=whole)


@pytest.mark.parametrize(
    ("said", "wait"),
    [(3, 3.0), (0, 0.0), (-1, None), (8 * 86_400, None), ("3", None), (None, None), (True, None), (math.nan, None)],
)
def test_a_wait_is_a_number_of_seconds_up_to_a_week(said: Any, wait: float | None) -> None:
    assert wait_of(said) == wait


def test_a_quota_in_order_is_taken_as_it_is() -> None:
    quota = Quota(requests_remaining=5, requests_reset=1.0, tokens_remaining=None, tokens_reset=None)
    assert quota_of(quota, longest=60.0) is quota


def test_a_reset_beyond_what_a_request_may_wait_is_cut_and_one_that_is_a_date_is_none() -> None:
    quota = Quota(requests_remaining=0, requests_reset=300.0, tokens_remaining=7, tokens_reset=1.8e9)
    assert quota_of(quota, longest=60.0) == Quota(
        requests_remaining=0, requests_reset=60.0, tokens_remaining=7, tokens_reset=None
    )


@pytest.mark.parametrize(
    "odd",
    [
        None,
        {"requests_remaining": 3},
        SimpleNamespace(requests_remaining=3),
        SimpleNamespace(requests_remaining="3", requests_reset=None, tokens_remaining=None, tokens_reset=None),
    ],
    ids=repr,
)
def test_what_cannot_be_a_quota_says_nothing(odd: Any) -> None:
    assert quota_of(odd, longest=60.0) is None
