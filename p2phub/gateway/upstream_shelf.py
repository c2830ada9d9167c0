"""The shelf of a gateway with an upstream hub: what is published or mapped here comes first and alone; for all else the
hub that the user named is asked. What came from it is adopted, and so is here when the hub is not.
"""

from __future__ import annotations

import contextlib
import os
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Any

import trio

from p2phub import api, limits
from p2phub.api.recent import keep
from p2phub.errors import NoProvider, NotFound, PeerError, UsageError
from p2phub.gateway.api_shelf import HubShelf
from p2phub.gateway.revisions import MAIN, Commit, Tag
from p2phub.gateway.routes import Kind, RepoId
from p2phub.gateway.shelf import (
    Content,
    File,
    NoSuchRevision,
    Piece,
    Release,
    Repository,
    Snapshot,
    StandingFile,
    Unmapped,
)
from p2phub.gateway.turns import Turns

_KEY = "upstream"
_PIECE_BYTES = 1 << 20
_KEPT_MAX = 16  # Listings in memory, as many as the node keeps.


class UpstreamShelf:
    """`shelf.Shelf`: `here`, and beside it the upstream hub of `hub`."""

    def __init__(self, here: HubShelf, hub: api.Hub) -> None:
        self._here, self._hub = here, hub
        self._turns = Turns()
        self._asked: OrderedDict[tuple[RepoId, str], tuple[float, Snapshot]] = OrderedDict()

    async def repositories(self, kind: Kind) -> Sequence[Repository]:
        """Return what is here, then what of the hub is here in part, and so was not adopted yet."""
        found = {each.repo.name: each for each in await self._here.repositories(kind)}
        for each in sorted(await self._hub.hub_kept(), key=lambda each: (-each["used"], each["name"])):
            if each["kind"] == kind.value:
                repo = RepoId(kind, each["name"])
                found.setdefault(repo.name, Repository(repo, Release(each["commit"], None)))
        return list(found.values())

    async def names(self, kind: Kind) -> Sequence[RepoId]:
        return await self._here.names(kind)

    async def releases(self, repo: RepoId, revision: Tag | Commit | None) -> Sequence[Release]:
        if revision is None and not await self._is_the_users(repo):
            with contextlib.suppress(PeerError, NotFound, UsageError):  # What is here counts where it tells nothing.
                refs = await self._hub.hub_refs(repo.kind.value, repo.name)
                return [Release(each["commit"], each["name"], is_branch=each["is_branch"]) for each in refs]
        try:
            return await self._here.releases(repo, revision)
        except (Unmapped, NoSuchRevision):
            return [(await self.snapshot(repo, revision or Tag(MAIN))).release]

    async def snapshot(self, repo: RepoId, revision: Tag | Commit) -> Snapshot:
        """What the user named here is that and nothing else. A commit that is here is not asked for; of a branch the
        hub says what it is now, and what is here counts where it does not answer."""
        if isinstance(revision, Commit) or await self._is_the_users(repo):
            try:
                return await self._here.snapshot(repo, revision)
            except (Unmapped, NoSuchRevision) as error:
                if isinstance(revision, Tag):
                    raise
                absent = error
            if await self._is_the_users(repo):
                raise absent
            return await self._listed(repo, revision.digits, absent)
        try:
            found = await self._listed(repo, revision.name, None)
        except (NoProvider, NotFound) as error:
            try:
                return await self._here.snapshot(repo, revision)
            except (Unmapped, NoSuchRevision):
                raise error from None
        try:
            return await self._here.snapshot(repo, Commit(found.commit))
        except (Unmapped, NoSuchRevision):
            return found

    @asynccontextmanager
    async def _open(self, snapshot: Snapshot, file: File) -> AsyncIterator[Content]:
        yield _Passed(self._hub, snapshot, file)

    def open(self, snapshot: Snapshot, file: File, *, start: int = 0) -> AbstractAsyncContextManager[Content]:
        if snapshot.key == _KEY:
            return self._open(snapshot, file)
        return self._here.open(snapshot, file, start=start)

    async def _is_the_users(self, repo: RepoId) -> bool:
        """Return whether a name is published or mapped here; what was adopted may be the hub's own, of before."""
        told = await self._hub.repository(repo.name)
        return told["reference"] is not None or any(version["published"] for version in told["versions"])

    async def _is_at_the_hub(self, repo: RepoId) -> bool:
        """Return whether the hub has a repository, whatever is missing of it. Raises NoProvider."""
        try:
            await self._hub.hub_refs(repo.kind.value, repo.name)
        except PeerError as error:
            raise NoProvider(f"{self._hub.upstream} cannot be asked: {error.message}") from error
        except (NotFound, UsageError):
            return False
        return True

    async def _listed(self, repo: RepoId, revision: str, absent: NotFound | None) -> Snapshot:
        """Return what the hub has at a revision. Raises Unmapped, NoSuchRevision, NoProvider."""
        key = repo, revision
        async with self._turns.of(f"{repo.kind.value} {repo.name} {revision}"):
            kept = self._asked.get(key)
            if kept is not None and (len(revision) == 40 or trio.current_time() - kept[0] < limits.GATEWAY_FRESH_S):
                return kept[1]
            try:
                told = await self._hub.hub_listing(repo.kind.value, repo.name, revision)
            except PeerError as error:
                raise NoProvider(f"{self._hub.upstream} cannot be asked: {error.message}") from error
            except (NotFound, UsageError) as error:
                if await self._is_at_the_hub(repo):
                    raise NoSuchRevision(f"{self._hub.upstream} has no {revision} of {repo.name}") from error
                what = f"{repo.name} stands for nothing here, and {self._hub.upstream} has no such repository for us"
                if absent is not None:
                    raise absent from error
                raise Unmapped(what, hint=error.hint) from error
            found = Snapshot(repo, Release(told["commit"], None), tuple(map(_file, told["files"])), _KEY)
            for each in (revision, found.commit):
                keep(self._asked, (repo, each), (trio.current_time(), found), most=_KEPT_MAX)
            return found


