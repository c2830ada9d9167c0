"""Files that no manifest has, made of verified parts of those that a fetch brought: the tensors that were selected.

The same order as for all else: the bytes are durable before the name is, nothing is replaced that stands there unless
the user said so, and what stands there and is equal stays as it is. Until it has its name it lies beside the unfinished
files, whence it is made anew after a crash: what it is made of is still there. Source: docs/design/store.md.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Sequence

from p2phub import limits
from p2phub.content import Readable
from p2phub.errors import ContentChanged, Occupied
from p2phub.manifest import check_path
from p2phub.store.destination import MADE, Destination
from p2phub.store.disk import MAKE_FLAGS, Disk
from p2phub.store.folders import Tree, open_regular
from p2phub.store.selected import Gap, Made, Part, ToMake
from p2phub.store.survey import ELSEWHERE


def in_the_way(tree: Tree, wanted: Sequence[ToMake]) -> tuple[dict[str, str], dict[str, str]]:
    """Return what cannot be made since something else stands there, by path and why: what no force moves, and what
    does not have the length. Raises OSError, Malformed for a path that no file may have."""
    blocked: dict[str, str] = {}
    others: dict[str, str] = {}
    for each in wanted:
        check_path(each.path)
        try:
            status = tree.status(each.path)
            elsewhere = tree.is_elsewhere()
        except OSError as exc:
            if exc.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            blocked[each.path] = "a part of its path is a file or a link"
            continue
        if status is None:
            if elsewhere:
                blocked[each.path] = ELSEWHERE
            continue
        if stat.S_ISDIR(status.st_mode):
            blocked[each.path] = "a folder stands there"
        elif not stat.S_ISREG(status.st_mode):
            others[each.path] = "a link or special file stands there"
        elif not each.bytes_least <= status.st_size <= each.bytes_most:
            others[each.path] = f"another file of {status.st_size} bytes stands there"
    return blocked, others


def make_files(
    disk: Disk, destination: Destination, made: Sequence[Made], open_file: Callable[[int], Readable], *, force: bool
) -> None:
    """Write files, make them durable and put them at their place; the places are noted in the tree, for whoever makes
    those durable. `open_file` opens the files they are made of. Raises OSError, Occupied, DiskError, ContentChanged."""
    for number, each in enumerate(made):
        name = f"{MADE}{number}"
        with contextlib.suppress(FileNotFoundError):  # Of an attempt that was killed.
            disk.unlink(name, dir_fd=destination.partials)
        fd = disk.open(name, MAKE_FLAGS, dir_fd=destination.partials)
        try:
            _write(disk, fd, each, open_file)
            disk.fdatasync(fd)
            _place(disk, destination, name, fd, each.path, force=force)
        finally:
            os.close(fd)


def _write(disk: Disk, fd: int, made: Made, open_file: Callable[[int], Readable]) -> None:
    buffer = memoryview(bytearray(limits.MIB))
    at = 0
    with contextlib.ExitStack() as opened:
        files: dict[int, Readable] = {}
        for part in made.parts:
            if isinstance(part, bytes):
                disk.pwrite(fd, part, at)
                at += len(part)
                continue
            if isinstance(part, Gap):
                at += part.length
                continue
            if part.file not in files:
                files[part.file] = open_file(part.file)
                opened.callback(files[part.file].close)
            at = _copy(disk, files[part.file].descriptor, part, fd, at, buffer)
        if os.fstat(fd).st_size < at:  # It ends with a gap.
            disk.truncate(fd, at)
        if not all(file.unchanged() for file in files.values()):
            raise ContentChanged("a file that tensors were taken of was changed meanwhile", hint="run it again")


def _copy(disk: Disk, source: int, part: Part, fd: int, at: int, buffer: memoryview) -> int:
    """Copy a part to `at`; return where it ends."""
    offset = part.start
    while offset < part.stop:
        count = os.preadv(source, [buffer[: min(len(buffer), part.stop - offset)]], offset)
        if not count:
            raise ContentChanged("a file that tensors were taken of became shorter meanwhile", hint="run it again")
        disk.pwrite(fd, buffer[:count], at)
        offset += count
        at += count
    return at


def _place(disk: Disk, destination: Destination, name: str, fd: int, path: str, *, force: bool) -> None:
    """Give a durable file its name. What stands there stays if it is equal, else is replaced with `force` alone."""
    try:
        folder, last = destination.tree.place(path, make=True)
    except NotADirectoryError:
        raise _occupied(destination, path) from None
    destination.tree.note(path)
    try:
        disk.rename_new(name, last, source_fd=destination.partials, target_fd=folder)
        return
    except FileExistsError:
        status = os.stat(last, dir_fd=folder, follow_symlinks=False)
    if stat.S_ISREG(status.st_mode) and _are_equal(disk, fd, last, folder):
        disk.unlink(name, dir_fd=destination.partials)
    elif force and not stat.S_ISDIR(status.st_mode):
        disk.replace(name, last, source_fd=destination.partials, target_fd=folder)
    else:
        raise _occupied(destination, path)


def _are_equal(disk: Disk, fd: int, name: str, folder_fd: int) -> bool:
    """Whether `name` has just the bytes of `fd`; if so, they are durable on return."""
    other = open_regular(name, dir_fd=folder_fd)
    try:
        size = os.fstat(fd).st_size
        if os.fstat(other).st_size != size:
            return False
        for at in range(0, size, limits.MIB):
            if os.pread(fd, limits.MIB, at) != os.pread(other, limits.MIB, at):
                return False
        disk.fdatasync(other)
        return True
    finally:
        os.close(other)


def _occupied(destination: Destination, path: str) -> Occupied:
    return Occupied(
        f"{destination.folder / path} is another file, where what was selected would go",
        hint="move it away and run the same command, or replace it with --force",
    )
