"""What may be read as a journal was written by a stranger: it costs memory by the manifest, and says what it can."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from p2phub import limits
from p2phub.content import RangeSet
from p2phub.store import gathering
from p2phub.store.gathering import Gathering
from p2phub.store.journal import Binding, Remembered, read_journal
from p2phub.store.records import encode_record
from tests.support.covers import covers

SECRET = b"home" * 8
OLD = b"p2phjn\x00\x01"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


def put(folder: int, name: str, bodies: list[bytes]) -> None:
    data = bytearray()
    for body in bodies:
        data += encode_record(body, len(data))
    with open(os.open(name, os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=folder), "wb") as file:
        file.write(data)


def binding(chunks: int, files: int = 1) -> Binding:
    return Binding(bytes(32), files, chunks, chunks)


def runs(*pairs: tuple[int, int]) -> bytes:
    return b"".join(start.to_bytes(4, "big") + stop.to_bytes(4, "big") for start, stop in pairs)


def read(folder: int, which: Binding) -> tuple[Remembered, int]:
    """Read, and return also how much memory that took at its height."""
    tracemalloc.start()
    try:
        return read_journal(folder, which, SECRET), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@covers("T54")
@pytest.mark.parametrize("name", ["journal", "hints.0", "hints.1"])
def test_one_huge_record_of_a_small_manifest_is_not_read(folder: int, name: str) -> None:
    small = binding(4)
    put(folder, "journal", [small.encode(OLD)])
    put(folder, name, [small.encode(OLD), b"D" + bytes(8 << 20)] if name == "journal" else [bytes(8 << 20)])
    past, peak = read(folder, small)
    assert past == Remembered()
    assert peak < limits.MIB


@covers("T54")
def test_a_record_is_no_larger_than_every_second_chunk_can_make_it(folder: int) -> None:
    large = binding(100_000)
    put(folder, "journal", [large.encode(OLD), b"D" + bytes(10 << 20)])
    past, peak = read(folder, large)
    assert past == Remembered()
    assert peak < limits.MIB


@covers("T54")
def test_a_chunk_named_without_end_is_kept_once(folder: int) -> None:
    large = binding(20_000)
    every_second = runs(*((start, start + 1) for start in range(0, 20_000, 2)))
    put(folder, "journal", [large.encode(OLD), *[b"D" + every_second] * 20])
    put(folder, "hints.0", [every_second] * 20)
    past, peak = read(folder, large)
    assert past.hints == RangeSet.ascending(range(0, 20_000, 2))
    assert peak < 12 * limits.MIB  # 10,000 runs, some times over; 600,000 would be 70 MiB.


@covers("T54")
def test_a_journal_is_read_as_far_as_its_manifest_can_need(folder: int) -> None:
    small = binding(100)
    put(folder, "journal", [small.encode(OLD), *[b"D" + runs((0, 1))] * 10_000, b"D" + runs((5, 6))])
    past, _ = read(folder, small)
    assert past.hints == RangeSet.of([(0, 1)])


@covers("T54")
@pytest.mark.parametrize("name", ["journal", "hints.1"])
def test_no_more_runs_are_looked_at_than_there_are_chunks(folder: int, name: str) -> None:
    small = binding(100)
    kind = b"D" if name == "journal" else b""
    put(folder, "journal", [small.encode(OLD)])
    log = [kind + runs((0, 1))] * 99 + [kind + runs((7, 8)), kind + runs((9, 10))]
    put(folder, name, [small.encode(OLD), *log] if name == "journal" else log)
    assert read_journal(folder, small, SECRET).hints == RangeSet.of([(0, 1), (7, 8)])


@pytest.mark.parametrize(
    "wrong",
    [runs((3, 3)), runs((4, 3)), runs((0, 11)), runs((0, 4), (3, 6)), runs((5, 6), (0, 1)), runs((0, 2))[:-1]],
    ids=["empty", "backwards", "out of range", "overlapping", "out of order", "cut"],
)
def test_a_record_that_we_would_not_write_says_nothing(folder: int, wrong: bytes) -> None:
    ten = binding(10)
    put(folder, "journal", [ten.encode(OLD), b"D" + wrong, b"D" + runs((7, 9))])
    put(folder, "hints.0", [wrong])
    assert read_journal(folder, ten, SECRET).hints == RangeSet.of([(7, 9)])


def test_runs_are_merged_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "BATCH_RUNS", 3)
    made = Gathering()
    made.add(pairwise(range(0, 50, 2)))
    made.add([(60, 61), (55, 58), (60, 63), (1, 3)])
    assert made.union() == RangeSet.of([(0, 48), (55, 58), (60, 63)])
    assert made.union() == made.union()
    assert Gathering().union() == RangeSet()
