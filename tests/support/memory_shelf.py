"""A shelf in memory, for tests of the gateway: what it has is what a test puts there, and it can be made to fail."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import trio

from p2phub.errors import HubError
from p2phub.gateway.revisions import Commit, Tag
from p2phub.gateway.routes import Kind, RepoId
from p2phub.gateway.shelf import Content, File, NoSuchRevision, Piece, Release, Repository, Snapshot, Unmapped

PIECE_BYTES = 1 << 16


class MemoryStanding:
    """A file without a name. `edit` writes to all of it, which is seen, as of any file."""

    def __init__(self, content: bytes) -> None:
        fd, path = tempfile.mkstemp()
        os.unlink(path)
        with open(fd, "wb", closefd=False) as file:
            file.write(content)
        self.descriptor = fd
        self.changes_after = -1  # How often it is still found to be unchanged; below 0: always.

    def unchanged(self) -> bool:
        self.changes_after -= 1
        return self.changes_after != -1

    def edit(self) -> None:
        self.changes_after = 0
        os.pwrite(self.descriptor, bytes(os.fstat(self.descriptor).st_size), 0)

    def close(self) -> None:
        os.close(self.descriptor)


class MemoryContent:
    def __init__(self, shelf: MemoryShelf, content: bytes, standing: MemoryStanding | None) -> None:
        self._shelf = shelf
        self._content = content
        self.standing = standing

    async def read(self, start: int, stop: int) -> AsyncGenerator[bytes | memoryview, None]:
        given = 0
        self._shelf.reads += 1
        try:
            while start < stop:
                if self._shelf.fails_after is not None and given >= self._shelf.fails_after:
                    raise self._shelf.failure
                if self._shelf.stalls_after is not None and given >= self._shelf.stalls_after:
                    await trio.sleep_forever()
                piece = self._content[start : min(stop, start + PIECE_BYTES)]
                await trio.lowlevel.checkpoint()
                yield piece
                start, given = start + len(piece), given + len(piece)
        finally:
            self._shelf.reads -= 1

    def pieces(self, start: int, stop: int) -> AsyncGenerator[Piece, None]:
        return self.read(start, stop)


class MemoryShelf:
    """`shelf.Shelf`. `standing`: whether files stand whole here; else they are read as if they were fetched.

    `fails_after`, `stalls_after`: after how many bytes a read raises `failure`, or waits for ever. `reads`: under way.
    `opens_after_s`: how long it takes to open a file.
    """

    def __init__(self) -> None:
        self.standing = True
        self.fails_after: int | None = None
        self.stalls_after: int | None = None
        self.failure: HubError = HubError("nothing is wrong")
        self.unreachable: HubError | None = None  # What asking for a snapshot raises.
        self.opens_after_s = 0.0
        self.changes_after = -1
        self.reads = 0
        self.opened = 0  # Files that are open.
        self._standing: list[MemoryStanding] = []
        self._closed = trio.Event()
        self._contents: dict[tuple[str, str], bytes] = {}
        self._versions: dict[RepoId, list[Snapshot]] = {}

    def add(
        self,
        name: str,
        files: Mapping[str, bytes],
        *,
        kind: Kind = Kind.MODEL,
        tag: str = "main",
        licence: str = "",
        private: bool = False,
    ) -> Snapshot:
        """Add a version; small files have a git SHA-1, those called `.safetensors` do not."""
        told = tuple(_file(path, files[path]) for path in sorted(files))
        commit = hashlib.sha1(repr((name, told)).encode()).hexdigest()
        repo = RepoId(kind, name)
        created = 1_700_000_000 + len(self._versions)
        release = Release(commit, tag, created, title="a title", licence=licence, private=private)
        snapshot = Snapshot(repo, release, told, key=commit)
        self._versions.setdefault(repo, []).insert(0, snapshot)
        self._contents |= {(commit, path): content for path, content in files.items()}
        return snapshot

    def become(self, version: Snapshot, other: Snapshot) -> None:
        """Have the commit of a version have the files of another."""
        now = Snapshot(version.repo, version.release, other.files, key=other.key)
        versions = self._versions[version.repo]
        versions[versions.index(version)] = now

    async def repositories(self, kind: Kind) -> Sequence[Repository]:
        return [Repository(repo, versions[0].release) for repo, versions in self._versions.items() if repo.kind is kind]

    async def names(self, kind: Kind) -> Sequence[RepoId]:
        return [each.repo for each in await self.repositories(kind)]

    async def snapshot(self, repo: RepoId, revision: Tag | Commit) -> Snapshot:
        if self.unreachable is not None:
            raise self.unreachable
        versions = self._of(repo)
        wanted = (
            (each.release.tag, revision.name) if isinstance(revision, Tag) else (each.commit, revision.digits)
            for each in versions
        )
        found = next((each for each, (one, other) in zip(versions, wanted, strict=True) if one == other), None)
        if found is None:
            raise NoSuchRevision(f"{repo.name} has no such revision")
        return found

    async def releases(self, repo: RepoId, revision: Tag | Commit | None) -> Sequence[Release]:
        versions = self._of(repo)
        if revision is None:
            newest: dict[str | None, Release] = {}
            for each in versions:
                newest.setdefault(each.release.tag, each.release)
            return list(newest.values())
        at = await self.snapshot(repo, revision)
        of_tag = [each.release for each in versions if each.release.tag == at.release.tag]
        return of_tag[of_tag.index(at.release) :]

    @asynccontextmanager
    async def open(self, snapshot: Snapshot, file: File, *, start: int = 0) -> AsyncIterator[Content]:
        await trio.sleep(self.opens_after_s)
        content = self._contents[snapshot.key, file.path]
        standing = MemoryStanding(content) if self.standing else None
        self.opened += 1
        try:
            if standing is not None:
                standing.changes_after = self.changes_after
                self._standing.append(standing)
            yield MemoryContent(self, content, standing)
        finally:
            if standing is not None:
                self._standing.remove(standing)
                standing.close()
            self.opened -= 1
            self._closed.set()

    def edit_open_files(self) -> None:
        """Fill the files that are being sent with zeros, where they stand."""
        for standing in self._standing:
            standing.edit()

    async def until_closed(self) -> None:
        """Wait until no file is open."""
        with trio.fail_after(30):
            while self.opened:
                self._closed = trio.Event()
                await self._closed.wait()

    def _of(self, repo: RepoId) -> list[Snapshot]:
        if repo not in self._versions:
            raise Unmapped(f"{repo.name} stands for nothing here", hint="name it")
        return self._versions[repo]


def _file(path: str, content: bytes) -> File:
    small = not path.endswith(".safetensors")
    git_sha1 = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() if small else None
    return File(path, len(content), hashlib.sha256(content).hexdigest(), git_sha1)
