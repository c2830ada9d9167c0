"""What went wrong, as programs that read files expect it: an OSError of the kind that says what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from p2phub.api import (
    ChunkMismatch,
    ContentChanged,
    Damaged,
    DiskError,
    DiskFull,
    HubError,
    NoProvider,
    NotFound,
    NotTrusted,
    Occupied,
    PeerError,
    UsageError,
)

# The first that fits. Absence is FileNotFoundError; that nobody can be reached who has it is ConnectionError, and what
# may not be believed or may run code is PermissionError: `OSError` gives these by their numbers but for the second.
_NUMBERS: tuple[tuple[type[HubError], int], ...] = (
    (NotFound, errno.ENOENT),
    (NotTrusted, errno.EACCES),
    (DiskFull, errno.ENOSPC),
    (Occupied, errno.EBUSY),
    (ContentChanged, errno.ESTALE),
    (DiskError, errno.EIO),
    (ChunkMismatch, errno.EIO),
    (Damaged, errno.EIO),
    (UsageError, errno.EINVAL),
)


@contextmanager
def as_os_error(path: str) -> Iterator[None]:
    """Raise what the library raises in the block as an OSError about `path`."""
    try:
        yield
    except HubError as error:
        raise os_error(error, path) from error


def os_error(error: HubError, path: str) -> OSError:
    """Return the OSError of a fault of the library's."""
    text = error.message if error.hint is None else f"{error.message}; {error.hint}"
    for kind, number in _NUMBERS:
        if isinstance(error, kind):
            return OSError(number, text, path)
    if isinstance(error, NoProvider | PeerError):
        return ConnectionError(errno.EHOSTUNREACH, text, path)
    return OSError(errno.EIO, text, path)


def read_only(path: str) -> OSError:
    """Return why nothing can be written."""
    return OSError(errno.EROFS, "p2phub:// is read only: publish a folder with `p2phub publish`", path)
