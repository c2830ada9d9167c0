"""Write files that are here into a Hugging Face cache, as its own client would have left them: it works offline then.

    CACHE/CACHEDIR.TAG
    CACHE/.locks/models--ORG--NAME/<blob>.lock      the client's, by flock: held while a large blob is brought
    CACHE/models--ORG--NAME/
      blobs/<blob>                                  SHA-256 of the file, or its git SHA-1
      trees/<commit>.json                           the complete listing (materialise.listing)
      snapshots/<commit>/<path> -> ../../blobs/<blob>
      refs/<ref>                                    the commit
      .p2phub-new-<uid>/                            ours, while we are at it (materialise.staging)

The order: blobs, listing, snapshot, ref, each durable before the next. So a crash leaves blobs that nothing names, or a
listing by which the client sees what is missing, or all of it. A new snapshot is made beside and renamed, and so
appears whole. Nothing that stands there is replaced but the ref, as the client does it; what stands there and is right
is used, after it was read. Running it again completes what was begun.
Where no symbolic links can be (FAT), files stand in the snapshot itself, as the client has it there.
Source: huggingface_hub 2.4 (`file_download.py`, `_snapshot_download.py`, `utils/_cache_manager.py`).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from p2phub import limits
from p2phub.errors import Malformed, Occupied, UsageError
from p2phub.manifest import check_path, check_paths
from p2phub.store.clone import How, Stopped, never
from p2phub.store.disk import FOLDER_FLAGS, READ_FLAGS, WRITE_FLAGS, Disk, disk_errors, read_regular
from p2phub.store.folders import Tree, open_destination
from p2phub.store.materialise.listing import Listed, decode_listing, encode_listing, listed, listing_bytes_max
from p2phub.store.materialise.placer import ONE_BY_ONE_MAX, Placer
from p2phub.store.materialise.source import Linked, Source, tell_nobody
from p2phub.store.materialise.staging import Staging

REPO_TYPES = ("model", "dataset", "space", "kernel")
TAG = "CACHEDIR.TAG"
TAG_TEXT = (
    b"Signature: 8a477f597d28d172789f06886806bc55\n"
    b"# This file is a cache directory tag created by p2phub, as huggingface_hub does.\n"
    b"# For information about cache directory tags, see:\n"
    b"#\thttps://bford.info/cachedir/\n"
)
LOCKS = ".locks"
_REPO_PART = r"(?=[\w.-]{1,96}(?:/|$))\w(?:[\w.-]*\w)?"  # As the client has it.
_REPO = re.compile(rf"(?:{_REPO_PART}/)?{_REPO_PART}", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


class HfPlace(msgspec.Struct, frozen=True):
    """One commit of one repository in one cache. `repo` is "org/name" (or "name"), `commit` 40 hex digits.

    `ref`: the branch or tag that is to lead to it from now on; None: it is found by its commit alone.
    """

    cache: Path
    repo: str
    commit: str
    repo_type: str = "model"
    ref: str | None = "main"

    @property
    def folder(self) -> str:
        """What the repository's folder in the cache is called."""
        return "--".join((f"{self.repo_type}s", *self.repo.split("/")))

    @property
    def snapshot(self) -> Path:
        """Where its files are found."""
        return self.cache / self.folder / "snapshots" / self.commit

    def check(self) -> None:
        """Raise UsageError for what the client would not accept, or that no path may be made of."""
        if self.repo_type not in REPO_TYPES:
            raise UsageError(f"{self.repo_type!r} is no kind of repository", hint="one of " + ", ".join(REPO_TYPES))
        if not _REPO.fullmatch(self.repo) or "--" in self.repo or ".." in self.repo or self.repo.endswith(".git"):
            raise UsageError(f"{self.repo!r} cannot be a repository's name on the hub", hint="name it as ORG/NAME")
        if not _COMMIT.fullmatch(self.commit):
            raise UsageError(f"{self.commit!r} is no commit: 40 hex digits")
        if self.ref is not None:
            try:
                check_path(self.ref)
            except Malformed as exc:
                raise UsageError(f"{self.ref!r} cannot be a branch or tag: {exc.what}") from exc


def write_snapshot(
    disk: Disk,
    place: HfPlace,
    files: Sequence[Source],
    *,
    link: bool,
    stopped: Callable[[], bool] = never,
    linked: Linked = tell_nobody,
) -> Path:
    """Have the cache hold `files`, all that the commit has, and return its folder `snapshots/<commit>`. Blocks.

    `link`: files of ours may become blobs by a hard link, else they are cloned or copied; `linked` is told of each.
    A file whose source cannot be opened (None) is listed only: the client then says what is missing, or gets it.
    Raises UsageError for a place that cannot be; Malformed for paths that no manifest may have; Occupied for what
    stands there and is something else, or for another process of ours that is at it; ContentChanged, DiskFull,
    DiskError; Stopped. Whatever it raises, running it again goes on from there.
    """
    place.check()
    check_paths(file.path for file in files)  # Who made the manifest checked it; the disk's safety rests on it.
    with disk_errors(f"write to {place.cache}"), contextlib.ExitStack() as stack:
        # Links to the cache and above it are how its user placed it.
        cache_fd, _ = open_destination(disk, Path(os.path.realpath(place.cache)))
        stack.callback(os.close, cache_fd)
        with contextlib.suppress(FileExistsError):
            disk.mkdir(place.folder, dir_fd=cache_fd)
        repo_fd = os.open(place.folder, FOLDER_FLAGS, dir_fd=cache_fd)
        stack.callback(os.close, repo_fd)
        staging = Staging(disk, repo_fd, place.cache / place.folder)
        stack.callback(staging.close)
        tree = Tree(disk, repo_fd)
        stack.callback(tree.close)
        _Writing(disk, place, files, cache_fd, staging, tree, link=link, stopped=stopped, linked=linked).write()
    return place.snapshot


