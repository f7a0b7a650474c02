"""The result of a pipeline's run: the rows of its leaves, those that failed, and the report."""

from __future__ import annotations

import json
import pickle
import tempfile
import weakref
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pydantic import PrivateAttr

from ..._engine.ledger.file import FAILED_FILE
from ..._engine.rows.reorder import pickled
from ..._files.json_rows import encode_row
from ..._step import Sink
from ...errors import ConfigurationError, did_you_mean
from ..directory.run_folder import OUTPUTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ...types import Row, RunReport
    from ..directory.run_folder import RunFolder
    from ..graph.graph import Graph

_IN_MEMORY_ROWS = 10_000


class KeptRows(Sink):
    """Keeps the rows of a leaf that is no sink: for the result, and as JSONL in the run directory.

    Attributes:
        folder: the run directory.
    """

    folder: Any = None

    _rows: list[Row] = PrivateAttr(default_factory=list)
    _later: list[int | list[Row]] = PrivateAttr(default_factory=list)  # chunks, or their places in the file
    _beyond: IO[bytes] | None = PrivateAttr(default=None)
    _file: IO[bytes] | None = PrivateAttr(default=None)

    @property
    def path(self) -> Path:
        """The JSONL file, which stays in the directory whatever the leaf is called."""
        name = self.name.replace("/", "%2F").replace("\\", "%5C")
        return Path(self.folder) / OUTPUTS / f"{name}.jsonl"

    @property
    def _partial(self) -> Path:
        return self.path.with_name(f"{self.path.name}.part")

    def _begun(self) -> IO[bytes]:
        """The file, which is touched only once the run directory is this run's."""
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._partial.open("wb")
        return self._file

    def write(self, rows: list[Row]) -> None:
        """Keep rows: the first in memory, the rest in a temporary file, where they can be written there."""
        self._begun().write(b"".join(map(encode_row, rows)))
        if len(self._rows) < _IN_MEMORY_ROWS:
            self._rows += rows
        else:
            self._later.append(self._spilled(rows))

    def _spilled(self, rows: list[Row]) -> int | list[Row]:
        """Write rows to the temporary file; gives their place, or the rows themselves where they cannot be pickled."""
        payload = pickled(rows)
        if payload is None:
            return rows
        if self._beyond is None:
            self._beyond = tempfile.TemporaryFile(prefix="limbeck-")  # noqa: SIM115 - lives as long as the result
            weakref.finalize(self, self._beyond.close)
        place = self._beyond.seek(0, 2)
        self._beyond.write(payload)
        return place

    def close(self, *, finished: bool) -> None:
        """Publish the file."""
        if finished or self._file is not None:
            self._begun().close()
            self._partial.replace(self.path)

    def rows(self) -> Iterator[Row]:
        """The rows, as they were."""
        yield from self._rows
        for chunk in self._later:
            yield from self._loaded(chunk) if isinstance(chunk, int) else chunk

    def _loaded(self, place: int) -> list[Row]:
        assert self._beyond is not None  # something was spilled to it
        self._beyond.seek(place)
        rows: list[Row] = pickle.load(self._beyond)  # noqa: S301 - our own bytes, in a file without a name
        return rows


class PipelineResult:
    """The result of a run. Iterate over it for the rows of the one leaf; `result["name"]` has those of a named one.

    Attributes:
        report: what each step yielded. run_dir: where the ledger and the outputs are.
    """

    def __init__(self, graph: Graph, kept: Mapping[str, KeptRows], report: RunReport, folder: RunFolder | None) -> None:
        self.report = report
        self.run_dir = folder.path if folder is not None else None
        self._leaves: dict[str, Any] = {name: kept.get(name, graph.steps[name]) for name in graph.leaves}

    def __repr__(self) -> str:
        where = f", run_dir={str(self.run_dir)!r}" if self.run_dir is not None else ""
        return f"PipelineResult({self.report.pipeline!r}, leaves={self.leaves}{where})"

    def __getitem__(self, leaf: str) -> Iterator[Row]:
        if leaf not in self._leaves:
            raise ConfigurationError(
                f"There is no leaf {leaf!r}.{did_you_mean(leaf, self._leaves)} "
                f"The leaves are {', '.join(self._leaves)}."
            )
        return iter(self._leaves[leaf].rows())

    def __iter__(self) -> Iterator[Row]:
        if len(self._leaves) > 1:
            raise ConfigurationError(
                f"The pipeline has {len(self._leaves)} leaves: take the rows of one with "
                f"`result[name]`, where the name is one of {', '.join(map(repr, self._leaves))}."
            )
        return self[next(iter(self._leaves))]

    def to_list(self) -> list[Row]:
        """The rows of the one leaf."""
        return list(self)

    @property
    def leaves(self) -> list[str]:
        """The names of the leaves."""
        return list(self._leaves)

    @property
    def failed(self) -> list[Row]:
        """The rows that failed, each with its errors under `limbeck_error`, as they stand in `failed.jsonl`."""
        path = self.run_dir / FAILED_FILE if self.run_dir is not None else None
        if path is None or not path.is_file():
            return []
        with path.open(encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]
