"""Read what a shared place has beside its files, believing nothing: the catalogue, and blobs by their digest.

The folder itself is no link, nor is anything in it; only regular files are read, never waited for, and never more of
one than what it may have. Nothing is written, not even to mend. Raises DiskError, Damaged.
"""

from __future__ import annotations

import os
from pathlib import Path

from p2phub import limits
from p2phub.content import Digest, digest_of
from p2phub.errors import Damaged, DiskError
from p2phub.store.disk import FOLDER_FLAGS, disk_errors, open_for_reading, read_regular
from p2phub.store.fingerprints import Fingerprint
from p2phub.store.folders import SHARED_FOLDER, fingerprint
from p2phub.store.sharing.catalogue import Catalogue, decode_catalogue

CATALOGUE = "catalogue"
BLOBS = "blobs"
BLOB_BYTES_MAX = max(limits.CHUNK_LIST_BYTES_MAX, limits.MANIFEST_PAGE_BYTES_MAX)  # The largest kinds there are.


def read_catalogue(place: Path, known: Fingerprint | None = None) -> tuple[Fingerprint, Catalogue] | None:
    """Return the catalogue of `place`, with what tells that it is still that one; None if it is the `known` one."""
    with disk_errors(f"read what {place} shares"):
        try:
            folder = _open_folder(place)
        except FileNotFoundError:
            if not place.is_dir():
                raise
            raise DiskError(
                f"{place} is not shared: it has no {SHARED_FOLDER}",
                hint="is it mounted, and the place itself, not a folder in it? the home that writes there shares it: "
                "`p2phub share PLACE`",
            ) from None
        try:
            with open_for_reading(CATALOGUE, dir_fd=folder) as file:
                # Opened, not only looked at: so a network file system asks its server how the file is now.
                found = fingerprint(os.fstat(file.fileno()))
                if found == known:
                    return None
                data = file.read(limits.SHARED_CATALOGUE_BYTES_MAX + 1)
        finally:
            os.close(folder)
    try:
        return found, decode_catalogue(data)
    except Damaged as error:
        raise Damaged(f"{place}: {error.message}", hint=error.hint or "ask whoever shares it") from error


def read_blob(place: Path, digest: Digest) -> bytes | None:
    """Return a blob that `place` has, whose digest was just checked; None if it has none that is right."""
    try:
        folder = _open_folder(place)
        try:
            blobs = os.open(BLOBS, FOLDER_FLAGS, dir_fd=folder)
            try:
                data = read_regular(digest.raw.hex(), BLOB_BYTES_MAX + 1, dir_fd=blobs)
            finally:
                os.close(blobs)
        finally:
            os.close(folder)
    except OSError:  # Not there, not readable, no file: others may have it.
        return None
    return data if len(data) <= BLOB_BYTES_MAX and digest_of(data) == digest else None


def _open_folder(place: Path) -> int:
    """Open what `place` has beside its files. The way to the place is the user's, and may be by links."""
    root = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return os.open(SHARED_FOLDER, FOLDER_FLAGS, dir_fd=root)
    finally:
        os.close(root)
