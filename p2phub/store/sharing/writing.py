"""Write the catalogue of a shared place, with the blobs that describe what it lists: one home a place.

    blobs -> sync -> catalogue aside -> sync -> rename -> sync of the folder -> blobs that nothing needs any more go
So whoever reads finds a whole catalogue, and all that it needs, unless it is replaced meanwhile. Only one process
writes at a time (flock); which home may is what the catalogue says. The folder must be ours, and nobody else's to write
to: others could have put links there. Modes let everybody read, as far as the umask does.
"""

from __future__ import annotations

import contextlib
import math
import os
import pwd
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from p2phub import limits
from p2phub.content import Digest
from p2phub.errors import Malformed, Occupied
from p2phub.store.blobs import Blobs
from p2phub.store.disk import FOLDER_FLAGS, MAKE_FLAGS, Disk, disk_errors, read_regular
from p2phub.store.folders import SHARED_FOLDER, names_in
from p2phub.store.needs import blobs_of
from p2phub.store.own_folder import LOCK, open_locked
from p2phub.store.sharing.catalogue import Catalogue, decode_catalogue, encode_catalogue
from p2phub.store.sharing.reading import BLOBS, CATALOGUE

FOLDER_MODE, FILE_MODE = 0o755, 0o644  # Less what the umask takes.
WAIT_S = 10.0  # For another process of ours that writes there.
WAIT_STEP_S = 0.05

GetBlob = Callable[[Digest], bytes | None]


class SharedFolder:
    """The folder of a shared place, held by its one writer. Raises OSError, DiskError."""

    def __init__(self, disk: Disk, place: Path, own: int) -> None:
        self._disk = disk
        self._place = place
        self._own = own

    def catalogue(self) -> Catalogue | None:
        """Return what stands there; None if nothing does. Raises Damaged."""
        try:
            data = read_regular(CATALOGUE, limits.SHARED_CATALOGUE_BYTES_MAX + 1, dir_fd=self._own)
        except FileNotFoundError:
            return None
        return decode_catalogue(data)

    def write(self, catalogue: Catalogue, before: Catalogue | None, get: GetBlob) -> None:
        """Let the place have `catalogue`, in place of `before` (None: who knows what), and the blobs that it needs."""
        self._remove_left_over()
        blobs = Blobs(self._own, self._disk, self._place, folder_mode=FOLDER_MODE, file_mode=FILE_MODE, held=True)

        def either(digest: Digest) -> bytes | None:
            blob = get(digest)
            return blobs.get(digest) if blob is None else blob  # One that rotted in the home since then, say.

        try:
            here = set() if before is None else set(blobs.all())  # One that rotted is written again then.
            for manifest in dict.fromkeys(each.manifest for each in catalogue.listed):
                wanted = (blob for blob in blobs_of(manifest, either) if blob.raw not in here)
                blobs.put([found for blob in wanted if (found := get(blob)) is not None])
            self._replace(encode_catalogue(catalogue))
            listed = {each.manifest for each in catalogue.listed}
            if before is None or any(each.manifest not in listed for each in before.listed):
                needed = {blob.raw for manifest in listed for blob in blobs_of(manifest, either)}
                blobs.remove([Digest(raw) for raw in blobs.all() if raw not in needed], put_before=math.inf)
        finally:
            blobs.close()

    def remove(self) -> None:
        """Remove what is ours of the folder, the catalogue first, and the folder if nothing else is in it."""
        with contextlib.suppress(FileNotFoundError):
            self._disk.unlink(CATALOGUE, dir_fd=self._own)
            self._disk.fsync(self._own)
        self._remove_left_over()
        with contextlib.suppress(FileNotFoundError):
            blobs = os.open(BLOBS, FOLDER_FLAGS, dir_fd=self._own)
            try:
                for name in names_in(blobs):
                    if _is_blob(name):
                        self._disk.unlink(name, dir_fd=blobs)
            finally:
                os.close(blobs)
            with contextlib.suppress(OSError):  # Somebody put something else there.
                self._disk.rmdir(BLOBS, dir_fd=self._own)
        self._disk.unlink(LOCK, dir_fd=self._own)
        root = os.open(self._place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with contextlib.suppress(OSError):
                self._disk.rmdir(SHARED_FOLDER, dir_fd=root)
        finally:
            os.close(root)

    def others_may_read(self) -> bool:
        """Whether other users can: the umask may have said no."""
        folder, file = os.fstat(self._own), os.stat(CATALOGUE, dir_fd=self._own, follow_symlinks=False)
        return bool(folder.st_mode & stat.S_IXOTH and file.st_mode & stat.S_IROTH)

    def _replace(self, data: bytes) -> None:
        aside = f".{CATALOGUE}.{secrets.token_hex(8)}"
        fd = self._disk.open(aside, MAKE_FLAGS, FILE_MODE, dir_fd=self._own)
        try:
            self._disk.pwrite(fd, data, 0)
            self._disk.fdatasync(fd)
        finally:
            os.close(fd)
        self._disk.replace(aside, CATALOGUE, source_fd=self._own, target_fd=self._own)
        self._disk.fsync(self._own)

    def _remove_left_over(self) -> None:
        """Remove catalogues that were never finished: only who has the lock makes one."""
        for name in names_in(self._own):
            if name.startswith(f".{CATALOGUE}."):
                self._disk.unlink(name, dir_fd=self._own)


@contextlib.contextmanager
def opened(disk: Disk, place: Path) -> Iterator[SharedFolder]:
    """Hold the folder of `place`, made if it is not there, for one change. Raises DiskError, of it Occupied."""
    with disk_errors(f"share {place}"), contextlib.ExitStack() as undo:
        root = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        undo.callback(os.close, root)
        own, lock = _lock(disk, root, place)
        undo.callback(os.close, lock)
        undo.callback(os.close, own)
        yield SharedFolder(disk, place, own)


def held_by(place: Path, catalogue: Catalogue) -> Occupied:
    """Return what to say where another home shares `place` already."""
    folder = place / SHARED_FOLDER
    try:
        owner = f", of the user {_user(os.stat(folder).st_uid)}"
    except OSError:
        owner = ""
    return Occupied(
        f"{place} is shared by another home already: that of the node {catalogue.writer}{owner}",
        hint=f"attach it to read it: p2phub attach {place}; if that home is gone for good, remove {folder} first",
    )


def _lock(disk: Disk, root: int, place: Path) -> tuple[int, int]:
    """Return the folder and its lock, which another process of ours gives back soon."""

    def judge(status: os.stat_result, made: bool) -> None:
        if status.st_uid != os.geteuid():
            whose = f"belongs to the user {_user(status.st_uid)}"
        elif status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not made:
            whose = "can be written by other users"
        else:
            return
        where = place / SHARED_FOLDER
        raise Occupied(f"{where} {whose}: whoever that is may share {place}", hint=f"attach it: p2phub attach {place}")

    busy = Occupied(f"another process is sharing {place}", hint="wait until it is done, or stop it")
    until = time.monotonic() + WAIT_S
    while True:
        try:
            return open_locked(disk, root, SHARED_FOLDER, judge=judge, busy=busy, mode=FOLDER_MODE)
        except Occupied as error:
            if error is not busy or time.monotonic() > until:
                raise
        time.sleep(WAIT_STEP_S)


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _is_blob(name: str) -> bool:
    """Whether a file of that name is one that we wrote: a blob, or one that was never finished."""
    parts = name.split(".")
    stem = parts[1] if len(parts) == 3 and not parts[0] else name
    try:
        return Digest(bytes.fromhex(stem)).raw.hex() == stem
    except (ValueError, Malformed):
        return False
