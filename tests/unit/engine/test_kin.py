"""Files that others have alone: which of them are looked for, and where their chunks are in the manifest."""

from __future__ import annotations

import pytest

from p2phub import limits
from p2phub.content import RangeSet
from p2phub.engine.kin import files_alone
from p2phub.manifest import alone_digest, manifest_alone
from tests.support.content import content_of, random_files

STEP = 1000
CONTENT = content_of({**random_files(3, a=2_500, b=6_500, c=9_000), "d.txt": b"short"}, STEP)
B = next(number for number, entry in enumerate(CONTENT.manifest.files) if entry.path == "b.bin")
RUN = CONTENT.table.span(B)


def test_the_largest_files_of_which_something_is_missing_are_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ALONE_BYTES_MIN", 2_000)
    a, b, c = (entry for entry in CONTENT.manifest.files if entry.path.endswith(".bin"))
    digests = [alone_digest(entry) for entry in (c, b, a)]
    assert list(files_alone(CONTENT.manifest, CONTENT.table, CONTENT.whole)) == digests
    had = RangeSet.of([RUN])
    assert list(files_alone(CONTENT.manifest, CONTENT.table, CONTENT.whole - had)) == [digests[0], digests[2]]
    one = content_of({"file": CONTENT.files["b.bin"]}, STEP)
    assert one.manifest == manifest_alone(b)
    assert files_alone(one.manifest, one.table, one.whole) == {}


def test_chunks_of_a_file_alone_are_those_of_the_file_in_the_manifest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ALONE_BYTES_MIN", 2_000)
    numbers = files_alone(CONTENT.manifest, CONTENT.table, CONTENT.whole)[alone_digest(CONTENT.manifest.files[B])]
    assert numbers.ours == RangeSet.of([RUN])
    alone = content_of({"file": CONTENT.files["b.bin"]}, STEP)
    assert all(alone.chunk(numbers.theirs(chunk)) == CONTENT.chunk(chunk) for chunk in numbers.ours)


def test_a_file_that_is_there_twice_comes_twice_from_who_has_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ALONE_BYTES_MIN", 2_000)
    twice = content_of({"one.bin": CONTENT.files["b.bin"], "other.bin": CONTENT.files["b.bin"]}, STEP)
    (numbers,) = files_alone(twice.manifest, twice.table, twice.whole).values()
    assert numbers.ours == twice.whole
    assert numbers.theirs(0) == numbers.theirs(twice.table.span(1)[0]) == 0
