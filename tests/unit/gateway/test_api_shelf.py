"""Names are answered by what the user chose; and what was found out is not asked for again with each request."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from p2phub import api, limits
from p2phub.errors import NoProvider, NotFound, NotTrusted, UsageError
from p2phub.gateway import api_shelf
from p2phub.gateway.api_shelf import HubShelf, open_hub_shelf
from p2phub.gateway.open_models import OpenModels
from p2phub.gateway.revisions import Commit, Tag
from p2phub.gateway.routes import Kind, RepoId
from p2phub.gateway.shelf import NoSuchRevision, Snapshot, Unmapped
from tests.support.covers import covers
from tests.support.hub_cache import COMMIT, OTHER_COMMIT, Repository

MAIN = Tag("main")


class Home:
    """A home without a network, and the shelf of its hub."""

    def __init__(self, hub: api.Hub, shelf: HubShelf, folder: Path) -> None:
        self.hub = hub
        self.shelf = shelf
        self.folder = folder

    async def publish(self, content: bytes = b"x", *, name: str = "m", tag: str = "main", kind: str = "model") -> str:
        """Publish one file; return the reference with the publisher's key."""
        folder = self.folder / f"{name}-{tag}-{content.hex()}"
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(content)
        return (await self.hub.publish(folder, name=name, tag=tag, kind=kind)).reference

    async def file_of(self, name: str, revision: Tag | Commit = MAIN, kind: Kind = Kind.MODEL) -> str:
        """Return the SHA-256 of the first file."""
        return (await self.snapshot(name, revision, kind)).files[0].sha256

    async def snapshot(self, name: str, revision: Tag | Commit = MAIN, kind: Kind = Kind.MODEL) -> Snapshot:
        return await self.shelf.snapshot(RepoId(kind, name), revision)


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    async with api.open_hub(home=tmp_path / "home", lan=False) as hub, open_hub_shelf(hub) as shelf:
        yield Home(hub, shelf, tmp_path / "published")


def adopt_cache(folder: Path, name: str, commit: str, content: bytes) -> Path:
    """Make a hub's cache with one file; return it."""
    repository = Repository(folder, name, commit)
    repository.add("config.json", content)
    repository.list()
    return folder


async def test_a_name_is_what_is_published_here_and_a_key_says_whose(home: Home) -> None:
    reference = await home.publish()
    publisher = reference.partition("/")[0]
    assert await home.file_of("m") == await home.file_of(f"{publisher}/m")
    # It is one version, but of two repositories: a client that removes one leaves the other.
    assert (await home.snapshot("m")).commit != (await home.snapshot(f"{publisher}/m")).commit


@covers("T20")
async def test_whoever_is_called_alike_answers_to_no_name_that_the_user_did_not_give(home: Home) -> None:
    reference = await home.publish(name="llama-3")
    with pytest.raises(Unmapped) as refused:
        await home.snapshot("meta-llama/Llama-3")
    assert f"p2phub name add meta-llama/Llama-3 {reference}" in str(refused.value.hint)
    with pytest.raises(Unmapped) as refused:
        await home.snapshot("meta-llama/other")
    assert "p2phub name add meta-llama/other PUBLISHER/name" in str(refused.value.hint)
    await home.hub.name_add("meta-llama/Llama-3", reference)
    assert await home.file_of("meta-llama/Llama-3") == await home.file_of("llama-3")
    await home.hub.name_remove("meta-llama/Llama-3")
    with pytest.raises(Unmapped):
        await home.snapshot("meta-llama/Llama-3")


async def test_a_name_for_a_publisher_is_one_for_all_that_it_published(home: Home) -> None:
    reference = await home.publish()
    with pytest.raises(Unmapped):
        await home.snapshot("alice/m")
    await home.hub.name_add("alice", reference.partition("/")[0])
    assert await home.file_of("alice/m") == await home.file_of("m")
    with pytest.raises(Unmapped):  # Which no publisher can have called so.
        await home.snapshot("alice/Not-A-Name")


