"""The logger: silent, unless somebody listens."""

from __future__ import annotations

import logging

import pytest

from limbeck._engine.calls.log import log


def test_nothing_is_printed_where_nobody_configured_logging(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "propagate", False)  # pytest listens above it
    log.warning("a server is away")
    assert capfd.readouterr() == ("", "")


def test_who_listens_to_limbeck_hears_it(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="limbeck"):
        log.info("tried again")
    assert [(record.name, record.getMessage()) for record in caplog.records] == [("limbeck", "tried again")]