class _Writing:
    """One run, on folders that are open and locked."""

    def __init__(
        self,
        disk: Disk,
        place: HfPlace,
        files: Sequence[Source],
        cache_fd: int,
        staging: Staging,
        tree: Tree,
        *,
        link: bool,
        stopped: Callable[[], bool],
        linked: Linked,
    ) -> None:
        self._disk = disk
        self._place = place
        self._files = files
        self._here = [file for file in files if file.open is not None]
        self._cache = cache_fd
        self._staging = staging
        self._tree = tree
        self._stopped = stopped
        self._shown = place.cache / place.folder
        self._placer = Placer(
            disk,
            staging,
            tree,
            self._shown,
            how=How.LINK if link else How.CLONE,
            stopped=stopped,
            linked=linked,
            follow=True,  # A blob may lie in the store that all repositories share.
            guard=self._client_lock,
        )

    def write(self) -> None:
        self._tag()
        self._disk.fsync(self._cache)  # Files of ours may be moved here: their folder must outlive a power cut.
        standing = self._read_listing()
        names = {file.path: self._blob_of(file, standing) for file in self._files}
        links = self._takes_links()
        if links:
            self._placer.bring((f"blobs/{names[file.path]}", file) for file in self._here)
        # The client takes a cache without one of these for broken.
        for path in ("blobs/", "trees/", f"snapshots/{self._place.commit}", f"refs/{self._place.ref or ''}"):
            self._tree.place(path, make=True)
            self._note_way(path)
        if standing is None:
            self._write_listing({file.path: listed(file, names[file.path]) for file in self._files})
        if not links:
            self._placer.bring((f"snapshots/{self._place.commit}/{file.path}", file) for file in self._here)
        elif not self._make_snapshot(names):
            self._complete_snapshot(names)
        self._placer.flush()
        if self._place.ref is not None:
            self._write_ref(f"refs/{self._place.ref}")

    def _note_way(self, path: str) -> None:
        """Note each entry on the way to `path`, for the next sync of folders: a client that made it never synced it."""
        while path:
            self._tree.note(path)
            path = path.rpartition("/")[0]

    def _tag(self) -> None:
        """Tell backup programs that this is a cache, if nobody has: as the client does whenever it writes."""
        try:
            os.stat(TAG, dir_fd=self._cache, follow_symlinks=False)
        except FileNotFoundError:
            name = self._staging.write(TAG_TEXT)
            with contextlib.suppress(FileExistsError):
                self._disk.rename_new(name, TAG, source_fd=self._staging.fd, target_fd=self._cache)

    # --- what things are called ----------------------------------------------------------------------------------

    def _read_listing(self) -> dict[str, Listed] | None:
        """Return the listing that stands there, synced; None if there is none that the client would read.

        Raises Occupied if it lists other files than ours.
        """
        path = f"trees/{self._place.commit}.json"
        most = listing_bytes_max(self._files)
        try:
            folder, name = self._tree.place(path)
            data = read_regular(name, most + 1, dir_fd=folder)
        except FileNotFoundError:
            return None
        standing = decode_listing(data, self._shown / path) if len(data) <= most else {}
        if standing is None:
            return None
        differing = next((file.path for file in self._files if not _agrees(standing.get(file.path), file)), None)
        if differing is None and len(standing) != len(self._files):
            differing = next(iter(standing.keys() - {file.path for file in self._files}), "more than that")
        if differing is not None:
            raise Occupied(
                f"{self._shown / path} says that the commit has other files: {differing!r} differs",
                hint="this commit of the repository holds something else; name another repository or cache",
            )
        fd = os.open(name, READ_FLAGS, dir_fd=folder)
        try:
            self._disk.fdatasync(fd)  # The client never does.
        finally:
            os.close(fd)
        return standing

    def _blob_of(self, file: Source, standing: dict[str, Listed] | None) -> str:
        """Return what the blob of a file is called.

        The hub's own files are in LFS (SHA-256) or not (git SHA-1), which a manifest does not say. What is listed here
        says it; else whatever blob is here says it; else small files are taken for what git holds, which most are.
        The client finds its way by the listing in any case.
        """
        if standing is not None:
            return standing[file.path].blob
        if file.git_sha1 is None or file.size >= limits.GIT_SHA1_FILE_BYTES_MAX:
            return file.sha256.hex()
        try:
            folder, name = self._tree.place(f"blobs/{file.sha256.hex()}")
            os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return file.git_sha1.hex()
        return file.sha256.hex()

    # --- listing, snapshot, ref ----------------------------------------------------------------------------------

    def _write_listing(self, files: dict[str, Listed]) -> None:
        """What stands there, if anything does, is nothing that the client reads, and it would write it anew, too."""
        self._replace(f"trees/{self._place.commit}.json", encode_listing(files))

    def _make_snapshot(self, names: dict[str, str]) -> bool:
        """Make the snapshot beside, and let it have its place. Returns False if something is there already."""
        commit = self._place.commit
        folder, _ = self._tree.place(f"snapshots/{commit}")
        with contextlib.suppress(FileNotFoundError):
            os.stat(commit, dir_fd=folder, follow_symlinks=False)
            return False
        made = self._staging.new_name()
        self._disk.mkdir(made, dir_fd=self._staging.fd)
        fd = os.open(made, FOLDER_FLAGS, dir_fd=self._staging.fd)
        below = Tree(self._disk, fd)
        try:
            for file in self._here:
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

    def _complete_snapshot(self, names: dict[str, str]) -> None:
        """Give a snapshot that is there the links that it lacks. Raises Occupied for what stands there and is wrong."""
        for file in self._here:
            self._look_up()
            path = f"snapshots/{self._place.commit}/{file.path}"
            try:
                folder, name = self._tree.place(path, make=True)
            except OSError as exc:
                if exc.errno not in (errno.ENOTDIR, errno.ELOOP):
                    raise
                raise self._in_the_way(path) from exc
            self._note_way(path)
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

    def _write_ref(self, path: str) -> None:
        """Let the ref lead to the commit, whatever it led to, as the client does when it moves on."""
        folder, name = self._tree.place(path)
        data = self._place.commit.encode()
        with contextlib.suppress(OSError):  # Whatever else stands there is no ref.
            if read_regular(name, len(data) + 1, dir_fd=folder) == data:
                fd = os.open(name, READ_FLAGS, dir_fd=folder)
                try:
                    self._disk.fdatasync(fd)
                finally:
                    os.close(fd)
                self._disk.fsync(folder)
                return
        self._replace(path, data)

    def _replace(self, path: str, data: bytes) -> None:
        """Let `data` stand at `path`, whole and durable, in place of whatever file is there."""
        made = self._staging.write(data)
        folder, name = self._tree.place(path)
        self._disk.replace(made, name, source_fd=self._staging.fd, target_fd=folder)
        self._disk.fsync(folder)

    # --- the rest ------------------------------------------------------------------------------------------------

    def _takes_links(self) -> bool:
        """Whether symbolic links can be here, found out as the client does: by making one."""
        name = self._staging.new_name()
        try:
            self._disk.symlink(name, name, dir_fd=self._staging.fd)
        except OSError as exc:
            if exc.errno in _NO_LINKS:
                return False
            raise
        self._disk.unlink(name, dir_fd=self._staging.fd)
        return True

    @contextlib.contextmanager
    def _client_lock(self, target: str) -> Iterator[None]:
        """Hold the client's lock of a blob, so that it waits for us rather than fetch what we are copying.

        Nothing rests on it, for the client neither: what cannot be locked at once is brought without.
        """
        folder, _, blob = target.rpartition("/")
        if folder != "blobs":  # Where there are no links, the client has a lock for a blob that never stays.
            yield
            return
        fd = -1
        with contextlib.suppress(OSError):
            fd = self._open_client_lock(blob)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            yield
        finally:
            if fd >= 0:
                os.close(fd)

    def _open_client_lock(self, blob: str) -> int:
        locks = Tree(self._disk, self._cache)
        try:
            folder, name = locks.place(f"{LOCKS}/{self._place.folder}/{blob}.lock", make=True)
            return self._disk.open(name, WRITE_FLAGS | os.O_CREAT, 0o664, dir_fd=folder)
        finally:
            locks.close()

    def _look_up(self) -> None:
        if self._stopped():
            raise Stopped

    def _in_the_way(self, path: str) -> Occupied:
        return Occupied(
            f"{self._shown / path} is something else than this commit has there, and is not replaced",
            hint="move it away, or remove this revision (hf cache rm), then run the same command again",
        )


def _agrees(entry: Listed | None, file: Source) -> bool:
    """Whether an entry of a listing that stands there is of this very file."""
    if entry is None or entry.size != file.size:
        return False
    if entry.lfs_sha256 is not None:
        return entry.lfs_sha256 == file.sha256.hex()
    return file.git_sha1 is not None and entry.blob_id == file.git_sha1.hex()


def _target(path: str, blob: str) -> str:
    """Return what the link at `path` in a snapshot says: the way from its folder to the blob."""
    return "../" * (path.count("/") + 2) + f"blobs/{blob}"
