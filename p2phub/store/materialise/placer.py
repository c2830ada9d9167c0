"""Gets content to its place in another program's store: what stands there is looked at, what does not is brought.

A file that stands there is used only if it is right, which is found out by reading it; a wrong one is somebody's, and
neither replaced nor used: Occupied. What is brought is made in our staging folder (or is a file of ours that can be
moved), synced, and only then renamed without replacing, so a name never stands for half a file. Files are synced
together, up to SYNC_BYTES at a time: a crash loses no more than that of a copy that takes minutes.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from hashlib import sha256
from pathlib import Path

import msgspec

from p2phub import limits
from p2phub.content import Readable
from p2phub.errors import ContentChanged, Damaged, Occupied
from p2phub.store.clone import How, Stopped, make_copy
from p2phub.store.destination import need_room
from p2phub.store.disk import ONE_BY_ONE_MAX, READ_FLAGS, Disk
from p2phub.store.fingerprints import Fingerprint
from p2phub.store.folders import Tree, fingerprint
from p2phub.store.materialise.source import Linked, Source
from p2phub.store.materialise.staging import Staging
from p2phub.store.rehash import has_sha256

Wanted = tuple[str, Source]
"""Where something goes (its path in the store), and what it is."""


class _Waiting(msgspec.Struct, frozen=True):
    """A whole file that is not synced, and not at its place `target` yet: `name` in our staging folder, or, if `source`
    is moved, where that lies."""

    target: str
    source: Source
    name: str
    moved: Fingerprint | None = None
    linked: bool = False


class Placer:
    """One thread's. Places are paths in `tree`, the store that errors call `shown`. `guard(target)` is entered while a
    file of more than SYNC_BYTES is brought; `follow`: whether a link at a place may lead to what should stand there, as
    in a cache whose files lie elsewhere. Methods raise OSError, and what else they say.
    """

    def __init__(
        self,
        disk: Disk,
        staging: Staging,
        tree: Tree,
        shown: Path,
        *,
        how: How,
        stopped: Callable[[], bool],
        linked: Linked,
        follow: bool = False,
        guard: Callable[[str], AbstractContextManager[object]] = contextlib.nullcontext,
    ) -> None:
        self._disk = disk
        self._staging = staging
        self._tree = tree
        self._shown = shown
        self._how = how
        self._stopped = stopped
        self._linked = linked
        self._flags = READ_FLAGS & ~os.O_NOFOLLOW if follow else READ_FLAGS
        self._guard = guard
        self._waiting: list[_Waiting] = []
        self._waiting_bytes = 0
        self._found = 0
        self._sync_all = False

    def bring(self, wanted: Iterable[Wanted]) -> None:
        """Have each place hold what is wanted there, durably.

        Raises Occupied for what stands there and is wrong, ContentChanged for a source that is not what it was, Damaged
        for one that is not what it is called, DiskFull, Stopped.
        """
        missing = {target: source for target, source in dict(wanted).items() if not self.holds(target, source)}
        to_come = sum(source.size for source in missing.values() if source.movable is None)
        room_seen = False
        for target, source in missing.items():
            with self._guard(target) if source.size > limits.SYNC_BYTES else contextlib.nullcontext():
                how = self._fetch(target, source)
            if source.movable is None:
                to_come -= source.size
            if how is How.COPY and not room_seen:  # Only now is it known that there are no clones here.
                need_room(self._staging.fd, self._shown, to_come, hint="make room, then run the same command again")
                room_seen = True
        self.flush()

    def put(self, target: str, data: bytes) -> None:
        """Have a place hold these few bytes, durably. Raises Occupied, Stopped."""
        source = Source(target, len(data), sha256(data).digest(), None, open=None)
        if not self.holds(target, source):
            self._wait(_Waiting(target, source, self._staging.write(data)))
        self.flush()

    def holds(self, target: str, source: Source) -> bool:
        """Whether `source` stands at its place: read now, and durable after `flush`, since whoever put it there may not
        have synced it. Raises Occupied if something else stands there, Stopped.
        """
        folder, name = self._tree.place(target, make=True)
        self._tree.note(target)  # Its entry, too.
        try:
            os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        if not self._is_right(folder, name, source):
            if self._stopped():
                raise Stopped
            raise Occupied(
                f"{self._shown / target} is not what {source.path} should be, and is not replaced",
                hint="move it away, or let the program that owns it do so, then run the same command again",
            )
        return True

    def _is_right(self, folder: int, name: str, source: Source) -> bool:
        try:
            # Looked at first: opening a device can have effects of its own.
            follow = not self._flags & os.O_NOFOLLOW
            if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=follow).st_mode):
                return False
            fd = os.open(name, self._flags, dir_fd=folder)
        except FileNotFoundError:  # A link that leads nowhere.
            return False
        try:
            before = fingerprint(os.fstat(fd))
            right = has_sha256(fd, source.size, source.sha256, self._stopped)
            if right:
                self._sync_found(fd)
            return right and fingerprint(os.fstat(fd)) == before
        finally:
            os.close(fd)

    def _sync_found(self, fd: int) -> None:
        """Sync a file that was found, or have all of them synced together once there are many."""
        self._found += 1
        if self._found == ONE_BY_ONE_MAX + 1:
            self._sync_all = self._disk.syncfs(self._staging.fd)  # Now for the first time, to see whether it can.
        if self._found <= ONE_BY_ONE_MAX or not self._sync_all:
            self._disk.fdatasync(fd)

    def _fetch(self, target: str, source: Source) -> How | None:
        """Bring one file as far as `flush` needs it. Returns how it was made, None if it is moved."""
        assert source.open is not None, "a file that is not here is for no place"
        if self._stopped():
            raise Stopped
        file = source.open()
        try:
            expected = _fingerprint_of(file)
            if expected.size != source.size:
                raise ContentChanged(f"{source.path} has {expected.size} bytes, and should have {source.size}")
            self._need_its_names(file, source)
            if source.movable is not None and self._can_move(source.movable, expected, target):
                self._wait(_Waiting(target, source, source.movable.name, moved=expected))
                return None
            name = self._staging.new_name()
            how = make_copy(
                self._disk,
                file.descriptor,
                expected,
                self._staging.fd,
                name,
                how=self._how,
                shown=source.path,
                sync=False,
                stopped=self._stopped,
            )
        finally:
            file.close()
        self._wait(_Waiting(target, source, name, linked=how is How.LINK))
        return how

    def _need_its_names(self, file: Readable, source: Source) -> None:
        """Read a file before it gets a name that says what it is. Raises Damaged, Stopped.

        Chunks are all that a fetch verifies; what its publisher says of the whole is a claim. Other programs believe
        such a name: a lie would stand where they look for what everybody knows under it.
        """
        if not has_sha256(file.descriptor, source.size, source.sha256, self._stopped, git_sha1=source.git_sha1):
            if self._stopped():
                raise Stopped
            if not file.unchanged():
                raise ContentChanged(f"{source.path} changed while it was read", hint="run the same command again")
            raise Damaged(
                f"{source.path} is not what its publisher says: it has another SHA-256, or another SHA-1 of git's",
                hint="tell its publisher; it can be fetched into a folder all the same",
            )

    def _can_move(self, movable: Path, expected: Fingerprint, target: str) -> bool:
        """Whether the file that was opened lies there, on the file system of its place, under this name alone."""
        folder, _ = self._tree.place(target, make=True)
        try:
            status = os.lstat(movable)
        except OSError:
            return False
        return (
            fingerprint(status) == expected
            and stat.S_ISREG(status.st_mode)
            and status.st_nlink == 1
            and status.st_dev == os.fstat(folder).st_dev
        )

    def _wait(self, file: _Waiting) -> None:
        self._waiting.append(file)
        self._waiting_bytes += file.source.size
        if self._waiting_bytes >= limits.SYNC_BYTES:
            self.flush()

    def flush(self) -> None:
        """Sync what was found and what waits, let that have its place, and sync the places."""
        together = self._sync_all or len(self._waiting) > ONE_BY_ONE_MAX
        if not together or not self._disk.syncfs(self._staging.fd):
            for file in self._waiting:
                with self._folder_of(file) as folder:
                    fd = os.open(file.name, READ_FLAGS, dir_fd=folder)
                    try:
                        self._disk.fdatasync(fd)
                    finally:
                        os.close(fd)
        # Before anything is renamed into them: else a power cut could lose a folder with all that was moved there.
        self._tree.flush_made(one_by_one_max=ONE_BY_ONE_MAX)
        while self._waiting:
            file = self._waiting.pop()
            with self._folder_of(file) as folder:
                self._rename(file, folder)
        self._waiting_bytes = self._found = 0
        self._sync_all = False
        self._tree.flush(one_by_one_max=ONE_BY_ONE_MAX)

    def _rename(self, file: _Waiting, folder: int) -> None:
        if file.moved is not None:
            status = os.stat(file.name, dir_fd=folder, follow_symlinks=False)
            if fingerprint(status) != file.moved:
                raise ContentChanged(f"{file.source.path} changed before it could be moved")
        place, name = self._tree.place(file.target, make=True)
        try:
            self._disk.rename_new(file.name, name, source_fd=folder, target_fd=place)
        except FileExistsError:
            self.holds(file.target, file.source)  # Another program was faster, and ours is not needed.
            return
        self._tree.note(file.target)
        if file.linked:
            self._linked(file.source, fingerprint(os.stat(name, dir_fd=place, follow_symlinks=False)))

    @contextlib.contextmanager
    def _folder_of(self, file: _Waiting) -> Iterator[int]:
        if file.moved is None or file.source.movable is None:
            yield self._staging.fd
            return
        fd = os.open(file.source.movable.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield fd
        finally:
            os.close(fd)


def _fingerprint_of(file: Readable) -> Fingerprint:
    exactly = file.steady.exactly
    assert exactly is not None, "a file that still grows is not written anywhere"
    return Fingerprint(*exactly)
