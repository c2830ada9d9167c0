"""Scenes of the store: a home, a folder beside it, and content that is hashed there or arrives there.

`DiskScene` and `MemoryScene` are the two implementations of one small language, so that the contract suite is written
once. Source: p2phub/store/interface.py.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NoReturn, Protocol

import pytest

from p2phub.content import RangeSet
from p2phub.store import Arrival, HashedFile, Judge, Ledger, Selected, Store
from p2phub.store.disk import Disk
from p2phub.store.filesystem import FilesystemStore
from p2phub.store.ledger import FileLedger
from p2phub.store.memory import MemoryStore
from p2phub.store.memory_ledger import MemoryLedger
from tests.support.content import Content


class Scene(Protocol):
    """A store, and what its user does to `folder` behind its back."""

    folder: Path
    store: Store

    def put(self, path: str, data: bytes) -> None: ...

    def remove(self, path: str) -> None: ...

    def files(self) -> dict[str, bytes]:
        """Return what stands in the folder, without what the store keeps there for itself."""

    def reopen(self) -> None:
        """End the store and begin another on the same home, as after a crash of the process."""

    def failing(self, error: int) -> AbstractContextManager[list[str]]:
        """Within, what the store's disk is asked to open or list fails by `error`; yields what it was asked for."""

    def ledger(self) -> Ledger: ...


class DiskScene:
    """On the disk, below `at`. Files that are put there look as if they had been left alone for long."""

    def __init__(self, at: Path, disk: Disk | None = None) -> None:
        self.home = at / "home"
        self.folder = at / "out"
        self._disk = disk
        self.store: Store = FilesystemStore(self.home, disk)

    def put(self, path: str, data: bytes) -> None:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        target.write_bytes(data)

    def remove(self, path: str) -> None:
        (self.folder / path).unlink()

    def files(self) -> dict[str, bytes]:
        return files_below(self.folder)

    def reopen(self) -> None:
        self.store.close()
        self.store = FilesystemStore(self.home, self._disk)

    @contextlib.contextmanager
    def failing(self, error: int) -> Iterator[list[str]]:
        asked: list[str] = []

        def fail(path: object, *args: object, **named: object) -> NoReturn:
            asked.append(str(path))
            raise OSError(error, os.strerror(error), path)

        with pytest.MonkeyPatch.context() as patch:
            for name in ("open", "listdir", "scandir"):
                patch.setattr(os, name, fail)
            yield asked

    def ledger(self) -> Ledger:
        return FileLedger(self.home)


class MemoryScene:
    def __init__(self) -> None:
        self.folder = Path("/nowhere/out")
        self.memory = MemoryStore()
        self.store: Store = self.memory
        self._ledger = MemoryLedger()

    def put(self, path: str, data: bytes) -> None:
        self.memory.put_file(self.folder, path, data)

    def remove(self, path: str) -> None:
        self.memory.remove_file(self.folder, path)

    def files(self) -> dict[str, bytes]:
        return {path: self.memory.file_bytes(self.folder, path) for path in self.memory.paths(self.folder)}

    def reopen(self) -> None:
        """Nothing outlives a process in memory: the same store goes on."""

    @contextlib.contextmanager
    def failing(self, error: int) -> Iterator[list[str]]:
        yield []  # There is no disk.

    def ledger(self) -> Ledger:
        return self._ledger


def as_on_a_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let fingerprints be trusted wherever the folders for tests are, also on a file system in memory."""
    monkeypatch.setattr("p2phub.store.tmpfs._KINDS_IN_MEMORY", frozenset())
    monkeypatch.setattr("p2phub.store.tmpfs._in_memory", {})


def files_below(folder: Path) -> dict[str, bytes]:
    """Return the regular files below `folder`, without `.p2phub`."""
    found = {}
    for at, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != ".p2phub"]
        for name in names:
            path = Path(at, name)
            found[path.relative_to(folder).as_posix()] = path.read_bytes()
    return found


def put_all(scene: Scene, content: Content) -> None:
    for path, data in content.files.items():
        scene.put(path, data)


def hashed(scene: Scene, content: Content, *, trusted: bool = True) -> list[HashedFile]:
    """Return what a read pass over the scene's folder, which holds `content`, would have found."""
    files = []
    for number, entry in enumerate(content.manifest.files):
        opened = scene.store.open_in_place(scene.folder, entry.path)
        fingerprint = scene.store.fingerprint_of(opened)
        opened.close()
        chunks = content.table.list_of(number) if entry.chunks > 1 else None
        files.append(HashedFile(entry, chunks, fingerprint, trusted))
    return files


def hold(scene: Scene, content: Content, *, trusted: bool = True) -> None:
    """Publish: the folder gets the files and the store is told."""
    put_all(scene, content)
    scene.store.put_blobs(list(content.blobs.values()))
    scene.store.hold(content.manifest, content.root, scene.folder, hashed(scene, content, trusted=trusted))


def arrive(
    scene: Scene,
    content: Content,
    *,
    force: bool = False,
    selected: Selected | None = None,
    judge: Judge | None = None,
) -> Arrival:
    scene.store.put_blobs(list(content.blobs.values()))
    return scene.store.arrive(
        content.manifest, content.root, content.table, scene.folder, force=force, selected=selected, judge=judge
    )


def deliver(arrival: Arrival, content: Content, chunks: Iterable[int]) -> None:
    """Write chunks as a carrier does, and tell that they were verified."""
    for chunk in chunks:
        ref = content.table.chunk(chunk)
        fd = arrival.plan.open(ref.file)
        try:
            os.pwrite(fd, content.chunk(chunk), ref.offset)
        finally:
            os.close(fd)
        arrival.verified(RangeSet.of([(chunk, chunk + 1)]))


def deliver_rest(arrival: Arrival, content: Content) -> list[int]:
    """Deliver what the arrival does not have. Returns which chunks those were."""
    missing = list(content.whole - arrival.have)
    deliver(arrival, content, missing)
    return missing
