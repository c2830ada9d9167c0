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
Where no symbolic links can be (FAT, most of Windows), or the client is told to make none, files stand in the snapshot
itself, as the client has it there (`hf_snapshot`). What a file system can is found out by trying (`store.rules`).
Source: huggingface_hub 2.4 (`file_download.py`, `_snapshot_download.py`, `utils/_cache_manager.py`).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from msgspec.structs import replace

from p2phub import limits
from p2phub.errors import Occupied
from p2phub.manifest import check_paths
from p2phub.store.clone import How, never
from p2phub.store.disk import FOLDER_FLAGS, READ_FLAGS, WRITE_FLAGS, Disk, disk_errors, read_regular
from p2phub.store.folders import Tree, open_destination
from p2phub.store.materialise.hf_place import HfPlace
from p2phub.store.materialise.hf_snapshot import Snapshot, note_way
from p2phub.store.materialise.listing import Listed, decode_listing, encode_listing, listed, listing_bytes_max
from p2phub.store.materialise.placer import Placer
from p2phub.store.materialise.source import Linked, Source, tell_nobody
from p2phub.store.materialise.staging import Staging
from p2phub.store.rules import FileRules, need_own_name, try_rules

TAG = "CACHEDIR.TAG"
TAG_TEXT = (
    b"Signature: 8a477f597d28d172789f06886806bc55\n"
    b"# This file is a cache directory tag created by p2phub, as huggingface_hub does.\n"
    b"# For information about cache directory tags, see:\n"
    b"#\thttps://bford.info/cachedir/\n"
)
LOCKS = ".locks"


def write_snapshot(
    disk: Disk,
    place: HfPlace,
    files: Sequence[Source],
    *,
    link: bool,
    stopped: Callable[[], bool] = never,
    linked: Linked = tell_nobody,
    symlinks: bool = True,
    rules: FileRules | None = None,
) -> Path:
    """Have the cache hold `files`, all that the commit has, and return its folder `snapshots/<commit>`. Blocks.

    `link`: files of ours may become blobs by a hard link, else they are cloned or copied; `linked` is told of each.
    `symlinks`: False where the client is told to make none (HF_HUB_DISABLE_SYMLINKS). `rules`: of the file system that
    the cache is on; None: they are found out there.
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
        if rules is not None:
            need_own_name(rules, cache_fd, place.folder, str(place.cache / place.folder))
        made = True
        try:
            disk.mkdir(place.folder, dir_fd=cache_fd)
        except FileExistsError:
            made = False
        repo_fd = os.open(place.folder, FOLDER_FLAGS, dir_fd=cache_fd)
        stack.callback(os.close, repo_fd)
        staging = Staging(disk, repo_fd, place.cache / place.folder)
        stack.callback(staging.close)
        if rules is None:
            rules = try_rules(disk, staging.fd)
            if not made:
                need_own_name(rules, cache_fd, place.folder, str(place.cache / place.folder))
        rules = replace(rules, symlinks=rules.symlinks and symlinks)
        tree = Tree(disk, repo_fd)
        stack.callback(tree.close)
        how = How.LINK if link and rules.hard_links else How.CLONE
        _Writing(disk, place, files, cache_fd, staging, tree, rules, how=how, stopped=stopped, linked=linked).write()
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
        rules: FileRules,
        *,
        how: How,
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
        self._rules = rules
        self._shown = place.cache / place.folder
        self._placer = Placer(
            disk,
            staging,
            tree,
            self._shown,
            how=how,
            stopped=stopped,
            linked=linked,
            follow=True,  # A blob may lie in the store that all repositories share.
            guard=self._client_lock,
        )
        self._snapshot = Snapshot(
            disk, staging, tree, self._placer, commit=place.commit, files=self._here, shown=self._shown, stopped=stopped
        )

    def write(self) -> None:
        self._need_own_ref()
        self._tag()
        self._disk.fsync(self._cache)  # Files of ours may be moved here: their folder must outlive a power cut.
        standing = self._read_listing()
        names = {file.path: self._blob_of(file, standing) for file in self._files}
        links = self._rules.symlinks
        if links:
            in_place = self._snapshot.files_in_place()
            here = (file for file in self._here if file.path not in in_place)
            self._placer.bring((f"blobs/{names[file.path]}", file) for file in here)
        # The client takes a cache without one of these for broken.
        for path in ("blobs/", "trees/", f"snapshots/{self._place.commit}", f"refs/{self._place.ref or ''}"):
            self._tree.place(path, make=True)
            note_way(self._tree, path)
        if standing is None:
            self._write_listing({file.path: listed(file, names[file.path]) for file in self._files})
        if links:
            self._snapshot.put_links(names)
        else:
            self._snapshot.put_files()
        self._placer.flush()
        if self._place.ref is not None:
            self._write_ref(f"refs/{self._place.ref}")

    def _need_own_ref(self) -> None:
        """Raise Occupied where the ref would be another, whose name is spelled otherwise: that would lead here then."""
        parts = [] if self._place.ref is None else ["refs", *self._place.ref.split("/")]
        for depth in range(1, len(parts)):
            path = "/".join(parts[: depth + 1])
            try:
                folder, name = self._tree.place(path)
            except FileNotFoundError:
                return
            need_own_name(self._rules, folder, name, str(self._shown / path))

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


def _agrees(entry: Listed | None, file: Source) -> bool:
    """Whether an entry of a listing that stands there is of this very file."""
    if entry is None or entry.size != file.size:
        return False
    if entry.lfs_sha256 is not None:
        return entry.lfs_sha256 == file.sha256.hex()
    return file.git_sha1 is not None and entry.blob_id == file.git_sha1.hex()