class _Passed:
    """A file of the hub: `shelf.Content`."""

    standing: StandingFile | None = None

    def __init__(self, hub: api.Hub, snapshot: Snapshot, file: File) -> None:
        self._hub, self._snapshot, self._file = hub, snapshot, file

    async def pieces(self, start: int, stop: int) -> AsyncGenerator[Piece, None]:
        repo, commit = self._snapshot.repo, self._snapshot.commit
        source = self._hub.hub_stretches(repo.kind.value, repo.name, commit, self._file.path, start, stop)
        try:
            async with aclosing(source) as stretches:
                async for stretch in stretches:
                    yield stretch
        except (PeerError, NotFound) as error:
            raise NoProvider(f"{self._hub.upstream} does not give {self._file.path}: {error.message}") from error

    async def read(self, start: int, stop: int) -> AsyncGenerator[bytes | memoryview, None]:
        async with aclosing(self.pieces(start, stop)) as pieces:
            async for piece in pieces:
                if isinstance(piece, bytes | memoryview):
                    yield piece
                    continue
                try:
                    at = piece.start
                    while at < piece.stop:
                        data = await trio.to_thread.run_sync(_read, piece.descriptor, at, piece.stop)
                        if not data:
                            raise NoProvider(f"what came of {self._file.path} was cut short")
                        yield data
                        at += len(data)
                finally:
                    piece.close()


def _read(descriptor: int, start: int, stop: int) -> bytes:
    return os.pread(descriptor, min(_PIECE_BYTES, stop - start), start)


def _file(told: dict[str, Any]) -> File:
    return File(told["path"], told["size"], told["sha256"] or "", None if told["sha256"] else told["git_sha1"])
