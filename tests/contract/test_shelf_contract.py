"""What every shelf of the gateway does: a home's hub's, and the one in memory that others test with."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Protocol

import pytest

from p2phub import api
from p2phub.gateway.api_shelf import open_hub_shelf
from p2phub.gateway.revisions import Commit, Tag
from p2phub.gateway.routes import Kind, RepoId
from p2phub.gateway.shelf import NoSuchRevision, Piece, Shelf, Snapshot, Unmapped
from tests.support.folders import write_files
from tests.support.memory_shelf import MemoryShelf

MAIN = Tag("main")
M = RepoId(Kind.MODEL, "m")
FILES = {"config.json": b"{}", "a/big.safetensors": bytes(range(256)) * 5000, "empty": b"", "ü + #.txt": b"odd"}


class Scene(Protocol):
    shelf: Shelf

    async def add(
        self, name: str, files: Mapping[str, bytes], *, kind: Kind = Kind.MODEL, tag: str = "main"
    ) -> None: ...


class InMemory:
    def __init__(self) -> None:
        self.shelf = MemoryShelf()

    async def add(self, name: str, files: Mapping[str, bytes], *, kind: Kind = Kind.MODEL, tag: str = "main") -> None:
        self.shelf.add(name, files, kind=kind, tag=tag)


class OfHub:
    def __init__(self, hub: api.Hub, shelf: Shelf, folder: Path) -> None:
        self.shelf = shelf
        self._hub = hub
        self._folder = folder
        self._count = 0

    async def add(self, name: str, files: Mapping[str, bytes], *, kind: Kind = Kind.MODEL, tag: str = "main") -> None:
        self._count += 1
        folder = write_files(self._folder / str(self._count), files)
        await self._hub.publish(folder, name=name, tag=tag, kind=kind.value)


@pytest.fixture(params=["memory", "hub"])
async def scene(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Scene]:
    if request.param == "memory":
        yield InMemory()
        return
    async with api.open_hub(home=tmp_path / "home", lan=False) as hub, open_hub_shelf(hub) as shelf:
        yield OfHub(hub, shelf, tmp_path / "published")


async def content_of(shelf: Shelf, snapshot: Snapshot, path: str, start: int = 0, stop: int | None = None) -> bytes:
    file = next(file for file in snapshot.files if file.path == path)
    async with shelf.open(snapshot, file) as content:
        if content.standing is not None:
            assert content.standing.unchanged()
        async with aclosing(content.pieces(start, file.size if stop is None else stop)) as pieces:
            return b"".join([taken(piece) async for piece in pieces])


def taken(piece: Piece) -> bytes:
    """Return what a piece has, and be done with it."""
    if isinstance(piece, bytes | memoryview):
        return bytes(piece)
    try:
        found = os.pread(piece.descriptor, piece.stop - piece.start, piece.start)
        assert len(found) == piece.stop - piece.start
        assert piece.unchanged()
        return found
    finally:
        piece.close()


async def test_a_version_has_its_files_in_order_with_what_names_them(scene: Scene) -> None:
    await scene.add("m", FILES)
    snapshot = await scene.shelf.snapshot(M, MAIN)
    assert snapshot.repo == M
    assert [file.path for file in snapshot.files] == sorted(FILES)
    for file in snapshot.files:
        content = FILES[file.path]
        assert (file.size, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        assert file.git_sha1 in (None, hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest())
    assert snapshot.files[0].path == "a/big.safetensors"
    assert await scene.shelf.snapshot(M, Commit(snapshot.commit)) == snapshot


async def test_files_are_read_whole_and_in_part(scene: Scene) -> None:
    await scene.add("m", FILES)
    snapshot = await scene.shelf.snapshot(M, MAIN)
    for path, content in FILES.items():
        assert await content_of(scene.shelf, snapshot, path) == content
    assert (
        await content_of(scene.shelf, snapshot, "a/big.safetensors", 1000, 1_200_000)
        == FILES["a/big.safetensors"][1000:1_200_000]
    )


async def test_what_is_not_there_is_told_apart(scene: Scene) -> None:
    await scene.add("m", FILES)
    for repo in (RepoId(Kind.MODEL, "other"), RepoId(Kind.MODEL, "acme/m"), RepoId(Kind.DATASET, "m")):
        with pytest.raises(Unmapped):
            await scene.shelf.snapshot(repo, MAIN)
        with pytest.raises(Unmapped):
            await scene.shelf.releases(repo, None)
    for revision in (Tag("nope"), Commit("0" * 40)):
        with pytest.raises(NoSuchRevision):
            await scene.shelf.snapshot(M, revision)
        with pytest.raises(NoSuchRevision):
            await scene.shelf.releases(M, revision)


async def test_an_old_version_is_there_by_its_commit_when_its_branch_moved_on(scene: Scene) -> None:
    await scene.add("m", {"x": b"1"})
    first = await scene.shelf.snapshot(M, MAIN)
    await scene.add("m", {"x": b"2"})
    second = await scene.shelf.snapshot(M, MAIN)
    assert second.commit != first.commit
    assert await content_of(scene.shelf, second, "x") == b"2"
    old = await scene.shelf.snapshot(M, Commit(first.commit))
    assert old.files == first.files
    assert await content_of(scene.shelf, old, "x") == b"1"
    assert [each.commit for each in await scene.shelf.releases(M, MAIN)] == [second.commit, first.commit]
    assert [each.commit for each in await scene.shelf.releases(M, Commit(first.commit))] == [first.commit]


async def test_each_tag_has_its_newest_version(scene: Scene) -> None:
    await scene.add("m", {"x": b"1"}, tag="v1")
    await scene.add("m", {"x": b"2"})
    tagged = await scene.shelf.snapshot(M, Tag("v1"))
    assert await content_of(scene.shelf, tagged, "x") == b"1"
    assert {each.tag for each in await scene.shelf.releases(M, None)} == {"main", "v1"}


async def test_what_is_here_is_listed_by_its_kind(scene: Scene) -> None:
    await scene.add("m", {"x": b"1"})
    await scene.add("d", {"x": b"2"}, kind=Kind.DATASET)
    for kind, names in ((Kind.MODEL, ["m"]), (Kind.DATASET, ["d"])):
        found = await scene.shelf.repositories(kind)
        assert [each.repo for each in found] == [RepoId(kind, name) for name in names]
        snapshot = await scene.shelf.snapshot(found[0].repo, MAIN)
        assert found[0].release.commit == snapshot.commit


async def test_names_are_those_of_the_kind(scene: Scene) -> None:
    await scene.add("m", FILES)
    await scene.add("d", FILES, kind=Kind.DATASET)
    assert list(await scene.shelf.names(Kind.MODEL)) == [M]
    assert list(await scene.shelf.names(Kind.DATASET)) == [RepoId(Kind.DATASET, "d")]