async def test_a_mapping_to_a_tag_is_the_default_of_its_name(home: Home) -> None:
    await home.publish(b"1")
    reference = await home.publish(b"2", tag="v2")
    await home.publish(b"3", tag="v3")
    await home.hub.name_add("acme/m", reference)
    assert await home.file_of("acme/m") == await home.file_of("m", Tag("v2"))
    assert await home.file_of("acme/m", Tag("v3")) == await home.file_of("m", Tag("v3"))


async def test_a_mapping_to_a_digest_or_ticket_is_one_version_and_of_any_kind(home: Home) -> None:
    first = await home.publish(b"1")
    info = await home.hub.info(first)
    await home.publish(b"2")
    await home.hub.name_add("acme/pinned", info["manifest"])
    await home.hub.name_add("acme/both", f"{first}@{info['manifest']}")
    for name in ("acme/pinned", "acme/both"):
        snapshot = await home.snapshot(name)
        assert snapshot.files[0].sha256 == info["files"][0]["sha256"]
        assert await home.snapshot(name, Commit(snapshot.commit)) == snapshot
        with pytest.raises(NoSuchRevision):
            await home.snapshot(name, Tag("v1"))
    assert await home.file_of("acme/pinned", kind=Kind.DATASET) == info["files"][0]["sha256"]


async def test_what_was_adopted_answers_to_its_name_with_the_hubs_own_commits(home: Home, tmp_path: Path) -> None:
    adopt_cache(tmp_path / "hub", "models--acme--mini", OTHER_COMMIT, b"old")
    adopt_cache(tmp_path / "hub", "models--acme--mini", COMMIT, b"new")
    adopt_cache(tmp_path / "hub", "datasets--acme--data", COMMIT, b"data")
    await home.hub.adopt(tmp_path / "hub")
    commits = {(await home.snapshot("acme/mini", Commit(each))).files[0].sha256 for each in (COMMIT, OTHER_COMMIT)}
    assert len(commits) == 2
    assert (await home.snapshot("acme/mini")).commit in (COMMIT, OTHER_COMMIT)
    assert (await home.snapshot("acme/data", kind=Kind.DATASET)).commit == COMMIT
    with pytest.raises(Unmapped, match="dataset"):
        await home.snapshot("acme/data")
    listed = await home.shelf.repositories(Kind.MODEL)
    assert [each.repo.name for each in listed] == ["acme/mini"]


async def test_what_the_user_mapped_goes_before_what_was_adopted(home: Home, tmp_path: Path) -> None:
    await home.hub.adopt(adopt_cache(tmp_path / "hub", "models--acme--mini", COMMIT, b"adopted"))
    await home.hub.name_add("acme/mini", await home.publish(b"mine"))
    assert await home.file_of("acme/mini") == await home.file_of("m")


async def test_a_mapped_digest_that_was_adopted_keeps_the_hubs_commit(home: Home, tmp_path: Path) -> None:
    await home.hub.adopt(adopt_cache(tmp_path / "hub", "models--acme--mini", COMMIT, b"adopted"))
    (item,) = await home.hub.ls()
    await home.hub.name_add("other/name", item["manifest"])
    assert (await home.snapshot("other/name")).commit == COMMIT


async def test_a_key_whose_name_nobody_knows_now_is_not_told_to_be_absent(home: Home) -> None:
    publisher = (await home.publish()).partition("/")[0]
    for name in (f"{publisher}/other", "12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB/m"):
        with pytest.raises(NoProvider):
            await home.snapshot(name)


