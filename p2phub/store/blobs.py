"""Metadata blobs by digest: manifest pages, chunk lists, layouts; one small file each in `blobs/`.

Written beside, synced, renamed, then the folder synced: a name never stands for half a blob. Each read is checked
against the digest; a blob that rotted is removed and counts as not held, so that it is fetched or made again. One that
the disk does not let us read is neither: that is DiskError.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from p2phub.content import DIGEST_BYTES, Digest, digest_of
from p2phub.errors import DiskError
from p2phub.store.disk import (
    FOLDER_FLAGS,
    ONE_BY_ONE_MAX,
    READ_FLAGS,
    WRITE_FLAGS,
    Disk,
    disk_error,
    disk_errors,
)
from p2phub.store.fingerprints import Fingerprint
from p2phub.store.folders import fingerprint, names_in

FOLDER = "blobs"
LEFT_OVER_S = 86_400.0
YOUNG_S = 3600.0
"""So long after it was put a blob is kept, needed or not: whoever puts one says what it is for a little later."""


class Blobs:
    """The blobs of one home, or of a shared place, `home`. Thread-safe; several processes may have one each. Methods
    raise DiskError; to make one OSError. `held`: whoever makes this has a lock that keeps all others from changing
    them; without it each change takes one of the folder's, which not every network file system has."""

    def __init__(
        self,
        home_fd: int,
        disk: Disk,
        home: Path,
        *,
        folder_mode: int = 0o700,
        file_mode: int = 0o600,
        held: bool = False,
    ) -> None:
        self._disk = disk
        self._home = home
        self._mode = file_mode
        self._held = held
        with contextlib.suppress(FileExistsError):
            disk.mkdir(FOLDER, folder_mode, dir_fd=home_fd)
            disk.fsync(home_fd)
        self._folder = os.open(FOLDER, FOLDER_FLAGS, dir_fd=home_fd)

    def _reading(self) -> AbstractContextManager[None]:
        return disk_errors(f"read metadata in {self._home}")

    def _writing(self) -> AbstractContextManager[None]:
        return disk_errors(f"write metadata in {self._home}")

    def put(self, blobs: Sequence[bytes]) -> None:
        """Keep blobs; durable on return, and young again: see `remove`."""
        with self._writing():
            self._put(blobs)

    def _put(self, blobs: Sequence[bytes]) -> None:
        with self._locked(fcntl.LOCK_SH):
            named = ((_name(digest_of(blob)), blob) for blob in blobs)
            fresh = {name: blob for name, blob in named if not self._stays(name)}
        if not fresh:
            if blobs:  # Whoever put them may have been killed, or failed, before their names were durable.
                self._disk.fsync(self._folder)
            return
        written: list[tuple[str, str]] = []
        try:
            for name, blob in fresh.items():
                beside = f".{name}.{secrets.token_hex(8)}"  # Process numbers come again after a crash.
                fd = self._disk.open(beside, WRITE_FLAGS | os.O_CREAT | os.O_EXCL, self._mode, dir_fd=self._folder)
                try:
                    self._disk.pwrite(fd, blob, 0)
                    if len(fresh) <= ONE_BY_ONE_MAX:
                        self._disk.fdatasync(fd)
                finally:
                    os.close(fd)
                    written.append((beside, name))
            if len(fresh) > ONE_BY_ONE_MAX and not self._disk.syncfs(self._folder):
                for beside, _ in written:
                    self._sync(beside)
            with self._locked(fcntl.LOCK_SH):  # Against who removes a rotted one: see `_drop`.
                while written:
                    beside, name = written[-1]
                    self._disk.replace(beside, name, source_fd=self._folder, target_fd=self._folder)
                    written.pop()
        finally:
            for beside, _ in written:
                with contextlib.suppress(OSError):
                    self._disk.unlink(beside, dir_fd=self._folder)
        self._disk.fsync(self._folder)

    def get(self, digest: Digest) -> bytes | None:
        """Return a blob whose bytes were just checked, or None."""
        with self._reading():
            blob, rotted = self._read(digest)
            if rotted is not None:
                self._drop(_name(digest), rotted)
            return blob

    def _read(self, digest: Digest) -> tuple[bytes | None, Fingerprint | None]:
        """Return a blob; or None, and the file that is not that blob though it has its name."""
        try:
            fd = os.open(_name(digest), READ_FLAGS, dir_fd=self._folder)
        except FileNotFoundError:
            return None, None
        with open(fd, "rb") as file:
            blob = file.read()
            return (blob, None) if digest_of(blob) == digest else (None, fingerprint(os.fstat(fd)))

    def _drop(self, name: str, rotted: Fingerprint) -> None:
        """Remove a blob that rotted, unless somebody has put the right one there meanwhile."""
        with (
            contextlib.suppress(OSError),
            self._locked(fcntl.LOCK_EX),
        ):  # One that stays counts as not held all the same.
            if fingerprint(os.stat(name, dir_fd=self._folder, follow_symlinks=False)) == rotted:
                self._disk.unlink(name, dir_fd=self._folder)

    def all(self) -> Iterator[bytes]:
        """Yield the digest of each blob there is, raw: there may be hundreds of thousands."""
        with self._reading():
            names = os.listdir(self._folder)
        for name in names:
            with contextlib.suppress(ValueError):  # None of ours.
                raw = bytes.fromhex(name)
                if len(raw) == DIGEST_BYTES:
                    yield raw

    def length_if_old(self, digest: Digest, put_before: float) -> int | None:
        """Return the length of a blob that was not put since `put_before` (Unix seconds), None if it was or is gone."""
        try:
            status = os.stat(_name(digest), dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise disk_error(exc, f"read metadata in {self._home}") from exc
        return status.st_size if stat.S_ISREG(status.st_mode) and status.st_mtime < put_before else None

    def lengths(self) -> list[int]:
        """Return the length of each blob there is."""
        with self._reading(), os.scandir(self._folder) as entries:
            return [entry.stat(follow_symlinks=False).st_size for entry in entries if not entry.name.startswith(".")]

    def remove(self, digests: Sequence[Digest], *, put_before: float) -> int:
        """Remove blobs that nothing needs, but those that were put since `put_before`. Returns how many bytes they
        were. Whoever puts one now either finds it gone, and writes it, or makes it young before it is looked at here.
        """
        removed = 0
        with self._writing(), self._locked(fcntl.LOCK_EX):
            for digest in digests:
                length = self.length_if_old(digest, put_before)
                with contextlib.suppress(FileNotFoundError):
                    if length is not None:
                        self._disk.unlink(_name(digest), dir_fd=self._folder)
                        removed += length
        return removed

    def _stays(self, name: str) -> bool:
        """Whether a blob is here, sound, and will be for a while."""
        try:
            if self._read(Digest(bytes.fromhex(name)))[0] is None:
                return False
        except OSError:  # What cannot be read any more is written anew.
            return False
        try:
            if time.time() - os.stat(name, dir_fd=self._folder, follow_symlinks=False).st_mtime > YOUNG_S / 2:
                self._disk.touch(name, dir_fd=self._folder)
        except FileNotFoundError:
            return False
        except OSError:  # A home that cannot be written to: nobody removes anything there either.
            pass
        return True

    @contextlib.contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        """Hold the lock between those who put blobs and who removes some; whoever reads needs none."""
        if self._held:
            yield
            return
        fd = os.open(".", FOLDER_FLAGS, dir_fd=self._folder)  # Of its own: a lock belongs to what was opened.
        try:
            fcntl.flock(fd, how)
            yield
        finally:
            os.close(fd)

    def scrub(self) -> tuple[int, int]:
        """Read every blob, remove what rotted and what was left half written. Returns how many rotted, and how many the
        disk did not let us read: those stay, for it may tomorrow."""
        rotted = unread = 0
        with self._reading():
            names = names_in(self._folder)
        for name in names:
            if name.startswith("."):
                self._remove_left_over(name)
                continue
            try:
                digest = Digest(bytes.fromhex(name))
            except ValueError:
                continue
            try:
                rotted += self.get(digest) is None
            except DiskError:
                unread += 1
        return rotted, unread

    def close(self) -> None:
        os.close(self._folder)

    def _remove_left_over(self, name: str) -> None:
        # Its writer may be at work still: then it is young.
        with self._writing(), contextlib.suppress(FileNotFoundError):
            if time.time() - os.stat(name, dir_fd=self._folder).st_mtime > LEFT_OVER_S:
                self._disk.unlink(name, dir_fd=self._folder)

    def _sync(self, name: str) -> None:
        fd = self._disk.open(name, WRITE_FLAGS, dir_fd=self._folder)
        try:
            self._disk.fdatasync(fd)
        finally:
            os.close(fd)


def _name(digest: Digest) -> str:
    return digest.raw.hex()
