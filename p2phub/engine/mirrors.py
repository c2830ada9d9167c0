"""Mirrors in a fetch: which there are, bringing a link to one up, and what a folder needs to become one."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import trio

from p2phub import limits
from p2phub.content import Digest, parse_digest
from p2phub.engine.dialling import Dialled, Reported, relay
from p2phub.errors import Damaged, HubError, Malformed, PeerError, UsageError
from p2phub.identity import MirrorId
from p2phub.manifest import (
    MIRROR_FOLDER,
    Name,
    decode_manifest,
    mirror_blob_path,
    mirror_of,
    mirror_release_path,
    read_release,
)
from p2phub.net import Mirrors
from p2phub.store import Store
from p2phub.store.disk import (
    FOLDER_FLAGS,
    MAKE_FLAGS,
    ONE_BY_ONE_MAX,
    WRITE_FLAGS,
    Disk,
    disk_errors,
    make_folder,
    read_regular,
)
from p2phub.transfer import LinkId
from p2phub.wire import flight_order

OpenMirrors = Callable[[], Mirrors]
"""Gives what speaks to mirrors, and loads it when it is first wanted."""

_ONE_AT_A_TIME = threading.Lock()  # To write blobs that another name's end takes away as not needed is no mirror.


def no_mirrors() -> Mirrors:
    raise AssertionError("a node without mirrors was asked for one")


def mirrors_of(templates: Sequence[str], *, name: Name | None, manifest: Digest | None) -> tuple[MirrorId, ...]:
    """Return the mirrors that `templates` mean here, each once. Raises UsageError."""
    found = [mirror_of(template, name=name, manifest=manifest) for template in templates]
    mirrors = tuple(dict.fromkeys(mirror for mirror in found if mirror is not None))
    if len(mirrors) > limits.MIRRORS_MAX:
        raise UsageError(f"{len(mirrors)} mirrors, at most {limits.MIRRORS_MAX} are asked in one fetch")
    return mirrors


async def run_mirror(
    mirror: MirrorId,
    number: LinkId,
    manifest: Digest,
    *,
    wants_manifest: bool,
    open_mirrors: OpenMirrors,
    tell: trio.MemorySendChannel[Dialled | Reported],
) -> None:
    """Open a link to a mirror, tell what came of it, then every report until it closes. As `dialling.run_link`."""
    try:
        link = await open_mirrors().open_link(mirror, manifest, wants_manifest=wants_manifest)
    except PeerError as error:
        await tell.send(Dialled(mirror, number, error))
        return
    await relay(Dialled(mirror, number, link), link, tell)


def write_mirror_files(
    folder: Path,
    manifest: Digest,
    signed: bytes,
    *,
    store: Store,
    name: Name,
    disk: Disk | None = None,
) -> int:
    """Write what makes `folder`, if it holds the manifest's files and a web server serves it, a mirror of them.

    Files that are there are replaced, each at once, durably, and the release after all that it leads to. Returns how
    many there are. Raises DiskError. Blocks.
    """
    blobs: dict[str, bytes] = {}
    for digest in flight_order(manifest, store.blob):
        blob = store.blob(digest)
        if blob is None:
            raise Damaged(f"the chunk list {digest} is no longer held")
        blobs[mirror_blob_path(digest)] = blob
    for digest in _layouts(manifest, store.blob):
        if (blob := store.blob(digest)) is not None:  # Who wants a whole file does without.
            blobs[mirror_blob_path(digest)] = blob
    disk = disk or Disk()
    with _ONE_AT_A_TIME, disk_errors(f"write mirror files below {folder}", option="--mirror-files"):
        make_folder(disk, folder)
        _put(disk, folder, blobs)
        _put(disk, folder, {mirror_release_path(*name): signed})  # Last, so that whoever finds it finds the rest.
    return len(blobs) + 1


def remove_mirror_files(folder: Path, *, store: Store, name: Name, disk: Disk | None = None) -> bool:
    """Undo `write_mirror_files`: remove the release of `name`, the blobs that no other release there needs, and what
    folders are empty then. Where it is not known what another release there needs, all blobs stay.

    Returns whether `name` had a release there. Raises DiskError. Blocks.
    """
    disk = disk or Disk()
    with _ONE_AT_A_TIME, disk_errors(f"remove mirror files below {folder}"):
        # Durably: it must not be there again after a power cut, when what it leads to is not.
        if not _remove(disk, folder, mirror_release_path(*name), durably=True):
            return False
        needed = _needed(folder, store)
        if needed is None:
            return True
        for blob in _listed(folder / MIRROR_FOLDER / "blobs"):
            with suppress(Malformed):
                path = mirror_blob_path(parse_digest(blob)[0])
                if path not in needed:
                    _remove(disk, folder, path)
    return True


def _needed(folder: Path, store: Store) -> set[str] | None:
    """Return the paths of the blobs that the releases below `folder` lead to; None if that is not wholly known."""
    needed: set[str] = set()
    absent: set[Digest] = set()
    releases = folder / MIRROR_FOLDER / "releases"

    def held(digest: Digest) -> bytes | None:
        blob = store.blob(digest)
        if blob is None:
            absent.add(digest)
        return blob

    try:
        for place in (
            releases / publisher / name / tag
            for publisher in _listed(releases)
            for name in _listed(releases / publisher)
            for tag in _listed(releases / publisher / name)
        ):
            manifest = read_release(read_regular(place, limits.RELEASE_BYTES_MAX)).manifest
            needed.update(map(mirror_blob_path, flight_order(manifest, held)))
            needed.update(map(mirror_blob_path, _layouts(manifest, held)))
    except (OSError, HubError):
        return None
    return None if absent else needed  # What is not held leads to others, perhaps.


def _layouts(manifest: Digest, held: Callable[[Digest], bytes | None]) -> set[Digest]:
    """Return the layouts of its files, which who selects tensors asks for; none where a page is not held."""
    root = held(manifest)
    if root is None:
        return set()
    return {entry.layout for entry in decode_manifest(root, held).files if entry.layout is not None}


def _listed(place: Path) -> list[str]:
    """Return what is in a folder, nothing if there is none. Raises OSError, also for a link."""
    try:
        fd = os.open(place, FOLDER_FLAGS)
    except FileNotFoundError:
        return []
    try:
        return os.listdir(fd)
    finally:
        os.close(fd)


def _remove(disk: Disk, folder: Path, path: str, *, durably: bool = False) -> bool:
    """Remove one file below `folder`, and the folders that are empty then; never through a link. Returns whether it was
    there."""
    *parts, name = path.split("/")
    with ExitStack() as stack:
        places = [_opened(folder, FOLDER_FLAGS & ~os.O_NOFOLLOW, stack)]
        try:
            for part in parts:
                places.append(_opened(part, FOLDER_FLAGS, stack, dir_fd=places[-1]))
            disk.unlink(name, dir_fd=places[-1])
            if durably:
                disk.fsync(places[-1])
        except FileNotFoundError:
            return False
        with suppress(OSError):
            for part, place in zip(reversed(parts), reversed(places[:-1]), strict=True):
                disk.rmdir(part, dir_fd=place)
    return True


def _put(disk: Disk, folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files of one folder below `folder`, never through a link: who made it may have put one there. They are
    whole and durable before any has its name, and the names durable on return: else a power cut leaves a mirror of
    empty files, which nobody looks at again until the next release."""
    *parts, _ = next(iter(files)).split("/")
    named = {path.rpartition("/")[2]: data for path, data in files.items()}
    beside: list[str] = []
    with ExitStack() as stack:
        # The folder itself may be a link: the user named it.
        place = _opened(folder, FOLDER_FLAGS & ~os.O_NOFOLLOW, stack)
        for part in parts:
            with suppress(FileExistsError):
                disk.mkdir(part, dir_fd=place)
                disk.fsync(place)
            place = _opened(part, FOLDER_FLAGS, stack, dir_fd=place)
        try:
            for name, data in named.items():
                with suppress(FileNotFoundError):
                    disk.unlink(f"{name}~", dir_fd=place)  # Of a write that was interrupted.
                fd = disk.open(f"{name}~", MAKE_FLAGS, dir_fd=place)
                beside.append(name)
                try:
                    disk.pwrite(fd, data, 0)
                    if len(named) <= ONE_BY_ONE_MAX:
                        disk.fdatasync(fd)
                finally:
                    os.close(fd)
            if len(named) > ONE_BY_ONE_MAX and not disk.syncfs(place):
                for name in named:
                    with ExitStack() as opened:
                        disk.fdatasync(_opened(f"{name}~", WRITE_FLAGS, opened, dir_fd=place))
            while beside:
                disk.replace(f"{beside[-1]}~", beside[-1], source_fd=place, target_fd=place)
                beside.pop()
        finally:
            for name in beside:
                with suppress(OSError):
                    disk.unlink(f"{name}~", dir_fd=place)
        disk.fsync(place)


def _opened(name: str | Path, flags: int, stack: ExitStack, *, dir_fd: int | None = None) -> int:
    fd = os.open(name, flags, 0o666, dir_fd=dir_fd)
    stack.callback(os.close, fd)
    return fd
