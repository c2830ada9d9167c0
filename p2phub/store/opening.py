"""How files of a holding are opened for serving: each as it was when it was hashed, wherever it stands."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from p2phub.content import InFolder, Readable, Walker
from p2phub.errors import ContentChanged
from p2phub.manifest import FileEntry, Manifest
from p2phub.store.database import DOUBTED, TRUSTED
from p2phub.store.fingerprints import Fingerprint, Fingerprints
from p2phub.store.folders import FolderWalk, OpenFile, open_place, open_published
from p2phub.store.index import FileRow, HoldingRow
from p2phub.store.source import folder_below, place_of


class Opener:
    """Opens files of a holding for serving, each as it was when it was hashed."""

    def __init__(self, files: Iterable[FileRow], manifest: Manifest, folder: Path) -> None:
        self._manifest = manifest
        self._folder = folder
        self._rows = Fingerprints()
        self._row_of = array("q", (-1,)) * len(manifest.files)  # -1 where a file is in doubt.
        self._trusted = bytearray(len(manifest.files))
        self.places: dict[int, bytes] = {}
        for each in files:
            if each.standing != DOUBTED and each.fingerprint is not None and each.number < len(manifest.files):
                self._row_of[each.number] = len(self._rows)
                self._rows.append(each.fingerprint)
                self._trusted[each.number] = each.standing == TRUSTED
                if each.place is not None:
                    self.places[each.number] = each.place

    def __call__(self, file: int) -> Readable:
        path, expected = self.expected(file)
        if file in self.places:
            return open_place(os.fsdecode(self.places[file]), expected)
        return open_published(self._folder, path, expected)

    def has(self, file: int) -> bool:
        """Whether a file is not in doubt."""
        return self._row_of[file] >= 0

    def trusts(self, file: int) -> bool:
        """Whether its fingerprint alone tells that it is what was hashed."""
        return bool(self._trusted[file])

    def path(self, file: int) -> Path:
        """Return where a file stands."""
        place = self.places.get(file)
        return self._folder / self._manifest.files[file].path if place is None else Path(os.fsdecode(place))

    def expected(self, file: int) -> tuple[str, Fingerprint]:
        """Return the path of a file, and how it must be found. Raises ContentChanged for one in doubt."""
        row, path = self._row_of[file], self._manifest.files[file].path
        if row < 0:
            raise ContentChanged(f"{self._folder / path} is not known to be what was hashed")
        return path, self._rows[row]

    def walks(self) -> Walker:
        return _Walker(self, self._folder)


class Borrower(Opener):
    """Opens the files of an attached place (`place`, in the folder `below` it) to copy from: one in doubt, too, as it
    stands now, since each chunk is hashed as it is copied. No link on the way leads out of the place."""

    def __init__(self, files: Iterable[FileRow], manifest: Manifest, place: Path, below: str) -> None:
        super().__init__(files, manifest, place / below)
        self._place = place
        self._below = below

    def __call__(self, file: int) -> Readable:
        expected = self.expected(file)[1] if self.trusts(file) else None
        return open_published(self._place, below(self._below, self._manifest.files[file].path), expected)

    def has(self, file: int) -> bool:
        return True


def below(folder: str, path: str) -> str:
    """Return the path of something in a folder below a place: "" is the place itself."""
    return f"{folder}/{path}" if folder else path


class Alone(msgspec.Struct, frozen=True):
    """Opens the one file of a file alone where it stands in a holding."""

    opener: Opener
    number: int

    def __call__(self, file: int) -> Readable:
        assert file == 0
        return self.opener(self.number)


class _Walker:
    """`content.Walker` over the files of a holding."""

    def __init__(self, opener: Opener, folder: Path) -> None:
        self._opener = opener
        self._walk = FolderWalk(folder)

    def expect(self, files: Sequence[int]) -> None:
        pass

    def open(self, file: int) -> Readable:
        return self._walk.open(*self._opener.expected(file))

    def in_folder(self, file: int) -> InFolder | None:
        path, expected = self._opener.expected(file)
        return self._walk.in_folder(path, expected)

    def close(self) -> None:
        self._walk.close()


def open_in(row: HoldingRow, entry: FileEntry, known: FileRow | None, expected: Fingerprint | None = None) -> OpenFile:
    """Open a file of a holding where it stands, as it is now, or only as it is `expected`. Raises ContentChanged,
    DiskError."""
    if known is not None and known.place is not None:
        return open_place(os.fsdecode(known.place), expected)
    place = place_of(row)
    if place is not None:  # Nothing in the place may lead out of it, the folder itself included.
        return open_published(place, below(folder_below(row, place), entry.path), expected)
    return open_published(row.folder, entry.path, expected)
