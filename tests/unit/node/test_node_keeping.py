"""The verbs that keep and collect, without a network: what is here is pinned, what is not ours stays, room is made."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path

import pytest
import trio
from msgspec.structs import replace

from p2phub.content import Digest, RangeSet
from p2phub.discovery import Candidate
from p2phub.engine.collect import ask_others
from p2phub.engine.workers import Workers
from p2phub.errors import DiskError, DiskFull, NotFound
from p2phub.identity import Address, PeerAddress, PeerId
from p2phub.node.keeping import Keeping, described
from p2phub.node.unfinished import Begun, note
from p2phub.store import Keep, Origin, Spare
from p2phub.store.filesystem import FilesystemStore
from p2phub.store.memory import MemoryStore
from tests.support.content import content_of, random_files
from tests.support.covers import covers
from tests.support.verbs import PUBLISHER, Scene, own, publish, text

ONE = content_of(random_files(1, model=5_000), 1000)
TWO = content_of(random_files(2, model=3_000), 1000)


async def test_what_is_held_in_a_users_folder_is_pinned_and_never_collected(scene: Scene, tmp_path: Path) -> None:
    published = await publish(scene, tmp_path / "model")
    pinned = await scene.call("pin", ref=published["reference"])
    assert (pinned["manifest"], pinned["folder"]) == (published["manifest"], str(tmp_path / "model"))
    (item,) = (await scene.call("ls"))["items"]
    assert (item["origin"], item["pinned"]) == ("published", True)
    await scene.call("unpin", ref=published["reference"])
    with pytest.raises(NotFound, match="not pinned"):
        await scene.call("unpin", ref=published["reference"])
    assert (await scene.call("gc"))["items"] == []
    assert (tmp_path / "model" / "weights.bin").read_bytes() == b"w" * 1000
    assert (await scene.call("verify", ref=published["reference"]))["damaged"] == []


async def test_earlier_releases_of_what_is_held_stay_described(scene: Scene, tmp_path: Path) -> None:
    first = await publish(scene, tmp_path / "model")
    (tmp_path / "model" / "more.bin").write_bytes(b"more")
    second = await publish(scene, tmp_path / "model")
    for blob in (scene.parts.config.home / "blobs").iterdir():
        os.utime(blob, times=(time.time() - 90_000,) * 2)
    assert (await scene.call("gc"))["blobs"] == 0
    held = frozenset(each.manifest for each in scene.real_store.holdings())
    assert {text(manifest) for manifest in described(scene.real_ledger, held)} == {
        first["manifest"],
        second["manifest"],
    }
    assert (await scene.call("unpublish", ref=second["reference"]))["earlier"] == [first["manifest"]]
    assert (await scene.call("gc"))["blobs"] > 0


async def test_what_is_forgotten_is_not_pinned_any_more(scene: Scene) -> None:
    own(scene.real_store, ONE)
    await scene.call("pin", ref=text(ONE.root))
    gone = await scene.call("remove", ref=text(ONE.root))
    assert gone["own"] == [str(scene.real_store.own_folder(ONE.root))]
    assert scene.real_ledger.pins() == frozenset()
    told = await scene.call("gc")
    assert [each["folder"] for each in told["leftovers"]] == gone["own"]
    assert not scene.real_store.own_folder(ONE.root).exists()


@covers("F33")
async def test_a_fetch_makes_room_within_the_quota_and_only_as_much_as_it_needs(scene: Scene) -> None:
    for content in (ONE, TWO):
        own(scene.real_store, content)
    scene.real_store.note_others(ONE.root, 9)  # So it goes first: of the other nobody knows.
    keeping = keeping_with(scene, quota=10_000)
    async with keeping.room_for(other := content_of({"x": b"x"}).root) as make_room:
        await make_room(2_000)
        assert len(scene.real_store.holdings()) == 2
        await make_room(4_000)
        assert [held.manifest for held in scene.real_store.holdings()] == [TWO.root]
        with pytest.raises(DiskFull, match="over the quota"):
            async with keeping.room_for(content_of({"y": b"y"}).root) as other_room:
                await other_room(9_000)  # 4,000 are promised to the first.
    assert [held.manifest for held in scene.real_store.holdings()] == [TWO.root]
    scene.real_ledger.pin(TWO.root, pinned=True)
    async with keeping.room_for(other) as make_room:
        with pytest.raises(DiskFull):
            await make_room(7_001)
        await make_room(7_000)
    assert [held.manifest for held in scene.real_store.holdings()] == [TWO.root]


async def test_what_was_given_by_links_counts_as_let_go_of_though_nothing_becomes_free(
    scene: Scene, tmp_path: Path
) -> None:
    for content in (ONE, TWO):
        own(scene.real_store, content)
    await scene.call("give", ref=text(ONE.root), to="hf-cache", place=str(tmp_path / "hf"), name="org/name")
    assert (scene.real_store.own_folder(ONE.root) / "model.bin").stat().st_nlink == 2
    scene.real_store.note_others(ONE.root, 9)  # So it goes first.
    keeping = keeping_with(scene, quota=10_000)
    async with keeping.room_for(content_of({"x": b"x"}).root) as make_room:
        await make_room(4_000)
    held = {(each.manifest, each.origin) for each in scene.real_store.holdings()}
    assert held == {(ONE.root, Origin.ADOPTED), (TWO.root, Origin.OWN)}


async def test_what_unfinished_fetches_left_in_the_own_store_counts(scene: Scene) -> None:
    store = scene.real_store
    store.put_blobs(list(ONE.blobs.values()))
    arrival = store.arrive(ONE.manifest, ONE.root, ONE.table, store.own_folder(ONE.root), force=False)
    some = RangeSet.of([(0, 4)])
    for chunk in some:
        arrival.write(chunk, ONE.chunk(chunk))
    arrival.verified(some)
    arrival.close()
    left = store.own_unfinished()[ONE.root]
    assert left >= 4_000
    keeping = keeping_with(scene, quota=left + 2_000)
    async with keeping.room_for(content_of({"x": b"x"}).root) as make_room:
        await make_room(2_000)
        with pytest.raises(DiskFull, match="over the quota"):
            await make_room(2_001)
    async with keeping.room_for(ONE.root) as go_on:
        await go_on(left + 2_000)  # All of it, which is what counts of it from then on.
        async with keeping.room_for(content_of({"y": b"y"}).root) as make_room:
            with pytest.raises(DiskFull, match="over the quota"):
                await make_room(1)


async def test_what_a_pin_left_that_did_not_end_is_told_apart_and_collected_once(scene: Scene) -> None:
    store = scene.real_store
    store.put_blobs(list(ONE.blobs.values()))
    folder = store.own_folder(ONE.root)
    arrival = store.arrive(ONE.manifest, ONE.root, ONE.table, folder, force=False)
    arrival.write(0, ONE.chunk(0))
    arrival.verified(RangeSet.of([(0, 1)]))
    arrival.close()
    scene.real_ledger.pin(ONE.root, pinned=True)
    note(scene.parts.config.home, Begun("x/one", ONE.root, folder))
    used = await scene.call("du")
    assert (used["leftover_bytes"], used["unfinished_bytes"]) == (0, store.own_unfinished()[ONE.root])
    kept = await scene.call("gc")
    assert (kept["leftovers"], kept["unfinished"], kept["unfinished_bytes"] > 0) == ([], [], True)
    assert (await scene.call("unpin", ref=text(ONE.root)))["unfinished"] is True
    dry = await scene.call("gc", dry_run=True, unfinished=True)
    done = await scene.call("gc", dry_run=False, unfinished=True)
    assert [each["folder"] for each in dry["unfinished"]] == [each["folder"] for each in done["unfinished"]]
    assert (dry["leftovers"], done["leftovers"], done["unfinished_bytes"]) == ([], [], 0)
    assert not folder.exists()


@covers("F33")
async def test_what_a_running_fetch_needs_is_not_collected(scene: Scene) -> None:
    own(scene.real_store, ONE)
    busy = Keeping(scene.parts, busy=lambda: [ONE.root], changed=lambda manifest: None, online=False)
    keep = await busy.keep()
    assert scene.real_store.collectable(keep).spare == ()
    assert scene.real_store.collect(Spare(ONE.root, scene.real_store.own_folder(ONE.root), 1), keep) is None


@covers("F33")
async def test_what_a_draft_begins_with_is_collected_by_no_process(scene: Scene) -> None:
    own(scene.real_store, ONE)
    spare = Spare(ONE.root, scene.real_store.own_folder(ONE.root), 1)
    other = FilesystemStore(scene.parts.config.home)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(scene.call, "open_draft", base=text(ONE.root)))
        while not scene.node.drafts:
            await trio.lowlevel.checkpoint()
        assert other.collect(spare, Keep()) is None
        (number,) = scene.node.drafts
        await scene.call("close_draft", number=number)
    assert other.collect(spare, Keep()) is not None
    other.close()


def keeping_with(scene: Scene, *, quota: int) -> Keeping:
    scene.parts.config = replace(scene.parts.config, quota=quota)
    return Keeping(scene.parts, busy=tuple, changed=lambda manifest: None, online=False)


async def test_damage_is_found_in_the_own_store_told_and_not_served(scene: Scene) -> None:
    own(scene.real_store, ONE)
    place = scene.real_store.own_folder(ONE.root) / "model.bin"
    data = bytearray(place.read_bytes())
    data[1500] ^= 1
    place.write_bytes(data)
    found = await scene.call("verify", ref=text(ONE.root))
    assert [(each["path"], each["chunks"]) for each in found["damaged"]] == [("model.bin", [1])]
    assert found["origin"] == "own"
    plan = scene.real_store.read_plan(ONE.root)
    assert plan is not None
    assert not plan.held


async def test_what_was_published_is_not_repaired(scene: Scene, tmp_path: Path) -> None:
    published = await publish(scene, tmp_path / "model")
    (tmp_path / "model" / "weights.bin").write_bytes(b"v" * 1000)
    with pytest.raises(DiskError, match="only read"):
        await scene.call("verify", ref=published["reference"], repair=True)
    assert (tmp_path / "model" / "weights.bin").read_bytes() == b"v" * 1000


async def test_a_disk_that_was_away_for_a_while_leaves_nothing_in_doubt(scene: Scene, tmp_path: Path) -> None:
    published = await publish(scene, tmp_path / "model")
    (tmp_path / "model").rename(tmp_path / "away")
    (tmp_path / "model").mkdir()
    told = await scene.call("verify", ref=published["reference"])
    assert [each["path"] for each in told["damaged"]] == ["weights.bin"]
    (tmp_path / "model").rmdir()
    (tmp_path / "away").rename(tmp_path / "model")
    assert scene.real_store.holdings()[0].complete


async def test_what_cannot_be_opened_for_the_moment_is_told_and_not_doubted(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = await publish(scene, tmp_path / "model")

    def refused(*_: object) -> None:
        raise DiskError("cannot read it: Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(scene.real_store, "open_held", refused)
        told = await scene.call("verify", ref=published["reference"])
    assert [each["reason"] for each in told["damaged"]] == ["cannot read it: Permission denied"]
    assert scene.real_store.holdings()[0].complete


async def test_a_verify_that_finds_all_right_ends_the_doubt(scene: Scene, tmp_path: Path) -> None:
    published = await publish(scene, tmp_path / "model")
    place = tmp_path / "model" / "weights.bin"
    place.write_bytes(b"v" * 1000)
    assert (await scene.call("verify", ref=published["reference"]))["damaged"] != []
    assert not scene.real_store.holdings()[0].complete
    place.write_bytes(b"w" * 1000)
    assert (await scene.call("verify", ref=published["reference"]))["damaged"] == []
    assert scene.real_store.holdings()[0].complete


async def test_one_file_that_is_gone_is_doubted(scene: Scene) -> None:
    pair = content_of({"a.bin": b"a" * 2_000, "b.bin": b"b" * 2_000}, 1000)
    own(scene.real_store, pair)
    (scene.real_store.own_folder(pair.root) / "a.bin").unlink()
    assert [each["path"] for each in (await scene.call("verify", ref=text(pair.root)))["damaged"]] == ["a.bin"]
    (held,) = scene.real_store.holdings()
    assert (held.complete, held.held) == (False, RangeSet.of([pair.table.span(1)]))


async def test_nothing_is_repaired_below_the_place_of_a_disk_that_is_away(scene: Scene, tmp_path: Path) -> None:
    folder = tmp_path / "disk" / "model"
    own(scene.real_store, ONE, folder=folder)
    (tmp_path / "disk").rename(tmp_path / "away")
    (tmp_path / "disk").mkdir()
    with pytest.raises(NotFound, match="not mounted"):
        await scene.call("verify", ref=text(ONE.root), repair=True)
    assert list((tmp_path / "disk").iterdir()) == []
    (tmp_path / "disk").rmdir()
    (tmp_path / "away").rename(tmp_path / "disk")
    assert scene.real_store.holdings()[0].complete
    assert (await scene.call("verify", ref=text(ONE.root), repair=True))["damaged"] == []


class CountingFinder:
    """Names as many providers of each manifest as it was told, us among them."""

    def __init__(self, counts: dict[Digest, int]) -> None:
        self.counts = counts

    async def providers(self, manifest: Digest, found: trio.MemorySendChannel[Candidate]) -> None:
        for number in range(self.counts[manifest]):
            peer = PUBLISHER.peer_id if number == 0 else PeerId(bytes([number]) * 32)
            await found.send(Candidate(PeerAddress(peer, Address("192.0.2.1", 4717)), "direct"))


async def test_the_network_is_asked_who_else_holds_what_may_go() -> None:
    store = MemoryStore()
    spare = [Spare(content.root, store.own_folder(content.root), 1, at) for at, content in enumerate((ONE, TWO))]
    finder: object = CountingFinder({ONE.root: 3, TWO.root: 9})
    ordered = await ask_others(
        spare, finder, own=PUBLISHER.peer_id, store=store, workers=Workers()  # type: ignore[arg-type]
    )  # fmt: skip
    assert [(each.manifest, each.others) for each in ordered] == [(TWO.root, 8), (ONE.root, 2)]


async def test_what_goes_and_what_was_served_is_called_by_whatever_is_known_of_it(scene: Scene, tmp_path: Path) -> None:
    first = await publish(scene, tmp_path / "model")
    (tmp_path / "model" / "more.bin").write_bytes(b"more")
    second = await publish(scene, tmp_path / "model")
    own(scene.real_store, ONE)
    own(scene.real_store, TWO, folder=tmp_path / "other")
    manifests = {each.manifest for each in scene.real_store.held_at()}
    scene.parts.shelf.bytes_sent.update(dict.fromkeys(manifests, 7))
    names = (await scene.call("status"))["names"]
    assert names[second["manifest"]] == names[first["manifest"]] == second["reference"]
    assert names[text(TWO.root)] == "other"
    assert text(ONE.root) not in names
    (item,) = (await scene.call("gc", dry_run=True))["items"]
    assert (item["manifest"], item["name"], item["references"]) == (text(ONE.root), None, [])
