"""What comes from an upstream hub is read where it stands, also where all of it comes anew at another place."""

from __future__ import annotations

import os
from pathlib import Path

from p2phub.api.upstream import _Coming
from p2phub.observe import RangeReady


def ready(place: Path, stop: int) -> RangeReady:
    return RangeReady(os.fspath(place), 0, stop, None)


def test_a_file_that_is_moved_is_read_on(tmp_path: Path) -> None:
    coming, kept = tmp_path / "coming", tmp_path / "kept"
    coming.write_bytes(b"0123456789")
    found = _Coming()
    found.take(ready(coming, 4))
    os.rename(coming, kept)
    found.take(ready(coming, 6))  # Told before it was moved.
    found.take(ready(kept, 10))
    assert (found.stop, os.pread(found.descriptor, 10, 0)) == (10, b"0123456789")
    found.close()


def test_of_a_file_that_comes_anew_elsewhere_as_much_is_there_as_came_there(tmp_path: Path) -> None:
    public, private = tmp_path / "public", tmp_path / "private"
    public.write_bytes(b"01234")
    private.write_bytes(b"0")
    found = _Coming()
    found.take(ready(public, 5))
    before = found.descriptor
    found.take(ready(private, 1))
    assert (found.stop, os.pread(found.descriptor, 10, 0)) == (1, b"0")
    with_new = len(os.listdir("/proc/self/fd"))
    found.take(ready(private, 1))
    assert len(os.listdir("/proc/self/fd")) == with_new, "nothing is opened twice"
    assert before != found.descriptor or os.path.sameopenfile(before, found.descriptor)
    found.close()


def test_where_nothing_stands_any_more_nothing_is_told_of(tmp_path: Path) -> None:
    found = _Coming()
    found.take(ready(tmp_path / "gone", 5))
    assert (found.stop, found.descriptor) == (0, -1)
    found.close()
    (tmp_path / "here").write_bytes(b"0")
    found.take(ready(tmp_path / "here", 1))  # Told after the reader went.
    assert found.descriptor == -1
