"""What came to a home of the content of big files, measured where it stands."""

from __future__ import annotations

import os
from pathlib import Path

from p2phub import limits


def came_to(home: Path) -> int:
    """Return how many bytes of big files stand in the own store of a home: what is missing of one is a hole."""
    files = (path for path in (home / "files").rglob("*") if path.is_file())
    return sum(data_bytes(path) for path in files if path.stat().st_size > limits.MIB)


def data_bytes(path: Path) -> int:
    """Return how much of a file is no hole. Its blocks would count what the disk notes of a file in many parts."""
    size, at, found = path.stat().st_size, 0, 0
    with path.open("rb") as file:
        while at < size:
            try:
                start = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:  # Nothing but a hole from here.
                break
            at = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            found += at - start
    return found
