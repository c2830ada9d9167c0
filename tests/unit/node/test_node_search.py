"""A search finds what this home publishes, holds, was told of and finds in attached places, as it is by now."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import trio
from msgspec.structs import replace

from p2phub import limits
from p2phub.errors import UsageError
from p2phub.manifest import Release, read_release, sign_release
from p2phub.node import catalog as node_catalog
from p2phub.store import Accepted, HashedFile, Origin, Provenance
from tests.support.content import Content, content_of
from tests.support.covers import covers
from tests.support.verbs import PEER, PUBLISHER, Scene, own, publish, text

STRANGER = type(PUBLISHER)(b"s" * 32)


async def names(scene: Scene, words: str, **narrowed: Any) -> list[str]:
    return [item["name"] for item in (await scene.call("search", words=words, **narrowed))["items"]]


def accept(scene: Scene, name: str, *, sequence: int = 5, about: str = "", content: Content | None = None) -> None:
    """Have this home have accepted a stranger's release."""
    manifest = content_of({"README.md": b"x"}).root if content is None else content.root
    release = Release(STRANGER.peer_id, name, manifest, sequence, 1, sequence, sequence + 100, description=about)
    accepted = Accepted(sign_release(STRANGER, release), sequence)
    scene.real_ledger.accept(STRANGER.peer_id, name, "main", accepted)


async def test_what_is_published_is_found_with_all_that_is_told_of_it(scene: Scene, tmp_path: Path) -> None:
    published = await publish(scene, tmp_path / "folder", name="llama3-tiny")
    result = await scene.call("search", words="tiny lla")
    assert (result["cursor"], result["total"], result["complete"]) == (None, None, True)
    (item,) = result["items"]
    release = read_release(scene.real_ledger.publications()[0].signed)
    assert item["ref"] == published["reference"]
    assert (item["name"], item["publisher"], item["tag"]) == ("llama3-tiny", PEER, "main")
    assert (item["manifest"], item["kind"], item["size"], item["files"]) == (published["manifest"], "model", 1000, 1)
    assert (item["created"], item["sequence"]) == (release.created, release.sequence)
    assert (item["held"], item["origin"], item["pinned"], item["formats"]) == (True, "published", False, ["pytorch"])
    assert scene.touched


async def test_its_commit_is_what_the_gateway_calls_it(scene: Scene, tmp_path: Path) -> None:
    from p2phub.content import parse_digest
    from p2phub.manifest import commit_of

    published = await publish(scene, tmp_path / "folder")
    (item,) = (await scene.call("search", words=""))["items"]
    assert item["commit"] == commit_of("model", parse_digest(published["manifest"])[0])


async def test_a_newer_release_and_a_name_of_the_users_are_found_with_the_next_search(scene: Scene) -> None:
    accept(scene, "bert", sequence=5, about="first")
    assert await names(scene, "first") == [f"{STRANGER.peer_id}/bert"]
    accept(scene, "bert", sequence=6, about="second")
    assert await names(scene, "first") == []
    assert await names(scene, "second") == [f"{STRANGER.peer_id}/bert"]
    await scene.call("name_add", alias="google/bert", target=f"{STRANGER.peer_id}/bert")
    await scene.call("name_add", alias="goo", target=str(STRANGER.peer_id))
    assert await names(scene, "google") == ["google/bert"]
    assert await names(scene, "goo ") == ["google/bert"]
    await scene.call("name_remove", alias="google/bert")
    assert await names(scene, "google") == []
    assert await names(scene, "bert") == ["goo/bert"]


async def test_a_stranger_is_never_told_by_a_name_alone(scene: Scene) -> None:
    accept(scene, "llama")
    assert await names(scene, "llama") == [f"{STRANGER.peer_id}/llama"]


