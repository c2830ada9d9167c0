"""The snapshot of one commit in a Hugging Face cache: links to blobs, or where there are none, the files themselves.

With links a new snapshot is made beside and renamed, and so appears whole; one that is there gets what it lacks, and a
file that stands in it itself, from when there were no links, stays and is used. Without links files are put there one
by one: the client has them so (it moves or copies a blob there), and its listing says what is missing meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from p2phub.errors import Occupied
from p2phub.store.clone import Stopped
from p2phub.store.disk import FOLDER_FLAGS, ONE_BY_ONE_MAX, Disk
from p2phub.store.folders import Tree
from p2phub.store.materialise.placer import Placer
from p2phub.store.materialise.source import Source
from p2phub.store.materialise.staging import Staging


class Snapshot:
    """That of `commit` in the repository `tree`, which errors call `shown`. Of `files` all are here. Methods raise
    OSError, Occupied for what stands there and is something else, Stopped."""

    def __init__(
        self,
        disk: Disk,
        staging: Staging,
        tree: Tree,
        placer: Placer,
        *,
        commit: str,
        files: Sequence[Source],
        shown: Path,
        stopped: Callable[[], bool],
    ) -> None:
        self._disk = disk
        self._staging = staging
        self._tree = tree
        self._placer = placer
        self._commit = commit
        self._files = files
        self._shown = shown
        self._stopped = stopped

    def files_in_place(self) -> set[str]:
        """Return the paths of files that stand in the snapshot themselves, and are right: they need no blob."""
        found: set[str] = set()
        for file in self._files:
            path = self._path(file)
            try:
                status = self._tree.status(path)
            except OSError as exc:
                if exc.errno not in (errno.ENOTDIR, errno.ELOOP):
                    raise
                continue  # Said when it is to be put there.
            if status is not None and stat.S_ISREG(status.st_mode) and self._placer.holds(path, file):
                found.add(file.path)
        return found

    def put_files(self) -> None:
        """Have the files themselves stand there."""
        self._placer.bring((self._path(file), file) for file in self._files)

    def put_links(self, names: Mapping[str, str]) -> None:
        """Have links stand there, to the blobs that `names` says by path."""
        if not self._make(names):
            self._complete(names)

    def _make(self, names: Mapping[str, str]) -> bool:
        """Make the snapshot beside, and let it have its place. Returns False if something is there already."""
        commit = self._commit
        folder, _ = self._tree.place(f"snapshots/{commit}")
        with contextlib.suppress(FileNotFoundError):
            os.stat(commit, dir_fd=folder, follow_symlinks=False)
            return False
        made = self._staging.new_name()
        self._disk.mkdir(made, dir_fd=self._staging.fd)
        fd = os.open(made, FOLDER_FLAGS, dir_fd=self._staging.fd)
        below = Tree(self._disk, fd)
        try:
            for file in self._files:
                self._look_up()
                at, name = below.place(file.path, make=True)
                self._disk.symlink(_target(file.path, names[file.path]), name, dir_fd=at)
                below.note(file.path)
            below.flush(one_by_one_max=ONE_BY_ONE_MAX)
        finally:
            below.close()
            os.close(fd)
        folder, _ = self._tree.place(f"snapshots/{commit}")
        try:
            self._disk.rename_new(made, commit, source_fd=self._staging.fd, target_fd=folder)
        except FileExistsError:
            return False
        return True

    def _complete(self, names: Mapping[str, str]) -> None:
        """Give a snapshot that is there the links that it lacks. Raises Occupied for what stands there and is wrong."""
        for file in self._files:
            self._look_up()
            path = self._path(file)
            try:
                folder, name = self._tree.place(path, make=True)
            except OSError as exc:
                if exc.errno not in (errno.ENOTDIR, errno.ELOOP):
                    raise
                raise self._in_the_way(path) from exc
            note_way(self._tree, path)
            target = _target(file.path, names[file.path])
            try:
                self._disk.symlink(target, name, dir_fd=folder)
            except FileExistsError:
                if not stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                    self._placer.holds(path, file)  # A file itself, from when there were no links here.
                elif (found := os.readlink(name, dir_fd=folder)) != target:
                    # The client, which knows what is in LFS, may have called the blob by its other name.
                    blob = found.rpartition("/")[2]
                    other = (file.sha256.hex(), file.git_sha1.hex() if file.git_sha1 is not None else None)
                    if blob not in other or found != _target(file.path, blob):
                        raise self._in_the_way(path) from None
                    if not self._placer.holds(f"blobs/{blob}", file):
                        raise self._in_the_way(path) from None

    def _path(self, file: Source) -> str:
        return f"snapshots/{self._commit}/{file.path}"

    def _look_up(self) -> None:
        if self._stopped():
            raise Stopped

    def _in_the_way(self, path: str) -> Occupied:
        return Occupied(
            f"{self._shown / path} is something else than this commit has there, and is not replaced",
            hint="move it away, or remove this revision (hf cache rm), then run the same command again",
        )


def note_way(tree: Tree, path: str) -> None:
    """Note each entry on the way to `path`, for the next sync of folders: a client that made it never synced it."""
    while path:
        tree.note(path)
        path = path.rpartition("/")[0]


def _target(path: str, blob: str) -> str:
    """Return what the link at `path` in a snapshot says: the way from its folder to the blob."""
    return "../" * (path.count("/") + 2) + f"blobs/{blob}"
