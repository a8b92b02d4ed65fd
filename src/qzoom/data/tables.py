"""Rows of parquet and arrow files, few at a time; pyarrow is asked for only here."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from qzoom.data import fields
from qzoom.errors import DataError

SUFFIXES: Final = (".parquet", ".arrow")

# Few, because a row may hold a picture of many megabytes.
_BATCH_ROWS: Final = 8
# Read ahead, pyarrow keeps as much of a file as it has read; buffered, less than a row group.
_BUFFER_BYTES: Final = 1024 * 1024


def table_cells(path: Path) -> Iterator[dict[str, Any]]:
    """Cells of each row by column, as Python values.

    Raises:
        DataError: when pyarrow is not installed, or the file is missing, damaged or cut short.
    """
    try:
        pyarrow: Any = import_module("pyarrow")
        parquet: Any = import_module("pyarrow.parquet")
        ipc: Any = import_module("pyarrow.ipc")
    except ImportError:
        message = "tables need pyarrow: install the data extra, pip install 'qzoom[data]'"
        raise DataError(message) from None
    try:
        if path.suffix == ".arrow":
            with pyarrow.memory_map(str(path)) as file:
                for batch in ipc.open_stream(file):
                    for start in range(0, batch.num_rows, _BATCH_ROWS):
                        yield from batch.slice(start, _BATCH_ROWS).to_pylist()
            return
        with parquet.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER_BYTES) as table:
            for batch in table.iter_batches(batch_size=_BATCH_ROWS, use_threads=False):
                yield from batch.to_pylist()
    # A text column that is not UTF-8 shows itself only as it is turned into Python values.
    except (OSError, UnicodeDecodeError, pyarrow.ArrowException) as error:
        raise DataError(f"{path} is not a readable table: {fields.shown(str(error))}") from None
