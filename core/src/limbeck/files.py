"""Sources and sinks of files, for whoever brings another format.

    from limbeck.files import FileSource

    class LoadDataFromIni(FileSource):
        def read(self, file, name):
            ...  # yield a row for each record, and a RowError for one that is none

A source has the files, patterns, URLs and compressions of all others, counts and declares its columns, and keeps what
cannot be read as data. A sink writes to a `Draft`, which takes its target's place whole, and never half. Registered as
`load-data-from-ini` and `save-to-ini`, they serve every place that names a file with that suffix.

- `FileSource`, `FileSink`, `Draft`: the base classes, and a file in the making.
- `expanded`, `opened`, `is_url`, `is_plain_file`, `shown`: places, which are paths and URLs.
- `as_json`, `plain`: values that a format does not have, as JSON has them. `read_json`: JSON in which no key is given
  twice. `check_encoding`: for a field `encoding`.
- `plain_value`, `plain_row`, `arrow_values`: values of numpy, pandas, Arrow and the like, as Python's own.
  `checked_names`: the columns of a table, each a text that is there once. `image_bytes`: a PIL image, as PNG.

Errors are `ConfigurationError`s that name the place; a URL is shown without what may be secret in it.
"""

from __future__ import annotations

from ._engine.rows.copies import plain_row, plain_value
from ._engine.rows.tables import arrow_values, checked_names
from ._files.drafts import Draft
from ._files.json_rows import as_json, plain, read_json
from ._files.places import expanded, is_plain_file, is_url, opened, shown
from ._files.sinks import FileSink
from ._files.sources import FileSource
from ._files.texts import check_encoding
from ._media.reading import image_bytes

__all__ = [
    "Draft",
    "FileSink",
    "FileSource",
    "arrow_values",
    "as_json",
    "check_encoding",
    "checked_names",
    "expanded",
    "image_bytes",
    "is_plain_file",
    "is_url",
    "opened",
    "plain",
    "plain_row",
    "plain_value",
    "read_json",
    "shown",
]
