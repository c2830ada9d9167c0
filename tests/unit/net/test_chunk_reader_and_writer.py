"""Files of a plan that are moved whole are opened for that moment; of larger ones a few stay open."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from p2phub.content import ChunkTable, Readable, ReadPlan, WritePlan
from p2phub.net.chunk_reader import ChunkReader
from p2phub.net.chunk_writer import ChunkWriter
from tests.support.content import Content, content_of, random_files

CONTENT = content_of({**random_files(4, a=30, b=2_500, c=900), "d": b"d" * 10}, 1_000)


class Files:
    """Opens the files of CONTENT in a folder, by number, and tells which are open."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, file: int) -> int:
        return os.open(self._folder / str(file), os.O_RDWR | os.O_CREAT, 0o600)

    def still_open(self) -> list[int]:
        return [number for number in range(len(CONTENT.files)) if self._is_open(number)]

    def _is_open(self, number: int) -> bool:
        links = (Path("/proc/self/fd", fd) for fd in os.listdir("/proc/self/fd"))
        return any(os.path.lexists(link) and os.readlink(link) == str(self._folder / str(number)) for link in links)


class _Opened:
    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def unchanged(self) -> bool:
        return True

    def close(self) -> None:
        os.close(self.descriptor)


def refs_of(table: ChunkTable, first: int, count: int) -> tuple[list, memoryview]:  # type: ignore[type-arg]
    refs = list(table.chunks(first, count))
    return refs, memoryview(bytearray(sum(ref.length for ref in refs)))


def data_of(content: Content, first: int, count: int) -> memoryview:
    return memoryview(b"".join(content.chunk(index) for index in range(first, first + count)))


def test_files_that_come_whole_are_written_at_once_where_the_plan_can_do_that(tmp_path: Path) -> None:
    files, at_once = Files(tmp_path), list[tuple[list[int], list[bytes]]]()

    def write_files(numbers: Sequence[int], parts: Sequence[memoryview]) -> None:
        at_once.append((list(numbers), [bytes(part) for part in parts]))

    writer = ChunkWriter(WritePlan(CONTENT.root, CONTENT.table, files.open, write_files=write_files))
    # a (one chunk), b (three), c and d: first all but the end of b, then what is left.
    for first, count in ((0, 3), (3, 3)):
        refs, _ = refs_of(CONTENT.table, first, count)
        writer.write(refs, data_of(CONTENT, first, count))
    assert at_once == [
        ([0], [CONTENT.chunk(0)]),
        ([2, 3], [CONTENT.files[path] for path in ("c.bin", "d")]),
    ]
    writer.close()
    assert (tmp_path / "1").read_bytes() == CONTENT.files["b.bin"]
    refs, _ = refs_of(CONTENT.table, 1, 3)
    writer.write(refs, data_of(CONTENT, 1, 3))
    assert at_once[2] == ([1], [CONTENT.files["b.bin"]])


def test_a_file_that_is_written_whole_does_not_stay_open(tmp_path: Path) -> None:
    files = Files(tmp_path)
    writer = ChunkWriter(WritePlan(CONTENT.root, CONTENT.table, files.open))
    # a (one chunk), b (three), c and d: in two batches, the first of which ends within b.
    refs, _ = refs_of(CONTENT.table, 0, 3)
    writer.write(refs, data_of(CONTENT, 0, 3))
    assert files.still_open() == [1]
    refs, _ = refs_of(CONTENT.table, 3, 3)
    writer.write(refs, data_of(CONTENT, 3, 3))
    assert files.still_open() == [1], "c and d are whole"
    writer.close()
    assert files.still_open() == []
    found = {entry.path: (tmp_path / str(number)).read_bytes() for number, entry in enumerate(CONTENT.manifest.files)}
    assert found == CONTENT.files


def test_a_file_that_is_read_whole_does_not_stay_open(tmp_path: Path) -> None:
    for number, entry in enumerate(CONTENT.manifest.files):
        (tmp_path / str(number)).write_bytes(CONTENT.files[entry.path])
    files = Files(tmp_path)

    def open_file(file: int) -> Readable:
        return _Opened(files.open(file))

    reader = ChunkReader(ReadPlan(CONTENT.root, CONTENT.table, CONTENT.whole, open_file), lambda file: None)
    for first, count, left_open in ((0, 1, []), (1, 2, [1]), (3, 1, [1]), (4, 1, [1])):
        refs, into = refs_of(CONTENT.table, first, count)
        assert reader.read(refs, into) is None
        assert into == data_of(CONTENT, first, count)
        assert files.still_open() == left_open
    reader.close()
    assert files.still_open() == []
