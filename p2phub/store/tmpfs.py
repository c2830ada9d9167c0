"""File systems that have no disk: what stands there is in memory alone (tmpfs, /dev/shm).

Nothing of a file there is ever on its way to a disk, so no time of it tells when a page was written; and room there is
memory, so to take it early is to fill it twice.
"""

from __future__ import annotations

import ctypes
import os
import sys
from ctypes import c_long
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_Statfs = c_long * 64  # More than it takes; which kind of file system it is comes first.
_KINDS_IN_MEMORY = frozenset((0x01021994, 0x858458F6, 0x958458F6))  # tmpfs, ramfs, hugetlbfs.
_in_memory: dict[int, bool] = {}  # By device: over a network each question would be a round trip.


def is_in_memory(at: int | Path) -> bool:
    """Whether a file or folder, by its descriptor or path, is on a file system that has no disk. Behind overlayfs and
    the like it does not show. Raises OSError."""
    device = os.stat(at).st_dev
    if device not in _in_memory:
        _in_memory[device] = sys.platform == "linux" and _kind(at) in _KINDS_IN_MEMORY
    return _in_memory[device]


def _kind(at: int | Path) -> int:
    """Return which kind of file system that is, as Linux numbers them; 0 if it does not say."""
    found = _Statfs()
    failed = _LIBC.fstatfs(at, found) if isinstance(at, int) else _LIBC.statfs(os.fsencode(at), found)
    return 0 if failed else int(found[0]) & 0xFFFF_FFFF
