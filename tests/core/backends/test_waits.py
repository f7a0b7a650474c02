"""Waits and allowances, as headers say them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest

from limbeck.backends import quota_of, seconds_to_wait
from limbeck.types import Quota

if TYPE_CHECKING:
    from collections.abc import Mapping


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"RETRY-AFTER-MS": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": "-1"}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"ratelimit": '"api";r=0;t=55'}, 55.0),
        ({"ratelimit": '"api";r=3;t=55'}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e999"}, None),
        ({}, None),
    ],
    ids=repr,
)
def test_the_seconds_to_wait_are_those_of_the_headers(headers: Mapping[str, str], seconds: float | None) -> None:
    assert seconds_to_wait(headers) == seconds
    assert seconds_to_wait([(name.encode(), value.encode()) for name, value in headers.items()]) == seconds


@pytest.mark.parametrize("zone", [UTC, None])
def test_a_date_is_as_far_away_as_it_is(zone: object) -> None:
    date = datetime.now(UTC) + timedelta(hours=1)
    text = format_datetime(date, usegmt=True) if zone else format_datetime(date.replace(tzinfo=None))
    assert seconds_to_wait({"retry-after": text}) == pytest.approx(3600, abs=30)


@pytest.mark.parametrize(
    ("headers", "quota"),
    [
        (
            {
                "x-ratelimit-remaining-requests": "9",
                "x-ratelimit-reset-requests": "1m30s",
                "x-ratelimit-remaining-tokens": "100",
                "x-ratelimit-reset-tokens": "250ms",
            },
            Quota(requests_remaining=9, requests_reset=90.0, tokens_remaining=100, tokens_reset=0.25),
        ),
        ({"X-RateLimit-Reset-Requests": "59"}, Quota(requests_reset=59.0)),
        ({"anthropic-ratelimit-tokens-remaining": "0"}, Quota(tokens_remaining=0)),
        ({"ratelimit": '"api";r=5;t=9, "hub";r=2;t=30'}, Quota(requests_remaining=2, requests_reset=30.0)),
        ({"ratelimit-remaining": "4", "ratelimit-reset": "8"}, Quota(requests_remaining=4, requests_reset=8.0)),
        ({"x-ratelimit-remaining-tokens": "-1", "x-ratelimit-reset-tokens": "1790000000"}, None),
        ({"x-ratelimit-limit-requests": "9"}, None),
        ({"content-type": "x"}, None),
    ],
    ids=repr,
)
def test_what_is_left_is_read_in_every_providers_words(headers: Mapping[str, str], quota: Quota | None) -> None:
    assert quota_of(headers) == quota


def test_an_instant_is_the_seconds_until_it() -> None:
    instant = (datetime.now(UTC) + timedelta(seconds=60)).isoformat()
    quota = quota_of({"anthropic-ratelimit-requests-remaining": "3", "anthropic-ratelimit-requests-reset": instant})
    assert quota is not None
    assert quota.requests_reset == pytest.approx(60, abs=30)
