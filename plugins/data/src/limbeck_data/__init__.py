"""Data sets for Limbeck: files, and steps that shape rows. Every name here is imported when it is first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .arrow import LoadDataFromArrow, SaveToArrow
    from .choosing import Deduplicate, Limit, Sample
    from .columns import CombineColumns, DropColumns, ExpandColumns, KeepColumns, RenameColumns
    from .expressions import FilterRows, MapRows
    from .order import SampleRows, Shuffle, Sort
    from .parquet import LoadDataFromParquet, SaveToParquet
    from .text_files import LoadDataFromTextFiles
    from .training import FormatForDPO, FormatForSFT

__all__ = [
    "CombineColumns",
    "Deduplicate",
    "DropColumns",
    "ExpandColumns",
    "FilterRows",
    "FormatForDPO",
    "FormatForSFT",
    "KeepColumns",
    "Limit",
    "LoadDataFromArrow",
    "LoadDataFromParquet",
    "LoadDataFromTextFiles",
    "MapRows",
    "RenameColumns",
    "Sample",
    "SampleRows",
    "SaveToArrow",
    "SaveToParquet",
    "Shuffle",
    "Sort",
]

_HOME = {
    "CombineColumns": ".columns",
    "Deduplicate": ".choosing",
    "DropColumns": ".columns",
    "ExpandColumns": ".columns",
    "FilterRows": ".expressions",
    "FormatForDPO": ".training",
    "FormatForSFT": ".training",
    "KeepColumns": ".columns",
    "Limit": ".choosing",
    "LoadDataFromArrow": ".arrow",
    "LoadDataFromParquet": ".parquet",
    "LoadDataFromTextFiles": ".text_files",
    "MapRows": ".expressions",
    "RenameColumns": ".columns",
    "Sample": ".choosing",
    "SampleRows": ".order",
    "SaveToArrow": ".arrow",
    "SaveToParquet": ".parquet",
    "Shuffle": ".order",
    "Sort": ".order",
}


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(home, __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