async def test_of_what_is_published_here_an_unknown_tag_is_absent_and_nobody_is_asked(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = await home.publish()

    async def ask(ref: str, **_: object) -> dict[str, Any]:
        raise AssertionError(f"{ref} was looked up")

    monkeypatch.setattr(home.hub, "info", ask)
    for name in ("m", reference):
        with pytest.raises(NoSuchRevision):
            await home.snapshot(name, Tag("nope"))


async def test_what_is_not_public_is_served_to_its_owner(home: Home, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "file").write_bytes(b"secret")
    await home.hub.publish(tmp_path / "secret", name="mine", private=True)
    assert (await home.snapshot("mine")).release.private
    assert [each.release.private for each in await home.shelf.repositories(Kind.MODEL)] == [True]


# --- a publisher elsewhere: the hub only plays ------------------------------------------------------------------------

PEER = "12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB"
NAME = f"{PEER}/m"
REPO = RepoId(Kind.MODEL, NAME)
MANIFESTS = ["bagaqihrazcq5wb4xp54ys77h2w466e33iahjfngjszwk7fckn5tgzdary2bq"]


class PlayedHub:
    """A hub that knows one name by its publisher. `error`: what asking the network raises; `slow`: it never answers."""

    allow_unsafe = False

    def __init__(self) -> None:
        self.known = False
        self.error: Exception | None = None
        self.slow = False
        self.files: list[dict[str, Any]] | None = [{"path": "file", "size": 1, "sha256": "0" * 64, "git_sha1": None}]
        self.asked: list[str] = []
        self.told = 0  # How often it was asked what a name means.

    async def repository(self, name: str) -> dict[str, Any]:
        self.told += 1
        versions = [self._version()] if self.known else []
        return {"reference": name, "settled": False, "versions": versions, "candidates": []}

    async def info(self, ref: str) -> dict[str, Any]:
        self.asked.append(ref)
        if self.slow:
            await trio.sleep_forever()
        if self.error is not None:
            raise self.error
        self.known = True
        release = {key: self._version()[key] for key in ("tag", "kind", "created", "licence", "description")}
        why = {"files_unknown_because": "nobody is there"}
        return {"manifest": MANIFESTS[0], "release": release, "held": None, "files": self.files, **why}

    def _version(self) -> dict[str, Any]:
        told = {"manifest": MANIFESTS[0], "tag": "main", "kind": "model", "created": 1, "revision": None}
        return {**told, "licence": "", "description": "", "private": False, "published": False}


@pytest.fixture
def played() -> PlayedHub:
    return PlayedHub()


@pytest.fixture
def shelf(played: PlayedHub) -> HubShelf:
    hub: Any = played
    return HubShelf(hub, allow_unsafe=False)


async def test_a_name_is_looked_up_once_a_minute_and_not_with_each_request(
    played: PlayedHub, shelf: HubShelf, autojump_clock: trio.testing.MockClock
) -> None:
    snapshots = []
    async with trio.open_nursery() as nursery:

        async def look() -> None:
            snapshots.append(await shelf.snapshot(REPO, MAIN))

        for _ in range(8):
            nursery.start_soon(look)
    assert len({each.commit for each in snapshots}) == 1
    await shelf.snapshot(REPO, Commit(snapshots[0].commit))
    first = len(played.asked)
    assert first <= 8
    for _ in range(20):
        await shelf.snapshot(REPO, MAIN)
    assert len(played.asked) == first
    await trio.sleep(limits.GATEWAY_FRESH_S)
    await shelf.snapshot(REPO, MAIN)
    assert len(played.asked) == first + 1


async def test_for_each_file_of_a_commit_it_is_not_asked_anew_what_its_name_means(
    played: PlayedHub, shelf: HubShelf, autojump_clock: trio.testing.MockClock
) -> None:
    commit = Commit((await shelf.snapshot(REPO, MAIN)).commit)
    await shelf.snapshot(REPO, commit)
    told = played.told
    for _ in range(100):
        await shelf.snapshot(REPO, commit)
    assert played.told == told
    await trio.sleep(api_shelf._COMMIT_S)
    await shelf.snapshot(REPO, commit)
    assert played.told == told + 1


@pytest.mark.parametrize("error", [NotFound("nobody knows it"), NoProvider("nobody answers")])
async def test_what_was_accepted_before_counts_while_nobody_is_there(
    played: PlayedHub, shelf: HubShelf, error: Exception, autojump_clock: trio.testing.MockClock
) -> None:
    before = await shelf.snapshot(REPO, MAIN)
    await trio.sleep(limits.GATEWAY_FRESH_S)
    played.error = error
    assert await shelf.snapshot(REPO, MAIN) == before


async def test_a_slow_network_does_not_hold_up_what_is_known(
    played: PlayedHub, shelf: HubShelf, autojump_clock: trio.testing.MockClock
) -> None:
    before = await shelf.snapshot(REPO, MAIN)
    await trio.sleep(limits.GATEWAY_FRESH_S)
    played.slow = True
    began = trio.current_time()
    assert await shelf.snapshot(REPO, MAIN) == before
    assert trio.current_time() - began < 10  # When a client gives up on the head of a file.


async def test_a_name_that_nobody_tells_of_is_to_be_had_later(
    played: PlayedHub, shelf: HubShelf, autojump_clock: trio.testing.MockClock
) -> None:
    played.slow = True
    began = trio.current_time()
    with pytest.raises(NoProvider, match="nobody told within"):
        await shelf.snapshot(REPO, MAIN)
    assert trio.current_time() - began == limits.GATEWAY_LOOKUP_S
    played.slow = False
    assert (await shelf.snapshot(REPO, MAIN)).files


async def test_what_is_not_trusted_any_more_is_not_served_for_want_of_better(
    played: PlayedHub, shelf: HubShelf, autojump_clock: trio.testing.MockClock
) -> None:
    await shelf.snapshot(REPO, MAIN)
    await trio.sleep(limits.GATEWAY_FRESH_S)
    played.error = NotTrusted("expired")
    with pytest.raises(NotTrusted):
        await shelf.snapshot(REPO, MAIN)


async def test_a_listing_that_nobody_can_tell_is_to_be_had_later(played: PlayedHub, shelf: HubShelf) -> None:
    played.files = None
    with pytest.raises(NoProvider, match="nobody is there"):
        await shelf.snapshot(REPO, MAIN)


async def test_another_kind_than_asked_for_is_no_repository(played: PlayedHub, shelf: HubShelf) -> None:
    for _ in range(2):  # Before and after it is known here.
        with pytest.raises(Unmapped):
            await shelf.snapshot(RepoId(Kind.DATASET, NAME), MAIN)


async def test_a_usage_error_of_the_network_is_not_taken_for_absence(played: PlayedHub, shelf: HubShelf) -> None:
    played.error = UsageError("what?")
    with pytest.raises(UsageError):
        await shelf.snapshot(REPO, MAIN)


def test_the_wait_for_a_newer_release_ends_before_clients_give_up() -> None:
    assert api_shelf._LOOK_S < 10


# --- models that are open ---------------------------------------------------------------------------------------------


class SlowModel:
    """An open model that takes a second to close."""

    def __init__(self, manifest: str) -> None:
        self.manifest = manifest
        self.closed = 0

    async def __aenter__(self) -> SlowModel:
        return self

    async def __aexit__(self, *error: object) -> None:
        self.closed += 1
        await trio.sleep(1)


async def test_models_are_closed_once_though_several_are_about_to_close_them(
    autojump_clock: trio.testing.MockClock,
) -> None:
    opened: list[SlowModel] = []

    class ModelHub:
        def open_model(self, key: str) -> SlowModel:
            opened.append(SlowModel(key))
            return opened[-1]

    hub: Any = ModelHub()
    models = OpenModels(hub)

    async def use(key: str) -> None:
        async with models.model(key, key):
            await trio.lowlevel.checkpoint()

    for number in range(limits.GATEWAY_MODELS_OPEN_MAX):
        await use(str(number))
    await trio.sleep(limits.GATEWAY_MODEL_IDLE_S)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(models.tidy)
        for number in range(20, 30):
            nursery.start_soon(use, str(number))
        await trio.sleep(0.5)
        nursery.start_soon(models.tidy)
    await models.close()
    assert [each.closed for each in opened] == [1] * len(opened)


# --- files whose provider is lost -------------------------------------------------------------------------------------


class LostModel:
    """An open model that never comes, or whose bytes never do. `standing`: what is here of it."""

    def __init__(self, manifest: str, *, opens: bool, standing: Any = None) -> None:
        self.manifest = manifest
        self._opens = opens
        self._standing = standing
        self.looked_for_s = 0.0
        self.takes_s = 60.0  # So long a fetch waits for who was lost.
        self.comes_for_s = 0.0  # So long something comes.

    async def __aenter__(self) -> LostModel:
        if not self._opens:
            await trio.sleep_forever()
        return self

    async def __aexit__(self, *error: object) -> None:
        pass

    async def descriptor(self, path: str) -> Any:
        return self._standing

    async def danger(self, path: str, *, start: int = 0) -> str | None:
        began = trio.current_time()
        try:
            await trio.sleep(self.takes_s)
        finally:
            self.looked_for_s = trio.current_time() - began
        return None


class PlayedStanding:
    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


def shelf_of(model: LostModel) -> HubShelf:
    class LostHub(PlayedHub):
        async def pulse(self) -> dict[str, Any]:
            rate = 1000.0 if trio.current_time() < model.comes_for_s else 0.0
            explanations = [None, {"sources": []}, {"sources": [{"bytes_per_s": 0.0}, {"bytes_per_s": rate}]}]
            other = {"manifest": "another", "explanation": {"sources": [{"bytes_per_s": 1.0}]}}
            return {"jobs": [other, *({"manifest": model.manifest, "explanation": each} for each in explanations)]}

        def open_model(self, key: str) -> LostModel:
            return model

        async def ls(self, ref: str) -> list[dict[str, Any]]:
            return []

    hub: Any = LostHub()
    return HubShelf(hub, allow_unsafe=False)


@pytest.mark.parametrize("opens", [False, True])
async def test_a_file_that_nobody_gives_is_told_to_be_had_later_before_clients_give_up(
    opens: bool, autojump_clock: trio.testing.MockClock
) -> None:
    model = LostModel(MANIFESTS[0], opens=opens)
    shelf = shelf_of(model)
    snapshot = await shelf.snapshot(REPO, MAIN)
    began = trio.current_time()
    with pytest.raises(NoProvider, match="nobody gave the beginning of file in time"):
        async with shelf.open(snapshot, snapshot.files[0]):
            pass
    assert trio.current_time() - began < 10
    assert model.looked_for_s < 10  # Nothing goes on asking for it.


@pytest.mark.parametrize(("takes_s", "comes_for_s", "given"), [(30, 40, True), (30, 15, False), (200, 300, False)])
async def test_over_a_slow_line_it_is_waited_for_as_long_as_something_comes(
    takes_s: float, comes_for_s: float, given: bool, autojump_clock: trio.testing.MockClock
) -> None:
    model = LostModel(MANIFESTS[0], opens=True)
    shelf = shelf_of(model)
    snapshot = await shelf.snapshot(REPO, MAIN)
    began = trio.current_time()
    model.takes_s, model.comes_for_s = takes_s, began + comes_for_s
    with contextlib.nullcontext() if given else pytest.raises(NoProvider, match="in time"):
        async with shelf.open(snapshot, snapshot.files[0]):
            assert trio.current_time() - began == takes_s
    assert trio.current_time() - began <= min(comes_for_s + 2, limits.GATEWAY_LOOKUP_S + 2)


async def test_what_is_here_whole_is_looked_at_for_as_long_as_the_disk_takes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    standing = PlayedStanding()
    shelf = shelf_of(LostModel(MANIFESTS[0], opens=True, standing=standing))
    snapshot = await shelf.snapshot(REPO, MAIN)
    async with shelf.open(snapshot, snapshot.files[0]) as content:
        assert content.standing is standing
    assert standing.closed == 1
