"""Tables for people: drawn by rich on a terminal, plain aligned columns in a pipe."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from limbeck.errors import printable

from .exits import echo

if TYPE_CHECKING:
    from collections.abc import Sequence


def show_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a table to stdout; in a pipe nothing is wrapped or cut, so that `grep` sees whole lines."""
    rows = [[printable(cell).replace("\n", " ") for cell in row] for row in rows]
    if sys.stdout.isatty():
        _draw(headers, rows)
        return
    lines = [[header.upper() for header in headers], *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headers))]
    for line in lines:
        echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _draw(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*headers, box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*[Text(cell) for cell in row])
    Console().print(table)
