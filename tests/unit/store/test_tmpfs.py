"""Files in memory: their length is set, and no memory taken for what has not come yet."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from p2phub import limits
from p2phub.store.disk import Disk
from p2phub.store.tmpfs import is_in_memory

IN_MEMORY = Path("/dev/shm")


def allocated(folder: Path) -> tuple[int, int]:
    """Return the length and the bytes taken of a file of a mebibyte that was just allocated in `folder`."""
    with tempfile.TemporaryFile(dir=folder) as file:
        Disk().allocate(file.fileno(), limits.MIB)
        status = os.fstat(file.fileno())
        return status.st_size, status.st_blocks * 512


@pytest.mark.skipif(not IN_MEMORY.is_dir() or not is_in_memory(IN_MEMORY), reason="no file system in memory here")
def test_of_a_file_in_memory_nothing_is_taken_before_it_is_written() -> None:
    assert allocated(IN_MEMORY) == (limits.MIB, 0)


def test_of_a_file_on_a_disk_all_is_taken_at_once(tmp_path: Path) -> None:
    if is_in_memory(tmp_path):
        pytest.skip("the folders for tests are in memory here")
    length, taken = allocated(tmp_path)
    assert length == limits.MIB
    assert taken >= limits.MIB
