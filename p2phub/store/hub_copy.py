"""What came from an upstream hub, as its own client would keep it: so that it is adopted like any other cache.

    CACHE/models--ORG--NAME/
      blobs/<SHA-256, or git's SHA-1>     a file, once all of it was there and had that digest
      snapshots/<commit>/<path>           a link to its blob
      trees/<commit>.json                 the listing that the hub gave
      .coming/<blob>                      what has come of a file so far, from its beginning on; none of it is checked
      .seen/<blob>                        how the blob stood when it was checked

There are two caches: what needed a token stands apart from what everybody may have. What was not used for longest may
be collected (`hub_collecting`), so a snapshot is asked for within `use`. All methods block and raise DiskError.
"""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from p2phub.manifest import check_path, git_blob_sha1, lfs_pointer
from p2phub.store.destination import need_room
from p2phub.store.disk import FOLDER_FLAGS, Disk, disk_errors, make_folder, open_for_reading, read_regular
from p2phub.store.hub_lock import in_use, share
from p2phub.store.materialise.listing import Listed, encode_listing

PUBLIC, PRIVATE = CACHES = ("public", "private")
"""Below UPSTREAM_FOLDER: what everybody may have, and what needed the token."""

PARTS = frozenset({"blobs", "snapshots", "trees", ".coming", ".seen"})
"""The folders of a repository."""

_READ_BYTES = 1 << 20
_USE_NOTED_S = 60.0
_NOTE_BYTES_MAX = 256  # Of how a blob stood: five numbers.


class HubFile(msgspec.Struct, frozen=True):
    """A file as a hub lists it, digests in hex: of one in LFS the SHA-256, of any other git's SHA-1."""

    path: str
    size: int
    sha256: str | None
    git_sha1: str | None

    @property
    def blob(self) -> str:
        """What its content is called."""
        found = self.sha256 or self.git_sha1
        assert found is not None, "a hub lists a digest of each"
        return found

    def hasher(self) -> hashlib._Hash:
        """Return what gives `blob`, once it had all bytes."""
        if self.sha256 is not None:
            return hashlib.sha256()
        return hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False)


class HubCopy:
    """One repository at one commit. `name`: ORG/NAME, `folder_of`: models or datasets."""

    def __init__(self, cache: Path, folder_of: str, name: str, commit: str) -> None:
        self.folder = cache / f"{folder_of}--{name.replace('/', '--')}"
        self._commit = commit

    @property
    def snapshot(self) -> Path:
        return self.folder / "snapshots" / self._commit

    def use(self, files: Mapping[str, HubFile], *, begins: Callable[[], None] = lambda: None) -> tuple[int, bool]:
        """Begin the snapshot if it is not there, which `begins` is told first, and keep it from collection until the
        descriptor is closed that is returned; and whether it was there."""
        was_there = True
        with disk_errors(f"write to {self.folder}"):
            while (fd := share(self.snapshot)) is None:
                was_there = False
                begins()
                self.begin(files)
            try:
                if abs(time.time() - os.fstat(fd).st_mtime) > _USE_NOTED_S:
                    os.utime(fd)
            except BaseException:
                os.close(fd)
                raise
        return fd, was_there

    def in_use(self) -> AbstractContextManager[None]:
        """Keep all that the repository has from collection."""
        return in_use(self.folder)

    def begin(self, files: Mapping[str, HubFile]) -> None:
        """Make the folders, and write down what the commit has."""
        with disk_errors(f"write to {self.folder}"):
            fd = None
            while fd is None:
                make_folder(Disk(), self.folder, 0o700)
                fd = share(self.folder)
            try:
                for name in PARTS:
                    make_folder(Disk(), self.folder / name, 0o700)
                # First what it has, or a collection would not know whose blobs are here already.
                listing = self.folder / "trees" / f"{self._commit}.json"
                if not listing.exists():
                    _write_whole(listing, listing_of(files))
                self.snapshot.mkdir(exist_ok=True)
            finally:
                os.close(fd)

    def standing(self, file: HubFile) -> Path | None:
        """Return where a file stands, checked and unchanged since; None if it does not, or if what has that digest is
        of another size: one of the two is not what its hub says."""
        place, seen = self.folder / "blobs" / file.blob, self.folder / ".seen" / file.blob
        with disk_errors(f"read {self.folder}"):
            try:
                now = _how_it_stands(place)
                if int(now.split()[0]) != file.size:
                    return None
                before = _noted(seen)
                if before == now:
                    return place
                # As an earlier p2phub noted it; or what has another time of change, by a link or a mode, say.
                if before.split() != now.split()[:3] and not _is_right(place, file):
                    return None
                _write_whole(seen, now)
                return place
            except FileNotFoundError:
                return None

    def need_room(self, count: int) -> None:
        """Raise DiskFull if so many bytes more cannot be here."""
        with disk_errors(f"write to {self.folder}"):
            fd = os.open(self.folder, FOLDER_FLAGS)
            try:
                need_room(fd, self.folder, count, hint="make room, then ask again: what came is kept")
            finally:
                os.close(fd)

    def coming(self, file: HubFile) -> Path:
        """Return where what comes of a file is written; it is made now if it is not there."""
        place = self.folder / ".coming" / file.blob
        with disk_errors(f"write to {place}"):
            os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        return place

    def keep(self, file: HubFile) -> Path:
        """Put a file where it belongs whose bytes all came, and were found right. Durable when this returns."""
        coming, place = self.folder / ".coming" / file.blob, self.folder / "blobs" / file.blob
        with disk_errors(f"write to {place}"):
            try:
                _sync(coming)
            except OSError:  # What was lost so is told once: read again, it is right, and no sync says otherwise.
                coming.unlink()
                raise
            os.rename(coming, place)
            _sync(place.parent)
            _write_whole(self.folder / ".seen" / file.blob, _how_it_stands(place))
            _sync(self.folder / ".seen")
        return place

    def link(self, file: HubFile) -> None:
        """Name a file that stands here by its path."""
        check_path(file.path)
        at = self.snapshot / file.path
        with disk_errors(f"write to {at}"):
            at.parent.mkdir(parents=True, exist_ok=True)
            if not at.is_symlink():
                at.symlink_to(os.path.relpath(self.folder / "blobs" / file.blob, at.parent))

    def drop(self, file: HubFile) -> None:
        """Remove what came of a file."""
        with disk_errors(f"remove from {self.folder}"):
            (self.folder / ".coming" / file.blob).unlink(missing_ok=True)


