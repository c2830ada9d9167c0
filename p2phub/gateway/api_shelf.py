"""The shelf that the hub of this home makes: names by what is called what here, versions by what is known of them.

A publisher's newest release is looked up again after GATEWAY_FRESH_S, and not for each of the dozens of requests that
a client makes in a row; while it is looked up, and where nobody answers soon, the newest that is known here is what
counts. What is in a manifest never changes, so listings are kept. Files are opened by `open_files`.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import msgspec
import trio

from p2phub import api, limits
from p2phub.api.recent import keep
from p2phub.errors import HubError, NoProvider, NotFound, PeerError
from p2phub.gateway.open_files import OpenFiles
from p2phub.gateway.open_models import OpenModels
from p2phub.gateway.revisions import MAIN, Commit, Tag
from p2phub.gateway.routes import Kind, RepoId
from p2phub.gateway.shelf import (
    Content,
    File,
    NoSuchRevision,
    Release,
    Repository,
    Snapshot,
    Unmapped,
)
from p2phub.gateway.turns import Turns

_LOOK_S = 5.0  # For a newer release than the one that is known: clients wait 10 s for the head of a file.
_COMMIT_S = 5.0  # What a commit is does not change; but a name may be taken from it.
_KEPT_MAX = 4096

Version = Mapping[str, Any]
"""As `Hub.repository` tells it."""


@asynccontextmanager
async def open_hub_shelf(hub: api.Hub, *, allow_unsafe: bool = False) -> AsyncIterator[HubShelf]:
    """Open the shelf of a hub. `allow_unsafe`: whether files that may run code when they are loaded are passed on where
    they were fetched for this alone; those that the user published, fetched or adopted are in any case."""
    shelf = HubShelf(hub, allow_unsafe=allow_unsafe)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shelf.tidy)
        try:
            yield shelf
        finally:
            nursery.cancel_scope.cancel()
            await shelf.close()


class HubShelf:
    """Made by `open_hub_shelf`: `shelf.Shelf`."""

    def __init__(self, hub: api.Hub, *, allow_unsafe: bool) -> None:
        self._hub = hub
        self._listings = _Listings()
        self._looked: OrderedDict[str, float] = OrderedDict()  # When each name was looked up.
        self._commits: OrderedDict[tuple[RepoId, str], tuple[float, _Told, Version]] = OrderedDict()
        self._one_at_a_time = Turns()
        self._models = OpenModels(hub)
        self._files = OpenFiles(hub, self._models, allow_unsafe=allow_unsafe)

    async def close(self) -> None:
        await self._models.close()

    async def tidy(self) -> None:
        """Close what nobody has used for a while, until cancelled."""
        while True:
            await trio.sleep(limits.GATEWAY_MODEL_IDLE_S / 4)
            await self._models.tidy()

    async def repositories(self, kind: Kind) -> Sequence[Repository]:
        found = [
            Repository(RepoId(kind, item["name"]), _release(item["name"], item["version"]))
            for item in await self._hub.repositories()
            if item["version"]["kind"] in (kind.value, None)
        ]
        return sorted(found, key=lambda each: (-(each.release.created or 0), each.repo.name))

    async def names(self, kind: Kind) -> Sequence[RepoId]:
        known = [each.repo for each in await self.repositories(kind)]
        mapped = [RepoId(kind, alias) for alias in await self._hub.names() if "/" in alias]
        return list(dict.fromkeys([*known, *mapped]))

    async def releases(self, repo: RepoId, revision: Tag | Commit | None) -> Sequence[Release]:
        told = await self._told(repo)
        if revision is None and told.may_be_older and not any(each["tag"] == MAIN for each in told.versions):
            return [(await self.snapshot(repo, Tag(MAIN))).release]  # Nobody here has asked for it before.
        releases = [_release(repo.name, version) for version in told.versions]
        if revision is None:
            newest: dict[str, Release] = {}
            for each in releases:
                newest.setdefault(each.tag or MAIN, each)
            return [_tagged(each, tag) for tag, each in newest.items()]
        if isinstance(revision, Tag):
            found = [each for each in releases if (each.tag or MAIN) == revision.name]
            return found or [(await self.snapshot(repo, revision)).release]
        at = next((each for each in releases if each.commit == revision.digits), None)
        if at is None:
            raise _no_commit(repo, revision)
        of_tag = [each for each in releases if each.tag == at.tag]
        return of_tag[of_tag.index(at) :]

    async def snapshot(self, repo: RepoId, revision: Tag | Commit) -> Snapshot:
        if isinstance(revision, Commit):
            told, version = await self._at_commit(repo, revision)
        else:
            told = await self._told(repo)
            known = next((each for each in told.versions if (each["tag"] or MAIN) == revision.name), None)
            may_be_newer = told.may_be_older and revision.may_be_released
            found = await self._newest(repo, revision, known) if may_be_newer else known
            if found is None:
                raise NoSuchRevision(f"{repo.name} has no revision {revision.name!r} here")
            version = found
        # Where a ticket is what the name stands for, the name leads to providers, too.
        key = repo.name if told.is_named and told.is_settled else version["manifest"]
        async with self._one_at_a_time.of(version["manifest"]):
            files = self._listings.of(version["manifest"])
            if files is None:
                files = self._listed(await self._described(version["manifest"], key))
        return Snapshot(repo, _release(repo.name, version), files, f"{version['manifest']} {key}")

    async def _described(self, manifest: str, key: str) -> Version:
        """Return the `info` of a manifest that is not listed yet. Raises HubError.

        Where the name leads to who has it, it is opened first: then it comes over the connection over which its files
        will, too, and a client that asks for a range of one waits for one connection, not for two.
        """
        if key != manifest:
            with trio.move_on_after(limits.GATEWAY_FIRST_PIECE_S), contextlib.suppress(HubError):
                async with self._models.model(manifest, key):
                    return await self._hub.info(key)
        return await self._looked_up(key)

    async def _looked_up(self, ref: str) -> Version:
        """Return the `info` of what is not known here. Raises HubError: NoProvider where nobody told it in time, so
        that those who wait behind for the same are not held by a peer that never ends."""
        try:
            with trio.fail_after(limits.GATEWAY_LOOKUP_S):
                return await self._hub.info(ref)
        except trio.TooSlowError as exc:
            raise NoProvider(f"nobody told within {limits.GATEWAY_LOOKUP_S:.0f} s what {ref} is") from exc

    def open(self, snapshot: Snapshot, file: File, *, start: int = 0) -> AbstractAsyncContextManager[Content]:
        manifest, _, key = snapshot.key.partition(" ")
        return self._files.open(manifest, key, file, start=start)

    async def _told(self, repo: RepoId) -> _Told:
        """Return what is known here of a repository. Raises Unmapped."""
        told = await self._hub.repository(repo.name)
        versions = [each for each in told["versions"] if each["kind"] in (repo.kind.value, None)]
        if told["versions"] and not versions:
            kind = told["versions"][0]["kind"]
            raise Unmapped(f"{repo.name} is no {repo.kind.value} here, but a {kind}")
        if told["reference"] is None and not versions:
            raise _unmapped(repo, told["candidates"])
        return _Told(told["reference"] is not None, told["settled"], versions)

    async def _at_commit(self, repo: RepoId, revision: Commit) -> tuple[_Told, Version]:
        """Return the version that a commit is. Clients ask for each file of one by it: it is not looked up each time.
        Raises Unmapped, NoSuchRevision."""
        key = repo, revision.digits
        kept = self._commits.get(key)
        if kept is not None and trio.current_time() - kept[0] < _COMMIT_S:
            return kept[1:]
        told = await self._told(repo)
        version = api.version_at(revision.digits, repo.name, told.versions)
        if version is None:
            raise _no_commit(repo, revision)
        keep(self._commits, key, (trio.current_time(), told, version), most=_KEPT_MAX)
        return told, version

    async def _newest(self, repo: RepoId, tag: Tag, known: Version | None) -> Version | None:
        """Ask the network for the newest release of a tag; return `known` where that is still what counts."""
        ref = repo.name if tag.name == MAIN else f"{repo.name}@{tag.name}"
        async with self._one_at_a_time.of(ref):
            if known is not None and self._is_fresh(ref):
                return known
            info: Version | None = None
            try:
                if known is None:
                    info = await self._looked_up(ref)
                else:
                    with trio.move_on_after(_LOOK_S):
                        info = await self._hub.info(ref)
            except (NotFound, NoProvider, PeerError) as error:
                if known is None:
                    if tag.name != MAIN and isinstance(error, NotFound):
                        return None
                    raise NoProvider(error.message, hint=error.hint) from error
            self._note_looked(ref)
            if info is None:
                return known
            release = info["release"]
            if release is not None and release["kind"] != repo.kind.value:
                raise Unmapped(f"{repo.name} is no {repo.kind.value}, but a {release['kind']}")
            if info["files"] is not None:
                self._listed(info)
            found = dict(release or {"tag": tag.name, "created": None, "licence": "", "description": ""})
            return {**found, "tag": tag.name, "manifest": info["manifest"], "revision": _hub_commit(info)}

    def _is_fresh(self, ref: str) -> bool:
        looked = self._looked.get(ref)
        return looked is not None and trio.current_time() - looked < limits.GATEWAY_FRESH_S

    def _note_looked(self, ref: str) -> None:
        keep(self._looked, ref, trio.current_time(), most=_KEPT_MAX)

    def _listed(self, info: Version) -> tuple[File, ...]:
        """Keep and return the files that an `info` tells. Raises NoProvider where it could not be found out."""
        if info["files"] is None:
            raise NoProvider(f"nobody could tell what is in it: {info['files_unknown_because']}")
        files = tuple(File(each["path"], each["size"], each["sha256"], each["git_sha1"]) for each in info["files"])
        self._listings.keep(info["manifest"], files)
        return files


class _Told:
    """What is known here of a repository. `is_named`: it has a reference; `is_settled`: no other version can come."""

    def __init__(self, is_named: bool, is_settled: bool, versions: Sequence[Version]) -> None:
        self.is_named = is_named
        self.is_settled = is_settled
        self.versions = versions

    @property
    def may_be_older(self) -> bool:
        """Return whether somebody else may know more: not of what is settled, or published here."""
        return not self.is_settled and not any(each["published"] for each in self.versions)


class _Listings:
    """The files of manifests, as many as GATEWAY_FILES_KEPT_MAX; what was asked for last stays."""

    def __init__(self) -> None:
        self._files: OrderedDict[str, tuple[File, ...]] = OrderedDict()
        self._count = 0

    def of(self, manifest: str) -> tuple[File, ...] | None:
        files = self._files.get(manifest)
        if files is not None:
            self._files.move_to_end(manifest)
        return files

    def keep(self, manifest: str, files: tuple[File, ...]) -> None:
        if manifest not in self._files:
            self._files[manifest] = files
            self._count += len(files) + 1
        while self._count > limits.GATEWAY_FILES_KEPT_MAX and len(self._files) > 1:
            _, dropped = self._files.popitem(last=False)
            self._count -= len(dropped) + 1


def _release(name: str, version: Version) -> Release:
    return Release(
        api.commit_of_version(name, version),
        version["tag"],
        version["created"],
        version["description"],
        version["licence"],
        version.get("private", False),
    )


def _tagged(release: Release, tag: str) -> Release:
    return msgspec.structs.replace(release, tag=tag)


def _hub_commit(info: Version) -> str | None:
    source = (info["held"] or {}).get("source")
    return source["revision"] if source is not None and source["cache"] == "hf" else None


def _no_commit(repo: RepoId, revision: Commit) -> NoSuchRevision:
    return NoSuchRevision(f"{repo.name} has no commit {revision.digits} that is known here")


def _unmapped(repo: RepoId, candidates: Sequence[str]) -> Unmapped:
    return Unmapped(f"{repo.name} stands for nothing here", hint=_how_to_map(repo, candidates))


def _how_to_map(repo: RepoId, candidates: Sequence[str]) -> str:
    if "/" not in repo.name:
        return "publish it (p2phub publish DIR --name NAME), or ask for it as ORG/NAME"
    if not candidates:
        return f"say what it means: p2phub name add {repo.name} PUBLISHER/name (or a ticket)"
    others = f"; known here too: {', '.join(candidates[1:])}" if len(candidates) > 1 else ""
    return f"if you mean {candidates[0]}: p2phub name add {repo.name} {candidates[0]}{others}"
