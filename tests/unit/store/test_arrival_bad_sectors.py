"""A fetch whose unfinished files the disk cannot read any more in places: what is there counts as missing."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from p2phub.content import RangeSet
from p2phub.errors import DiskError, Occupied
from p2phub.store import Made, Part, Selected, ToMake
from tests.support.content import content_of, random_files
from tests.support.covers import covers
from tests.support.stores import DiskScene, arrive, deliver, deliver_rest

CONTENT = content_of({**random_files(5, big=40_000, small=900)}, 1_000)  # 41 chunks: four and a bit to a block.
BLOCK = 4096


class BadSectors:
    """Blocks of files, by device and inode, that fail when they are read, until they are written whole or cut off."""

    def __init__(self) -> None:
        self.blocks: set[tuple[int, int, int]] = set()
        self._preadv, self._pread, self._pwrite, self._ftruncate = os.preadv, os.pread, os.pwrite, os.ftruncate

    def at(self, path: Path, *blocks: int) -> None:
        status = path.stat()
        self.blocks |= {(status.st_dev, status.st_ino, block) for block in blocks}

    def _of(self, fd: int, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        status = os.fstat(fd)
        return ((status.st_dev, status.st_ino, at) for at in range(start // BLOCK, -(-stop // BLOCK)))

    def _check(self, fd: int, start: int, stop: int) -> None:
        if any(block in self.blocks for block in self._of(fd, start, stop)):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def preadv(self, fd: int, buffers: Any, offset: int) -> int:
        length = max(0, min(sum(map(len, buffers)), os.fstat(fd).st_size - offset))
        self._check(fd, offset, offset + length)
        return self._preadv(fd, buffers, offset)

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        self._check(fd, offset, min(offset + length, os.fstat(fd).st_size))
        return self._pread(fd, length, offset)

    def pwrite(self, fd: int, data: Any, offset: int) -> int:
        stop = offset + len(data)
        # A block of which a part is written is read first.
        for edge, cut in ((offset, offset % BLOCK), (stop - 1, stop % BLOCK and stop < os.fstat(fd).st_size)):
            if cut:
                self._check(fd, edge, edge + 1)
        self.blocks -= {*self._of(fd, offset, stop)}
        return self._pwrite(fd, data, offset)

    def ftruncate(self, fd: int, length: int) -> None:
        self._ftruncate(fd, length)
        self.blocks -= {*self._of(fd, length, 1 << 20)}


@pytest.fixture
def bad(monkeypatch: pytest.MonkeyPatch) -> BadSectors:
    made = BadSectors()
    for name in ("preadv", "pread", "pwrite", "ftruncate"):
        monkeypatch.setattr(os, name, getattr(made, name))
    return made


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[DiskScene]:
    made = DiskScene(tmp_path)
    with contextlib.closing(made.store):
        yield made


def left_by(scene: DiskScene, chunks: Iterable[int], *, synced: bool) -> Path:
    """Leave an attempt with some chunks; return its folder."""
    arrival = arrive(scene, CONTENT)
    deliver(arrival, CONTENT, chunks)
    if synced:
        arrival.sync()
    arrival.close()
    (partials,) = (path for path in (scene.folder / ".p2phub").iterdir() if path.is_dir())
    return partials


@covers("F03")
@pytest.mark.parametrize("synced", [False, True], ids=["hints", "marks"])
@pytest.mark.parametrize("block", [0, 4, 9], ids=["first", "middle", "last"])
def test_a_chunk_of_an_unfinished_file_that_cannot_be_read_is_fetched_again_with_what_shares_its_blocks_alone(
    scene: DiskScene, bad: BadSectors, synced: bool, block: int
) -> None:
    partials = left_by(scene, (chunk for chunk in range(40) if chunk != 22), synced=synced)
    bad.at(partials / "0", block)
    if synced:  # Where no sample is taken, it is not found out before it is read.
        bad.at(partials / "0", 0)
    again = arrive(scene, CONTENT)
    lost = deliver_rest(again, CONTENT)
    there = range(block * BLOCK // 1_000, min(40, -(-(block + 1) * BLOCK // 1_000)))
    assert {*there} <= {*lost}
    assert len(lost) <= len(there) + 8 + 2 + 8 * synced
    again.finish()
    assert scene.files() == CONTENT.files
    assert scene.store.holdings()[0].complete


@covers("F03")
def test_whose_unfinished_files_cannot_be_read_at_all_fetches_them_again(scene: DiskScene, bad: BadSectors) -> None:
    partials = left_by(scene, range(30), synced=True)
    bad.at(partials / "0", *range(10))
    again = arrive(scene, CONTENT)
    assert again.have == RangeSet()
    deliver_rest(again, CONTENT)
    again.finish()
    assert scene.files() == CONTENT.files


@covers("F03")
@pytest.mark.parametrize("name", ["journal", "hints.0"])
def test_where_what_was_noted_cannot_be_read_what_is_there_is_read_instead(
    scene: DiskScene, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    partials = left_by(scene, range(30), synced=True)
    really = os.open
    failing: list[int] = []

    def noted(path: Any, flags: int, *args: Any, **named: Any) -> int:
        fd = really(path, flags, *args, **named)
        if path == name and not flags & os.O_CREAT:
            os.close(fd)
            fd = really("/proc/self/mem", os.O_RDONLY)  # Whose first bytes are no memory: to read them is EIO.
            failing.append(fd)
        return fd

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", noted)
        patch.setattr("p2phub.store.disk.stat.S_ISREG", lambda mode: True)
        again = arrive(scene, CONTENT)
    assert failing
    assert again.have == RangeSet.of([(0, 30)])
    deliver_rest(again, CONTENT)
    again.finish()
    assert scene.files() == CONTENT.files
    assert partials.name


@covers("F03")
def test_a_file_in_its_place_that_cannot_be_read_is_in_the_way_and_replaced_by_force(
    scene: DiskScene, bad: BadSectors
) -> None:
    big = [entry.path for entry in CONTENT.manifest.files].index("big.bin")
    arrival = arrive(scene, CONTENT)
    deliver(arrival, CONTENT, range(*CONTENT.table.span(big)))
    arrival.sync()
    arrival.close()
    assert "big.bin" in scene.files()
    bad.at(scene.folder / "big.bin", 5)
    with pytest.raises(Occupied, match=r"big\.bin.*the disk cannot read the file that stands there") as refused:
        arrive(scene, CONTENT)
    assert "--force" in str(refused.value.hint)
    again = arrive(scene, CONTENT, force=True)
    deliver_rest(again, CONTENT)
    again.finish()
    assert scene.files() == CONTENT.files


@covers("F03")
@pytest.mark.parametrize("at_the_end", [False, True], ids=["judged", "asked for"])
def test_a_durable_chunk_that_somebody_could_not_read_is_found_by_the_next_attempt(
    scene: DiskScene, bad: BadSectors, at_the_end: bool
) -> None:
    """Marks are believed after a sample: who meets a bad sector behind it has to say so."""
    judge = (lambda size, read: (read(0, size), None)[1]) if not at_the_end else None
    arrival = arrive(scene, CONTENT, judge=judge)
    deliver(arrival, CONTENT, range(20))
    arrival.sync()
    (partials,) = (path for path in (scene.folder / ".p2phub").iterdir() if path.is_dir())
    bad.at(partials / "0", 3)
    if at_the_end:
        arrival.doubt()
    else:
        deliver_rest(arrival, CONTENT)
        with pytest.raises(DiskError, match="input/output error") as failed:
            arrival.finish()
        assert "same command" in str(failed.value.hint)
    arrival.close()
    again = arrive(scene, CONTENT, judge=judge)
    assert {12, 13, 14, 15, 16} <= {*CONTENT.whole} - {*again.have}
    deliver_rest(again, CONTENT)
    again.finish()
    assert scene.files() == CONTENT.files


@covers("F03")
def test_a_part_that_cannot_be_read_when_files_are_made_of_it_is_fetched_again(
    scene: DiskScene, bad: BadSectors
) -> None:
    selected = Selected(RangeSet.of([(0, 20)]), RangeSet(), (ToMake("made", 10_000, 10_000),))
    made = [Made("made", (Part(0, 5_000, 15_000),))]
    arrival = arrive(scene, CONTENT, selected=selected)
    deliver(arrival, CONTENT, range(20))
    arrival.sync()
    (partials,) = (path for path in (scene.folder / ".p2phub").iterdir() if path.is_dir())
    bad.at(partials / "0", 3)
    with pytest.raises(DiskError, match="input/output error"):
        arrival.finish(made)
    arrival.close()
    again = arrive(scene, CONTENT, selected=selected)
    deliver(again, CONTENT, [*(selected.chunks - again.have)])
    again.finish(made)
    assert scene.files() == {"made": CONTENT.files["big.bin"][5_000:15_000]}
