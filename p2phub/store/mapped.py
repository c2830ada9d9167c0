"""Whether a fingerprint will tell of what programs write to a file that they have mapped into their memory.

A system sets a file's times when a page of it is written to through a mapping for the first time, and not again while
that page waits to be written to the disk: what is stored there meanwhile shows in no time. Once a page is on its way to
the disk it is protected, and the next store sets the times. So whoever is going to read a file, and believe afterwards
that it is what was read while its fingerprint holds, has its pages written first. Of a clean file that costs some
microseconds: nothing is waited for, and no disk told to empty its cache, as fdatasync would.

Files that exist in memory alone are never written to a disk, so there nothing is believed.
Source: docs/design/store.md, "Published folders".
"""

from __future__ import annotations

import ctypes
import os
from ctypes import c_int, c_int64, c_uint

from p2phub.store.tmpfs import is_in_memory

_LIBC = ctypes.CDLL(None, use_errno=True)  # Calls through it give up the GIL.
_SYNC_FILE_RANGE = getattr(_LIBC, "sync_file_range", None)
_ALL_AND_WAIT = 1 | 2 | 4  # For what is on its way already, for the start of the rest, and for its end.

if _SYNC_FILE_RANGE is not None:
    _SYNC_FILE_RANGE.argtypes = (c_int, c_int64, c_int64, c_uint)


def shows_writes(fd: int) -> bool:
    """Have what was written through mappings to the file behind `fd` sent to its disk, and return whether everything
    that is written to it from now on will show in its times. False also where that cannot be done."""
    if is_in_memory(fd):
        return False
    if _SYNC_FILE_RANGE is not None:
        return bool(_SYNC_FILE_RANGE(fd, 0, 0, _ALL_AND_WAIT) == 0)
    try:
        getattr(os, "fdatasync", os.fsync)(fd)
    except OSError:
        return False
    return True
