"""Where the files of a fetch stand, and how whole ones get to their place without replacing what stands there.

A file is WANTED (unfinished, under its number in `.p2phub/`), PLACED by us, or KEPT: it was there before, equal, and is
the user's. What stands in the way of a whole file is settled at the end: equal by then, gone by then, replaced if the
user said so, or refused. One thread at a time (the one that syncs), but for reading `state`.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Sequence

from p2phub.content import ChunkTable
from p2phub.errors import ContentChanged, Occupied
from p2phub.manifest import Manifest
from p2phub.store.destination import Destination
from p2phub.store.disk import ONE_BY_ONE_MAX, WRITE_FLAGS, Disk
from p2phub.store.fingerprints import Fingerprint, Fingerprints
from p2phub.store.folders import Tree, fingerprint, open_regular
from p2phub.store.journal import FileId, Identity
from p2phub.store.mapped import shows_writes
from p2phub.store.rehash import is_equal
from p2phub.store.selected import Selected
from p2phub.store.survey import Survey

WANTED, PLACED, KEPT = range(3)
_AS_PLACED_BYTES = len(Fingerprint(0, 0, 0, 0, 0).but_ctime())


class Places:
    """The places of one fetch. Methods raise OSError."""

    def __init__(
        self,
        disk: Disk,
        manifest: Manifest,
        table: ChunkTable,
        destination: Destination,
        survey: Survey,
        *,
        force: bool,
        selected: Selected | None = None,
    ) -> None:
        self._selected = None if selected is None else selected.files
        self._disk = disk
        self._manifest = manifest
        self._table = table
        self._destination = destination
        self._force = force
        self._in_the_way = survey.in_the_way.keys()
        self._late: set[int] = set()  # Whole, but something stands in their place: for `settle`.
        self._placed_before = survey.placed.keys()
        self.kept = dict(survey.kept)
        self.state = bytearray(table.files)
        self._as_placed = bytearray(_AS_PLACED_BYTES * table.files)  # Packed: there may be a million.
        for file, identity in survey.placed.items():
            self.state[file] = PLACED
            self._note_placed(file, Fingerprint(*identity, 0))
        for file in survey.kept:
            self.state[file] = KEPT

    def goes(self, file: int) -> bool:
        """Whether `file` is to go to its place, once it is whole."""
        return self.state[file] == WANTED and (self._selected is None or file in self._selected)

    def path(self, file: int) -> str:
        return self._manifest.files[file].path

    def identities(self, files: Sequence[int]) -> dict[int, Identity]:
        """Return by what those of `files` will be known that are about to be placed."""
        partials = self._destination.partials
        in_the_way, stat_of, identity_of, note = self._in_the_way, os.stat, Identity.of, self._note_placed
        identities: dict[int, Identity] = {}
        for file in files:
            if file not in in_the_way:
                status = stat_of(str(file), dir_fd=partials, follow_symlinks=False)
                note(file, fingerprint(status))
                identities[file] = identity_of(status)
        return identities

    def lying(self, files: Iterable[int]) -> dict[int, FileId]:
        """Return which file lies under the number of each of `files`, which are unfinished."""
        partials = self._destination.partials
        return {file: Identity.of(os.stat(str(file), dir_fd=partials, follow_symlinks=False)).id for file in files}

    def make_folders(self, files: Iterable[int]) -> None:
        """Make the folders that `files` go to, and make them durable.

        Before anything is renamed into them: else a power cut could keep the rename and lose the folder, file and all.
        """
        folders = {self.path(file).rpartition("/")[0] for file in files if file not in self._in_the_way}
        for folder in sorted(folders):
            with contextlib.suppress(FileExistsError, NotADirectoryError):
                self._destination.tree.folder(folder, make=True)
        self._destination.tree.flush_made(one_by_one_max=ONE_BY_ONE_MAX)

    def place(self, waiting: list[int]) -> None:
        """Move whole, durable files to their places, the last of `waiting` first, and take each off it that is done
        with. What something stands in the way of is left for `settle`."""
        tree, partials, files = self._destination.tree, self._destination.partials, self._manifest.files
        state, in_the_way, rename_new = self.state, self._in_the_way, self._disk.rename_new
        at: str | None = None  # The folder that `folder_fd` is: neighbours are moved without a look at the tree.
        folder_fd = -1
        while waiting:
            file = waiting[-1]
            folder, _, name = files[file].path.rpartition("/")
            if file in in_the_way:
                self._late.add(file)
                waiting.pop()
                continue
            state[file] = PLACED  # Before it is: who opens it from now on must not make its number anew.
            try:
                if folder != at:
                    folder_fd, at = tree.folder(folder, make=True), folder
                    tree.changed.add(folder)
                rename_new(str(file), name, source_fd=partials, target_fd=folder_fd)
            except (FileExistsError, NotADirectoryError):
                state[file] = WANTED
                self._late.add(file)
            except OSError:
                state[file] = WANTED
                raise
            waiting.pop()

    def place_empty(self) -> None:
        """Make and place the empty files, of which no chunk ever came."""
        files = enumerate(self._manifest.files)
        empty = [file for file, entry in files if entry.size == 0 and self.goes(file)]
        self.make_folders(empty)
        for file in empty:
            os.close(self._disk.open(str(file), WRITE_FLAGS | os.O_CREAT, dir_fd=self._destination.partials))
        self.place(empty[::-1])

    def settle(self) -> None:
        """Settle what stood in the way. Raises Occupied for what still does and may not be replaced."""
        refused: list[str] = []
        for file in sorted(self._late):
            path = self.path(file)
            try:
                status = self._destination.tree.status(path)
            except NotADirectoryError:
                refused.append(path)
                continue
            if status is not None and stat.S_ISREG(status.st_mode) and self._is_equal(file, path):
                self.state[file] = KEPT
                self.kept[file] = fingerprint(status)
            elif status is not None and (stat.S_ISDIR(status.st_mode) or not self._force):
                refused.append(path)
                continue
            else:
                folder_fd, name = self._destination.tree.place(path, make=True)
                whole = os.stat(str(file), dir_fd=self._destination.partials, follow_symlinks=False)
                self._note_placed(file, fingerprint(whole))
                # What is gone may be there again by now: only the user's word lets anything be replaced.
                move = self._disk.replace if self._force else self._disk.rename_new
                try:
                    move(str(file), name, source_fd=self._destination.partials, target_fd=folder_fd)
                except FileExistsError:
                    refused.append(path)
                    continue
                self._destination.tree.note(path)
                self.state[file] = PLACED
            self._late.discard(file)
        if refused:
            raise Occupied(
                f"{self._destination.folder} got other files where these go, while they were fetched: "
                + ", ".join(refused[:3]),
                hint="move them away and run the same command, or replace them with --force",
            )

    def make_durable(self) -> None:
        """Make the places durable, those of an earlier attempt too, and the files that were there: whoever wrote those
        may never have synced them."""
        for file in (*self.kept, *self._placed_before):
            self._destination.tree.note(self.path(file))
        if len(self.kept) <= ONE_BY_ONE_MAX or not self._disk.syncfs(self._destination.root):
            for file in sorted(self.kept):
                folder_fd, name = self._destination.tree.place(self.path(file))
                fd = open_regular(name, dir_fd=folder_fd)
                try:
                    self._disk.fdatasync(fd)
                finally:
                    os.close(fd)
        self._destination.tree.flush(one_by_one_max=ONE_BY_ONE_MAX)

    def standing(self) -> Sequence[int]:
        """Return the files that stand at their place, by number, once all that go there do."""
        if self._selected is None:
            return range(len(self.state))
        return [file for file, state in enumerate(self.state) if state != WANTED]

    def is_as_it_was(self, file: int, found: Fingerprint) -> bool:
        """Whether what stands at the place of `file`, and is `found` so, is what was placed or kept there, left alone.

        Of ours all but the ctime is compared, which the rename changed; nothing else that a fetch does to a file after
        its last byte was made durable leaves a trace in these.
        """
        if self.state[file] == KEPT:
            return found == self.kept[file]
        at = _AS_PLACED_BYTES * file
        is_empty = not self._manifest.files[file].size  # Has no other content, and is placed with no note.
        return is_empty or found.but_ctime() == self._as_placed[at : at + _AS_PLACED_BYTES]

    def fingerprints(self) -> Fingerprints:
        """Return what stands at the places of those. What is not as it was there is made durable and read again.

        Every folder is opened anew by its path, since that is what will be recorded: one that was moved takes the files
        with it. Raises ContentChanged if a file is not there, or not right any more; DiskError if all were moved.
        """
        self._destination.need_place()
        tree = Tree(self._disk, self._destination.root)
        try:
            return self._fingerprints(tree)
        finally:
            tree.close()

    def _fingerprints(self, tree: Tree) -> Fingerprints:
        found = Fingerprints()
        at: str | None = None
        folder_fd = -1
        for file in self.standing():
            entry = self._manifest.files[file]
            folder, _, name = entry.path.rpartition("/")
            now: Fingerprint | None = None
            why = "was changed"
            try:
                if folder != at:
                    folder_fd, at = tree.folder(folder), folder
                status = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
                if stat.S_ISREG(status.st_mode) and status.st_size == entry.size:
                    now = fingerprint(status)
            except (FileNotFoundError, NotADirectoryError):
                why = "was moved or removed, or a folder on the way to it,"
            if now is not None and not self.is_as_it_was(file, now):
                now = self._read_again(file, name, folder_fd)
            if now is None:
                raise ContentChanged(
                    f"{self._destination.folder / entry.path} {why} while the rest was fetched",
                    hint="run the same command again",
                )
            found.append(now)
        return found

    def _note_placed(self, file: int, found: Fingerprint) -> None:
        at = _AS_PLACED_BYTES * file
        self._as_placed[at : at + _AS_PLACED_BYTES] = found.but_ctime()

    def _read_again(self, file: int, name: str, folder_fd: int) -> Fingerprint | None:
        """Return how a file of the right length is that somebody was at, if its content is right nevertheless: it was
        touched, or an equal one was put in its place; or this file system gives times or numbers anew."""
        fd = open_regular(name, dir_fd=folder_fd)
        try:
            self._disk.fdatasync(fd)
            before = fingerprint(os.fstat(fd))
            right = before.size == self._manifest.files[file].size and is_equal(fd, self._table, file)
            return before if right and fingerprint(os.fstat(fd)) == before else None
        finally:
            os.close(fd)

    def _is_equal(self, file: int, path: str) -> bool:
        folder_fd, name = self._destination.tree.place(path)
        fd = open_regular(name, dir_fd=folder_fd)
        try:
            shows_writes(fd)
            has_size = os.fstat(fd).st_size == self._manifest.files[file].size
            return has_size and is_equal(fd, self._table, file, lambda chunk: None)  # Unreadable is not equal.
        finally:
            os.close(fd)