async def test_what_is_forgotten_was_seen_if_somebody_signed_it_and_else_is_gone(scene: Scene, tmp_path: Path) -> None:
    named, bare = content_of({"a.gguf": b"a" * 10}), content_of({"b.gguf": b"b" * 10})
    own(scene.real_store, named)
    own(scene.real_store, bare, folder=tmp_path / "somewhere")
    accept(scene, "named", content=named)
    assert await names(scene, "gguf", held=True) == [f"{STRANGER.peer_id}/named", "somewhere"]
    scene.real_store.release(named.root)
    scene.real_store.release(bare.root)
    assert await names(scene, "gguf", held=True) == []
    assert await names(scene, "") == [f"{STRANGER.peer_id}/named"]
    scene.real_store.release(named.root)
    own(scene.real_store, named)
    assert await names(scene, "", held=True) == [f"{STRANGER.peer_id}/named"]


async def test_what_was_adopted_is_found_by_the_hubs_name_and_has_its_commit(scene: Scene, tmp_path: Path) -> None:
    content = content_of({"data.parquet": b"p" * 10})
    source = Provenance("hf", "datasets/Org/Rows", "ab" * 20)
    hold_adopted(scene, content, tmp_path, source)
    (item,) = (await scene.call("search", words="org/rows"))["items"]
    assert (item["name"], item["kind"], item["commit"]) == ("Org/Rows", "dataset", "ab" * 20)
    assert (item["ref"], item["publisher"], item["origin"]) == (text(content.root), None, "adopted")


@covers("T20")
@pytest.mark.parametrize("prefix", ["", "datasets/"])
async def test_what_a_cache_calls_by_a_publishers_key_is_not_shown_as_that_publishers(
    scene: Scene, tmp_path: Path, prefix: str
) -> None:
    """A cache that somebody else made may call its folders so. Capitals are what no publisher can have used."""
    content = content_of({"model.bin": b"p" * 10})
    hold_adopted(scene, content, tmp_path, Provenance("hf", f"{prefix}{STRANGER.peer_id}/Llama", "ab" * 20))
    (item,) = (await scene.call("search", words=""))["items"]
    assert item["name"] == tmp_path.name
    assert await names(scene, "llama") == await names(scene, str(STRANGER.peer_id)) == []
    for asked in (f"{STRANGER.peer_id}/Llama", f"{STRANGER.peer_id}/llama", f"{STRANGER.peer_id}/Llama".lower()):
        assert (await scene.call("repository", name=asked))["versions"] == []
    assert (await scene.call("repositories"))["items"] == []
    (holding,) = (await scene.call("ls"))["items"]
    assert holding["manifest"] == text(content.root)


def hold_adopted(scene: Scene, content: Content, folder: Path, source: Provenance) -> None:
    scene.real_store.put_blobs(list(content.blobs.values()))
    files = []
    for entry in content.manifest.files:
        (folder / entry.path).write_bytes(b"p" * entry.size)
        file = scene.real_store.open_in_place(folder, entry.path)
        files.append(HashedFile(entry, None, scene.real_store.fingerprint_of(file), True))
        file.close()
    scene.real_store.hold(content.manifest, content.root, folder, files, origin=Origin.ADOPTED, source=source)


@covers("F31")
async def test_a_folder_whose_name_is_no_text_is_found_as_it_is_shown(scene: Scene, tmp_path: Path) -> None:
    """A node that held anything in one, out of an archive of somebody else's, did not start any more."""
    folder = tmp_path / os.fsdecode(b"mini\xff")
    own(scene.real_store, content_of({"a.bin": b"a"}), folder=folder)
    assert await names(scene, "mini") == [r"mini\xff"]


async def test_a_listing_of_what_is_held_has_a_total_and_pages(scene: Scene, tmp_path: Path) -> None:
    for number in range(5):
        own(scene.real_store, content_of({f"{number}.bin": bytes([number]) * 10}), folder=tmp_path / f"m{number}")
    accept(scene, "not-held")
    cursor, found = None, []
    while True:
        page = await scene.call("search", words="", held=True, limit=2, cursor=cursor)
        assert page["total"] == 5
        found += [item["name"] for item in page["items"]]
        cursor = page["cursor"]
        if cursor is None:
            break
    assert sorted(found) == [f"m{number}" for number in range(5)]


