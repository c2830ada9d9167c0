"""What the gateway asks of p2phub: which repositories there are, what a revision of one is, and the bytes of a file.

A port: `api_shelf` makes one of a node's hub, tests have one in memory. Names are answered by what the user chose and
by nothing else (docs/decisions/0101-gateway.md).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

from p2phub import limits
from p2phub.errors import NotFound
from p2phub.gateway.revisions import Commit, Tag
from p2phub.gateway.routes import Kind, RepoId


class Unmapped(NotFound):
    """Nothing here is called so."""


class NoSuchRevision(NotFound):
    """The repository has no such tag, or no such commit is known here."""


class File(msgspec.Struct, frozen=True):
    """A file of a version. `size` in bytes, digests in hex; `git_sha1` is known of small files alone."""

    path: str
    size: int
    sha256: str
    git_sha1: str | None = None

    @property
    def in_lfs(self) -> bool:
        """Whether clients are told that it is in LFS, and so named by its SHA-256: as `store.materialise` has it."""
        return self.git_sha1 is None or self.size >= limits.GIT_SHA1_FILE_BYTES_MAX

    @property
    def etag(self) -> str:
        """What names its content, in clients' caches too."""
        return self.sha256 if self.in_lfs or self.git_sha1 is None else self.git_sha1


class Release(msgspec.Struct, frozen=True):
    """One version, as it is told of. `created`: unix seconds, None where nobody says it. `is_branch`: whether the tag
    is a branch of a hub's; `main` always is."""

    commit: str
    tag: str | None
    created: int | None = None
    title: str = ""
    licence: str = ""
    private: bool = False
    is_branch: bool = False


class Snapshot(msgspec.Struct, frozen=True):
    """One version with its files, ascending by path. `key` is the shelf's own, by which it opens files."""

    repo: RepoId
    release: Release
    files: tuple[File, ...]
    key: str

    @property
    def commit(self) -> str:
        return self.release.commit


class Repository(msgspec.Struct, frozen=True):
    """A repository of this home in a listing, by its newest version."""

    repo: RepoId
    release: Release


class StandingFile(Protocol):
    """A file that stands whole on this disk. `unchanged` says whether it still is what was hashed."""

    @property
    def descriptor(self) -> int: ...

    def unchanged(self) -> bool: ...


class Stretch(StandingFile, Protocol):
    """Bytes `start` ..< `stop` of a file on this disk, verified. It belongs to who got it, until its `close`."""

    @property
    def start(self) -> int: ...

    @property
    def stop(self) -> int: ...

    def close(self) -> None: ...


Piece = bytes | memoryview | Stretch


class Content(Protocol):
    """A file that is open."""

    @property
    def standing(self) -> StandingFile | None:
        """The file itself, where it is here whole; else it is read while it is fetched."""

    def read(self, start: int, stop: int) -> AsyncGenerator[bytes | memoryview, None]:
        """Yield the bytes in order, each piece once it is verified. Raises HubError."""

    def pieces(self, start: int, stop: int) -> AsyncGenerator[Piece, None]:
        """The same, for who sends them on: bytes, or where they stand."""


class Shelf(Protocol):
    """Methods raise HubError; NoProvider for what may be there when somebody comes back."""

    async def repositories(self, kind: Kind) -> Sequence[Repository]:
        """Return what this home has, the newest first."""

    async def names(self, kind: Kind) -> Sequence[RepoId]:
        """Return what repositories are called here, also those that nobody has asked for yet, whatever their kind."""

    async def snapshot(self, repo: RepoId, revision: Tag | Commit) -> Snapshot:
        """Return a version. Raises Unmapped, NoSuchRevision."""

    async def releases(self, repo: RepoId, revision: Tag | Commit | None) -> Sequence[Release]:
        """Return the versions known here, the newest first: that lead to this one, or (None) the newest of each tag.
        Raises Unmapped, NoSuchRevision."""

    def open(self, snapshot: Snapshot, file: File, *, start: int = 0) -> AbstractAsyncContextManager[Content]:
        """Open a file, to be read from `start` on. Raises Unsafe for one that may run code when it is loaded and that
        the user did not allow; NoProvider if others do not give within GATEWAY_FIRST_PIECE_S what it takes to know."""
