"""Reading what may be unfinished: where the disk fails, the next attempt is told to find out at what."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NoReturn

import pytest

from p2phub.engine.preadv import read_exactly, unfinished_files_of
from p2phub.errors import DiskError
from tests.support.content import content_of
from tests.support.covers import covers
from tests.support.stores import DiskScene, arrive, deliver

CONTENT = content_of({"a.bin": b"a" * 3_000}, 1_000)


@covers("F03")
@pytest.mark.parametrize(("error", "left"), [(errno.EIO, 0), (errno.EMFILE, 1)])
def test_only_what_the_disk_fails_at_makes_a_fetch_doubt_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int, left: int
) -> None:
    def fail(*what: object) -> NoReturn:
        raise OSError(error, os.strerror(error))

    scene = DiskScene(tmp_path)
    arrival = arrive(scene, CONTENT)
    deliver(arrival, CONTENT, [0, 1])
    arrival.sync()
    opened = arrival.read_plan().open(0)
    with monkeypatch.context() as patch:
        patch.setattr(os, "preadv", fail)
        with pytest.raises(DiskError, match=r"cannot read a\.bin") as failed, unfinished_files_of(arrival):
            read_exactly(opened.descriptor, 0, 1_000, "a.bin")
    assert ("same command" in str(failed.value.hint)) is (error == errno.EIO)
    opened.close()
    arrival.close()
    with (next((scene.folder / ".p2phub").glob("*/0"))).open("r+b") as file:  # Behind the sample that is taken.
        file.seek(1_500)
        file.write(b"rot")
    again = arrive(scene, CONTENT)
    assert (1 in again.have) is bool(left)
    again.close()
    scene.store.close()
