"""Rows from and into Arrow's own files (IPC, also called Feather)."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

from pydantic import Field, PrivateAttr

from limbeck.errors import ConfigurationError
from limbeck.files import FileSink, FileSource, checked_names, opened, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from limbeck.errors import RowError
    from limbeck.files import Draft
    from limbeck.types import Row


class LoadDataFromArrow(FileSource):
    """Rows from Arrow IPC files and streams, and Feather files (version 2), a record batch at a time."""

    def columns_of(self, place: str) -> list[str]:
        with opened(place) as file:
            return list(_reader(file, shown(place)).schema.names)

    def count_of(self, place: str) -> int | None:
        with opened(place) as file:
            reader = _reader(file, shown(place))
            count = getattr(reader, "count_rows", None)  # a stream has none
            return None if count is None else int(count())

    def read(self, file: BinaryIO, name: str) -> Iterator[Row | RowError]:
        import pyarrow as pa

        from .tables import rows_of

        done = 0
        try:
            for batch in _batches(_reader(file, name)):
                for start in range(0, batch.num_rows, self.batch_size):
                    yield from rows_of(batch.slice(start, self.batch_size), done + start)
                done += batch.num_rows
        except (pa.ArrowException, OSError) as exc:
            raise ConfigurationError(f"{name}: after row {done} this Arrow file cannot be read: {exc}") from exc


def _reader(file: Any, name: str) -> Any:
    import pyarrow as pa
    from pyarrow import ipc

    reader: Any = None
    with suppress(pa.ArrowInvalid):
        reader = ipc.open_file(file)
    try:
        if reader is None:
            file.seek(0)
            reader = ipc.open_stream(file)
    except (pa.ArrowException, OSError) as exc:
        raise ConfigurationError(f"{name} cannot be read as Arrow: {exc}") from exc
    checked_names(reader.schema.names, name)
    return reader


def _batches(reader: Any) -> Iterator[Any]:
    if hasattr(reader, "num_record_batches"):
        for place in range(reader.num_record_batches):
            yield reader.get_batch(place)
    else:
        yield from reader


class SaveToArrow(FileSink):
    """Rows into an Arrow IPC file, which is Feather version 2. The schema comes of the rows as in `save-to-parquet`.

    Attributes:
        batch_rows: rows of a record batch; one ends sooner at 16 MiB.
        json_columns: columns to store as JSON text, whatever they hold.
    """

    batch_rows: int = Field(default=10_000, ge=1)
    json_columns: list[str] = Field(default_factory=list)

    reader: ClassVar[Any] = LoadDataFromArrow
    packed: ClassVar[bool] = False

    _groups: Any = PrivateAttr(default=None)

    def begin(self, draft: Draft) -> None:
        from .row_groups import RowGroups

        self._groups = RowGroups(
            draft,
            target=shown(str(self.path)),
            format=_Arrow(),
            group_rows=self.batch_rows,
            as_text=self.json_columns,
        )

    def holds_rows(self) -> bool:
        return bool(self._groups.holds_rows)

    def append(self, draft: Draft, rows: list[Row]) -> None:  # noqa: ARG002 - `begin` was told
        self._groups.add(rows)

    def finish(self, draft: Draft) -> ConfigurationError | None:  # noqa: ARG002 - as above
        fault: ConfigurationError | None = self._groups.end()
        return fault


class _Arrow:
    """Arrow IPC, as `row_groups` writes it."""

    def writer(self, path: Any, schema: Any) -> Any:
        from pyarrow import ipc

        return ipc.new_file(path, schema)

    def tables(self, file: Any) -> Iterator[Any]:
        import pyarrow as pa
        from pyarrow import ipc

        with pa.OSFile(file) as source:
            for batch in _batches(ipc.open_file(source)):
                yield pa.Table.from_batches([batch])
