"""Rows from and into Parquet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Literal

from pydantic import Field, PrivateAttr

from limbeck.errors import ConfigurationError
from limbeck.files import FileSink, FileSource, checked_names, is_plain_file, opened, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from limbeck.errors import RowError
    from limbeck.files import Draft
    from limbeck.types import Row


class LoadDataFromParquet(FileSource):
    """Rows from Parquet, a batch of a row group at a time. Nested values are dicts and lists; null is None."""

    def columns_of(self, place: str) -> list[str]:
        with opened(place) as file:
            return list(_parquet_file(file, shown(place)).schema_arrow.names)

    def count_of(self, place: str) -> int:
        with opened(place) as file:
            return int(_parquet_file(file, shown(place)).metadata.num_rows)

    def read(self, file: BinaryIO, name: str) -> Iterator[Row | RowError]:
        import pyarrow as pa

        from .tables import rows_of

        done = 0
        try:
            for batch in _parquet_file(file, name).iter_batches(batch_size=self.batch_size):
                yield from rows_of(batch, done)
                done += batch.num_rows
        except (pa.ArrowException, OSError) as exc:
            raise ConfigurationError(f"{name}: after row {done} this Parquet file cannot be read: {exc}") from exc


def _parquet_file(file: BinaryIO, name: str) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # A path is read without Python's file; nothing is read ahead, for a row group may be large.
        opened_file = pq.ParquetFile(name if is_plain_file(name) else file, pre_buffer=False)
    except (pa.ArrowException, OSError) as exc:
        raise ConfigurationError(f"{name} cannot be read as Parquet: {exc}") from exc
    checked_names(opened_file.schema_arrow.names, name)
    return opened_file


class SaveToParquet(FileSink):
    """Rows into Parquet, in row groups.

    The schema is that of the rows: structs have the fields that any row's dict has, and it
    widens where later rows need it (a new column, null to anything, whole numbers to fractions).
    Values of one column that do not go together, such as text and numbers, or that Parquet would
    change, are an error that names column and row. What the struct of a dict cannot hold is stored as JSON text: in
    `json_columns`, in `distilabel_metadata` where its values clash, and where a dict is empty.

    Attributes:
        row_group_rows: rows of a row group; one ends sooner at 16 MiB.
        compression: of the column chunks.
        json_columns: columns to store as JSON text, whatever they hold.
    """

    row_group_rows: int = Field(default=10_000, ge=1)
    compression: Literal["zstd", "snappy", "gzip", "none"] = "zstd"
    json_columns: list[str] = Field(default_factory=list)

    reader: ClassVar[Any] = LoadDataFromParquet
    packed: ClassVar[bool] = False

    _groups: Any = PrivateAttr(default=None)

    def begin(self, draft: Draft) -> None:
        from .row_groups import RowGroups

        self._groups = RowGroups(
            draft,
            target=shown(str(self.path)),
            format=_Parquet(self.compression),
            group_rows=self.row_group_rows,
            as_text=self.json_columns,
        )

    def holds_rows(self) -> bool:
        return bool(self._groups.holds_rows)

    def append(self, draft: Draft, rows: list[Row]) -> None:  # noqa: ARG002 - `begin` was told
        self._groups.add(rows)

    def finish(self, draft: Draft) -> ConfigurationError | None:  # noqa: ARG002 - as above
        fault: ConfigurationError | None = self._groups.end()
        return fault


class _Parquet:
    """Parquet, as `row_groups` writes it."""

    def __init__(self, compression: str) -> None:
        self._compression = compression

    def writer(self, path: Any, schema: Any) -> Any:
        import pyarrow.parquet as pq

        return pq.ParquetWriter(path, schema, compression=self._compression)

    def tables(self, file: Any) -> Iterator[Any]:
        import pyarrow.parquet as pq

        opened_file = pq.ParquetFile(file, pre_buffer=False)
        for group in range(opened_file.num_row_groups):
            yield opened_file.read_row_group(group)