@pytest.mark.parametrize("asked", [{"limit": 0}, {"limit": -1}, {"cursor": -1}, {"words": "x" * 300}, {"kind": "x"}])
async def test_a_question_that_makes_no_sense_is_refused(asked: dict[str, Any], scene: Scene) -> None:
    with pytest.raises(UsageError):
        await scene.call("search", **{"words": "", **asked})


async def test_a_page_is_never_larger_or_further_than_the_bounds(scene: Scene) -> None:
    for number in range(3):
        accept(scene, f"m{number}")
    page = await scene.call("search", words="", limit=10**9, cursor=10**12)
    assert (page["items"], page["cursor"]) == ([], None)


async def test_what_an_attached_place_lists_is_found_and_a_lie_of_it_is_not(
    scene: Scene, reader: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = tmp_path / "lab"
    lab.mkdir()
    await scene.call("share", place=str(lab))
    one = await publish(scene, lab / "one", name="shared-model")
    await reader.call("attach", place=str(lab))
    (item,) = (await reader.call("search", words="shared"))["items"]
    assert (item["ref"], item["origin"]) == (one["reference"], "shared")
    (named,) = reader.real_store.places.named()
    lies = [
        replace(named, name="other-name"),
        replace(named, signed=named.signed[:-1] + bytes([named.signed[-1] ^ 1])),
        replace(named, signed=b"junk"),
    ]
    for lie in lies:
        other = Scene(tmp_path / f"other-{lies.index(lie)}")
        monkeypatch.setattr(other.real_store.places, "named", lambda lie=lie: [lie])
        assert await names(other, "") == []
        other.real_store.close()
        other.real_ledger.close()


async def test_nothing_is_read_again_while_nothing_changed(scene: Scene, tmp_path: Path) -> None:
    await publish(scene, tmp_path / "folder")
    assert await names(scene, "model") == ["model"]
    for each in scene.seen:
        each.calls.clear()
    assert await names(scene, "model") == ["model"]
    assert {call for each in scene.seen for call in each.calls} <= {"stamp", "pins"} | {"names"}


@covers("T49")
async def test_what_was_seen_is_bounded(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SEEN_RELEASES_MAX", 3)
    for number in range(5):
        accept(scene, f"m{number}")
    assert len(await names(scene, "")) == 3


async def test_a_daemon_tells_the_index_by_itself_and_a_search_waits_for_it_but_not_for_long(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = scene.parts.catalog
    monkeypatch.setattr(node_catalog, "WAIT_S", 60.0)
    monkeypatch.setattr(node_catalog, "LOOK_S", 600.0)  # It does not come to look by itself in this test.
    async with trio.open_nursery() as nursery:
        nursery.start_soon(catalog.keep_up)
        accept(scene, "late")
        assert await names(scene, "late") == [f"{STRANGER.peer_id}/late"]
        monkeypatch.setattr(node_catalog, "WAIT_S", 0.0)
        async with catalog._turn:  # Whoever tells it takes long.
            accept(scene, "later")
            result = await scene.call("search", words="late")
        assert [item["name"] for item in result["items"]] == [f"{STRANGER.peer_id}/late"]
        assert not result["complete"]
        monkeypatch.setattr(node_catalog, "WAIT_S", 60.0)
        assert len(await names(scene, "late")) == 2
        nursery.cancel_scope.cancel()


async def test_a_search_that_is_cancelled_leaves_the_rest_to_the_next(scene: Scene, tmp_path: Path) -> None:
    for number in range(5):
        accept(scene, f"m{number}")
    for checkpoints in range(1, 12):
        with trio.CancelScope() as scope:
            left = checkpoints

            class Countdown(trio.abc.Instrument):
                def before_task_step(self, task: trio.lowlevel.Task) -> None:
                    nonlocal left
                    left -= 1
                    if left == 0:
                        scope.cancel()

            instrument = Countdown()
            trio.lowlevel.add_instrument(instrument)
            try:
                await names(scene, "m")
            finally:
                trio.lowlevel.remove_instrument(instrument)
    assert len(await names(scene, "")) == 5
