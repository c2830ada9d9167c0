"""The child of `web.rows`: reads the first rows of a Parquet file, whose bytes it asks its parent for.

    python reading_rows.py SIZE ROWS

It writes `read OFFSET LENGTH` and is given those bytes on its input; last it writes `rows LENGTH` and as many bytes of
JSON. Column chunks are read a page at a time, so that a row group of gigabytes costs its first pages.
"""

from __future__ import annotations

import io
import json
import resource
import sys
from typing import Any, BinaryIO

LINE_BYTES_MAX = 64
ANSWER_BYTES_MAX = 4 * 1024 * 1024
ASKED_AT_ONCE_BYTES_MAX = 32 * 1024 * 1024
COLUMNS_MAX = 50
CELL_LETTERS_MAX = 200
MEMORY_BYTES_MAX = 2 * 1024**3  # Of addresses: the library itself takes most of one GiB of them.
PROCESSOR_S_MAX = 15
OPEN_FILES_MAX = 32  # The libraries, and what tells the hours of a time zone.
_PAGE_BYTES = 64 * 1024
_METADATA_MAX = 16 * 1024 * 1024  # Of a footer: texts in it, and things in its lists.


class Asked(io.RawIOBase):
    """A file of `size` bytes that is asked for as it is read."""

    def __init__(self, size: int, ask: BinaryIO, given: BinaryIO) -> None:
        self._size, self._at = size, 0
        self._ask, self._given = ask, given

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, into: Any) -> int:
        view = memoryview(into).cast("B")
        count = min(len(view), self._size - self._at)
        if count <= 0:
            return 0
        self._ask.write(b"read %d %d\n" % (self._at, count))
        self._ask.flush()
        given = self._given.read(count)
        if len(given) != count:
            raise EOFError("the parent has gone")
        view[:count] = given
        self._at += count
        return count


def first_rows(file: Any, rows: int) -> dict[str, Any]:
    """Return what `GET /-/api/rows` tells of a file."""
    import pyarrow.parquet as parquet

    opened = parquet.ParquetFile(
        file,
        pre_buffer=False,
        buffer_size=_PAGE_BYTES,
        thrift_string_size_limit=_METADATA_MAX,
        thrift_container_size_limit=_METADATA_MAX // 16,
    )
    schema = opened.schema_arrow
    names = schema.names[:COLUMNS_MAX]
    shown: list[list[str | None]] = []
    is_cut = False
    for batch in opened.iter_batches(batch_size=rows, columns=names, use_threads=False):
        for row in zip(*(_cells(column, rows - len(shown)) for column in batch.columns), strict=True):
            cells = [None if cell is None else cell[:CELL_LETTERS_MAX] for cell in row]
            is_cut = is_cut or cells != list(row)
            shown.append(cells)
        if len(shown) >= rows:
            break
    return {
        "columns": [
            {"name": name[:CELL_LETTERS_MAX], "type": str(schema.field(at).type)[:CELL_LETTERS_MAX]}
            for at, name in enumerate(names)
        ],
        "columns_total": len(schema.names),
        "rows": shown,
        "total": opened.metadata.num_rows,
        "cut": is_cut,
    }


def _cells(column: Any, rows: int) -> list[str | None]:
    return [_text(value.as_py()) if value.is_valid else None for value in column.slice(0, rows)]


def _text(value: Any) -> str:
    """Return a value in words, of a long one its beginning and a letter more than is shown."""
    if isinstance(value, str):
        return value[: CELL_LETTERS_MAX + 1]
    if isinstance(value, bytes | bytearray):
        beginning = bytes(value[: CELL_LETTERS_MAX // 2 + 1]).hex()
        return f"{len(value)} bytes: {beginning}"
    if isinstance(value, list):
        parts = [_text(each) for each in value[: CELL_LETTERS_MAX // 2]]
        return f"[{', '.join(parts)}{', …' if len(parts) < len(value) else ''}]"[: CELL_LETTERS_MAX + 1]
    if isinstance(value, dict):
        parts = [f"{key}: {_text(each)}" for key, each in list(value.items())[: CELL_LETTERS_MAX // 2]]
        return f"{{{', '.join(parts)}}}"[: CELL_LETTERS_MAX + 1]
    return str(value)[: CELL_LETTERS_MAX + 1]


def main() -> None:
    """Do it, within bounds. What is wrong with the file is told as JSON, too."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_S_MAX, PROCESSOR_S_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # It writes to its pipe alone.
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES_MAX, OPEN_FILES_MAX))
    size, rows = int(sys.argv[1]), int(sys.argv[2])
    try:
        told = first_rows(Asked(size, sys.stdout.buffer, sys.stdin.buffer), rows)
    except Exception as error:  # noqa: BLE001  # Whatever the library says of a stranger's file; the parent tells it.
        told = {"error": str(error) or type(error).__name__}
    answer = json.dumps(told).encode()
    if len(answer) > ANSWER_BYTES_MAX:
        answer = json.dumps({"error": "its rows are too long"}).encode()
    sys.stdout.buffer.write(b"rows %d\n" % len(answer) + answer)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
