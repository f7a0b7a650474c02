"""Every code block of the README and of docs/ runs, and does what the page says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .pages import page_name, pages

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize("page", pages(), ids=page_name)
def test_the_code_of_a_page_runs_as_it_stands(page: Path, run_page: Callable[[Path], None]) -> None:
    run_page(page)