def listing_of(files: Mapping[str, HubFile]) -> bytes:
    """Return the listing of a commit, as the hub's own client writes it."""
    return encode_listing({path: _listed(file) for path, file in files.items()})


def hash_beginning(place: Path, hasher: hashlib._Hash, most: int) -> int:
    """Give `hasher` what stands at `place`, and return how much that is; of what is longer than `most` nothing. What
    the disk cannot read is cut off, with what is behind it."""
    with disk_errors(f"read {place}"), place.open("r+b", buffering=0) as file:
        if os.fstat(file.fileno()).st_size > most:
            file.truncate(0)
        count = 0
        try:
            while piece := file.read(_READ_BYTES):
                hasher.update(piece)
                count += len(piece)
        except OSError as exc:
            if exc.errno != errno.EIO:
                raise
            file.truncate(count)
        return count


def _listed(file: HubFile) -> Listed:
    if file.sha256 is None:
        return Listed(file.size, file.blob)
    return Listed(file.size, git_blob_sha1(lfs_pointer(file.sha256, file.size)), file.sha256, file.size)


def _how_it_stands(place: Path) -> bytes:
    found = os.stat(place, follow_symlinks=False)
    # The last cannot be set back: who writes in the file and puts its times back is found out by it.
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ino} {found.st_dev} {found.st_ctime_ns}\n".encode()


def _noted(seen: Path) -> bytes:
    """Return how a blob stood when it was checked; nothing where whoever kept it was killed before that was noted, or
    the note cannot be read: it can be read anew."""
    try:
        return read_regular(seen, _NOTE_BYTES_MAX)
    except OSError:
        return b""


def _is_right(place: Path, file: HubFile) -> bool:
    """Read a file, and say whether it is what was listed. What the disk cannot read is not: its hub has it, and what
    comes replaces it."""
    hasher = file.hasher()
    try:
        with open_for_reading(place) as opened:
            if os.fstat(opened.fileno()).st_size != file.size:
                return False
            while piece := opened.read(_READ_BYTES):
                hasher.update(piece)
    except OSError as exc:
        if exc.errno != errno.EIO:
            raise
        return False
    return hasher.hexdigest() == file.blob


def _write_whole(place: Path, data: bytes) -> None:
    part = place.with_name(f"{place.name}.{os.urandom(8).hex()}~")
    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(part, place)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _sync(place: Path) -> None:
    fd = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
