"""Tables as people hold them, as rows: pyarrow's, pandas' and polars'; `datasets` gives rows by itself.

A table is told by its methods, so that no package is imported for one that nobody has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...types import Row

LOT_ROWS = 256


def is_table(rows: object) -> bool:
    """Whether `lots_of_table` takes it: an Arrow table or data set, or a frame."""
    return any(hasattr(rows, method) for method in ("to_batches", "iter_slices", "iloc"))


def lots_of_table(table: Any) -> Iterator[list[Row]]:
    """Its rows as dicts, in lists of a few hundred, with None for what is missing."""
    if hasattr(table, "to_batches"):  # pyarrow's tables and data sets, whose batches may be large
        for batch in table.to_batches():
            for start in range(0, batch.num_rows, LOT_ROWS):
                yield batch.slice(start, LOT_ROWS).to_pylist()
    elif hasattr(table, "iter_slices"):  # polars
        for frame in table.iter_slices(LOT_ROWS):
            yield frame.to_dicts()
    else:  # pandas
        for start in range(0, len(table), LOT_ROWS):
            lot = table.iloc[start : start + LOT_ROWS]
            yield lot.astype(object).where(lot.notna(), None).to_dict("records")  # NaN is its word for what is missing


def refuse_series(rows: object) -> None:
    """Raise for one column, whose values would pass for rows.

    Raises:
        ConfigurationError: with the way to a frame.
    """
    if hasattr(rows, "to_frame"):  # of pandas and polars
        raise ConfigurationError(
            "A row is a dict of columns, and a series is one column without a name in the rows: write "
            '`series.to_frame("instruction")`.'
        )
