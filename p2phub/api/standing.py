"""Files of verified bytes as they stand on this disk, opened to be read: whole ones, and stretches of one.

A node tells where bytes stand and which file that has to be; between its word and a read the file may be replaced, or
written to, so it is looked at before and after each. Everything here blocks, but for `unchanged` hardly.
"""

from __future__ import annotations

import errno
import os
import stat
from types import TracebackType

from p2phub.errors import DiskError


class DiskFile:
    """An open file that bytes are read from. `exactly` as in RangeReady."""

    def __init__(self, descriptor: int, exactly: tuple[int, ...] | None) -> None:
        self.descriptor = descriptor
        self._exactly = exactly
        self._closed = False

    def unchanged(self) -> bool:
        found = os.fstat(self.descriptor)
        now = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        return self._exactly is None or now[: len(self._exactly)] == self._exactly

    def read(self, start: int, stop: int) -> bytes | None:
        """Return a part; None if the file is not what it was, before or after that, or shorter than that."""
        if not self.unchanged():
            return None
        try:
            data = os.pread(self.descriptor, stop - start, start)
        except OSError as exc:
            raise DiskError(f"cannot read what is held: {exc.strerror}") from exc
        return data if data and self.unchanged() else None

    def twin(self) -> DiskFile:
        """Return the same, which stays open when this is closed."""
        return DiskFile(os.dup(self.descriptor), self._exactly)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            os.close(self.descriptor)


def file_of(descriptor: int) -> DiskFile:
    """Return a file that is written by us, or by nobody any more: its descriptor belongs to what this gives."""
    return DiskFile(descriptor, None)


def open_unchanged(path: str, exactly: tuple[int, ...] | None) -> DiskFile | None:
    """Open a file, if it is there, and as it was."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as exc:
        if exc.errno == errno.ELOOP:  # A link stands there by now.
            return None
        raise DiskError(f"cannot read {path}: {exc.strerror}") from exc
    file = DiskFile(descriptor, exactly)
    if stat.S_ISREG(os.fstat(descriptor).st_mode) and file.unchanged():
        return file
    file.close()
    return None


class StandingFile:
    """A file that stands whole on this disk, opened. `descriptor` is for `os.pread`, `os.preadv`, and belongs to
    this object: close it, or use it as a context manager. `size` in bytes."""

    def __init__(self, file: DiskFile, size: int) -> None:
        self._file = file
        self.descriptor = file.descriptor
        self.size = size

    def unchanged(self) -> bool:
        """Whether the file still is what was hashed: ask after a read and before its bytes are passed on. Not with
        sendfile or mmap: what is passed on by those is the file's own pages, and may change after that. Does not block
        for long."""
        return self._file.unchanged()

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> StandingFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Stretch(StandingFile):
    """Bytes `start` ..< `stop` of a file, verified: as `StandingFile`, for a part."""

    def __init__(self, file: DiskFile, start: int, stop: int) -> None:
        super().__init__(file, stop - start)
        self.start = start
        self.stop = stop


class Part:
    """Verified bytes `at` ..< `stop` of a file, taken from the beginning: `at` says how far."""

    def __init__(self, file: DiskFile, at: int, stop: int) -> None:
        self._file = file
        self.at = at
        self.stop = stop

    def take(self, most: int) -> bytes | None:
        """Take a piece; None if the file is not what it was. Blocks."""
        piece = self._file.read(self.at, min(self.at + most, self.stop))
        if piece is not None:
            self.at += len(piece)
        return piece

    def stretch(self) -> Stretch:
        """Return what was not taken yet, opened by itself."""
        return Stretch(self._file.twin(), self.at, self.stop)
