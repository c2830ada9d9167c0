"""Files of a fetch that this home holds whole already get one more name, where the user asked for it (`fetch --link`).

Then both names are one file: it takes no room and no time, and whoever edits it by one name has changed the other. So
it is done with files alone that the user fetched, published, or has in the home's own store; never with what another
program owns, under whatever name (adopted files, and what was given to a Hugging Face cache), with another user's, or
with what can be run. All of those, and what lies on another file system, are cloned or copied as ever.

A file is right before it is linked: by its fingerprint if that can be trusted, else every chunk of it is hashed now. It
gets its name beside the unfinished files, and its place by a rename that replaces nothing. After that it is a file that
stood there already. The link changes its ctime, so all holdings of it are recorded anew.
Source: docs/decisions/0098.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator

import msgspec

from p2phub.content import ChunkTable, RangeSet, Readable
from p2phub.errors import ContentChanged, DiskError
from p2phub.formats import is_code
from p2phub.manifest import FileEntry, Manifest
from p2phub.store.clone import link_file
from p2phub.store.destination import MADE, Destination
from p2phub.store.disk import Disk
from p2phub.store.fingerprints import Fingerprint
from p2phub.store.folders import NotAFile, Tree, fingerprint, open_regular
from p2phub.store.holding import Origin
from p2phub.store.holdings import Holdings
from p2phub.store.index import HoldingRow
from p2phub.store.interface import Judge
from p2phub.store.judging import Judging
from p2phub.store.mapped import shows_writes
from p2phub.store.noting import root_key
from p2phub.store.opening import Opener
from p2phub.store.rehash import is_equal
from p2phub.store.selected import Selected
from p2phub.store.survey import Survey


class _Source(msgspec.Struct, frozen=True):
    """An open file, and whether its fingerprint alone tells that it is what was hashed."""

    file: Readable
    trusted: bool


LINKABLE = {Origin.OWN, Origin.FETCHED, Origin.PUBLISHED}
_NAME = f"{MADE}link"


class Linker:
    """For one arrival: `link` before it begins, then `record`, or `undo` if it could not begin. Methods block."""

    def __init__(self, holdings: Holdings, disk: Disk, judge: Judge | None) -> None:
        self._holdings = holdings
        self._disk = disk
        self._judge = judge
        self._rows = {row.id: row for row in holdings.index.holdings()}
        self._openers: dict[int, Opener | None] = {}
        self._changed: list[tuple[int | None, Fingerprint, Fingerprint]] = []  # Root, as it was, as it is.
        self._linked: list[tuple[str, Fingerprint]] = []
        self._folders: list[str] = []  # That are made for them.

    def link(
        self,
        manifest: Manifest,
        table: ChunkTable,
        destination: Destination,
        survey: Survey,
        selected: Selected | None,
    ) -> None:
        """Link what can be of the files that are to go to a place where nothing stands, and note them in `survey` as
        files that stand there. Raises OSError, DiskError for what is wrong with the destination."""
        busy = {*survey.placed, *survey.kept, *survey.in_the_way, *survey.blocked, *survey.partial}
        for number in range(table.files) if selected is None else selected.files:
            entry = manifest.files[number]
            if number in busy or not entry.size or is_code(entry.path):
                continue
            for source in self._sources(entry):
                try:
                    now = self._link(entry, table, number, source, destination)
                finally:
                    source.file.close()
                if now is not None:
                    survey.kept[number] = now
                    break
        survey.whole |= RangeSet.of(table.span(number) for number in survey.kept.keys() - busy)

    def record(self) -> None:
        """Record what is held by the names that were there before as it is now."""
        if self._changed:
            self._holdings.index.renew(self._changed)

    def undo(self, destination: Destination) -> None:
        """Take the names away again that were given, and the folders made for them, as far as that can be.

        What is held by the names that were there before is recorded as it is then, if the index takes it: raises
        nothing, since whoever undoes has an error of its own to tell.
        """
        for path, known in self._linked:
            with contextlib.suppress(OSError, NotAFile):
                self._unlink(path, known, destination)
        for path in reversed(self._folders):
            with contextlib.suppress(OSError):
                folder, name = destination.tree.place(path)
                self._disk.rmdir(name, dir_fd=folder)
        with contextlib.suppress(DiskError):  # Then they are in doubt until somebody looks again.
            self.record()

    def _unlink(self, path: str, known: Fingerprint, destination: Destination) -> None:
        """Take a name away from what still is as it was linked, which changes its ctime once more. Raises OSError,
        NotAFile."""
        folder, name = destination.tree.place(path)
        fd = open_regular(name, dir_fd=folder)
        try:
            if fingerprint(os.fstat(fd)) != known:
                return
            self._disk.unlink(name, dir_fd=folder)
            now = fingerprint(os.fstat(fd))
        finally:
            os.close(fd)
        self._changed = [(root, was, now if is_ == known else is_) for root, was, is_ in self._changed]

    def _sources(self, entry: FileEntry) -> Iterator[_Source]:
        """Yield the files that should be what is wanted, each as it was when it was hashed."""
        for holding, file in self._holdings.contents.files_with(entry.root):
            row = self._rows.get(holding)
            if row is None or row.origin not in LINKABLE:
                continue
            try:
                manifest = self._holdings.manifests.manifest(row.manifest)
                opener = self._opener(row)
            except DiskError:  # It is not known what that has: it is copied, or fetched.
                continue
            other = None if manifest is None or file >= len(manifest.files) else manifest.files[file]
            if other is None or (other.root, other.size) != (entry.root, entry.size):
                continue
            if opener is None or not opener.has(file) or file in opener.places:
                continue
            try:
                opened = opener(file)
            except DiskError:  # It changed, or is not there.
                continue
            yield _Source(opened, opener.trusts(file))

    def _opener(self, row: HoldingRow) -> Opener | None:
        if row.id not in self._openers:
            self._openers[row.id] = self._holdings.opener(row)
        return self._openers[row.id]

    def _link(
        self, entry: FileEntry, table: ChunkTable, number: int, source: _Source, destination: Destination
    ) -> Fingerprint | None:
        fd = source.file.descriptor
        was = fingerprint(os.fstat(fd))
        if not source.file.unchanged() or not self._is_right(entry, table, number, source):
            return None
        with contextlib.suppress(FileNotFoundError):  # Of an attempt that was killed.
            self._disk.unlink(_NAME, dir_fd=destination.partials)
        try:
            if not link_file(self._disk, fd, was, destination.partials, _NAME, entry.path, sync=True):
                return None
        except ContentChanged:  # Meanwhile: then it is not what was looked at.
            return None
        self._folders += _missing_above(entry.path, destination.tree)
        folder, name = destination.tree.place(entry.path, make=True)
        destination.tree.note(entry.path)
        self._disk.rename_new(_NAME, name, source_fd=destination.partials, target_fd=folder)
        now = fingerprint(os.stat(name, dir_fd=folder, follow_symlinks=False))
        self._changed.append((root_key(entry), was, now))
        self._linked.append((entry.path, now))
        return now

    def _is_right(self, entry: FileEntry, table: ChunkTable, number: int, source: _Source) -> bool:
        """Whether it may get the name: what it is, whose, and that loading it runs nothing that was not allowed."""
        fd = source.file.descriptor
        status = os.fstat(fd)
        if status.st_size != entry.size or status.st_mode & (stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH):
            return False
        if status.st_nlink > 1 and self._holdings.index.is_adopted(status.st_dev, status.st_ino):
            return False
        if not source.trusted:
            shows_writes(fd)
            if not is_equal(fd, table, number):
                return False
        return Judging(self._judge, lambda _: entry.path).allows(number, entry.size, fd)


def _missing_above(path: str, tree: Tree) -> list[str]:
    """Return the folders on the way to `path` that are not there."""
    return [path[:at] for at, letter in enumerate(path) if letter == "/" and tree.status(path[:at]) is None]
