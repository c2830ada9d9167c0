"""What came from an upstream hub counts and is collected as the own store is: by quota, pins, use, and what others
have."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from p2phub import limits
from p2phub.content import Digest
from p2phub.errors import DiskFull
from p2phub.node.keeping import Keeping
from p2phub.store import Keep, SpareSnapshot
from p2phub.store.hub_copy import PRIVATE, HubCopy
from tests.support.content import content_of, random_files
from tests.support.covers import covers
from tests.support.hub_copies import commit_of, copied, hub_files, stands_whole, unused
from tests.support.verbs import Scene, own, text

OLD = {"config.json": b"{}", "model.safetensors": b"o" * 3_000, "sub/same.bin": b"s" * 500}
NEW = {"config.json": b'{"new": 1}', "model.safetensors": b"n" * 4_000, "sub/same.bin": b"s" * 500}
OWN = content_of(random_files(1, model=5_000), 1000)


def bytes_of(files: dict[str, bytes]) -> int:
    return sum(map(len, files.values()))


async def adopt(scene: Scene, copy: HubCopy) -> None:
    await scene.call("adopt", places=[("hf", str(copy.folder))])


def manifest_at(scene: Scene, folder: Path) -> Digest:
    (found,) = (each.manifest for each in scene.real_store.holdings() if each.folder == folder)
    return found


def keeping_with(scene: Scene, *, quota: int, coming: int = 0) -> Keeping:
    scene.parts.config = replace(scene.parts.config, quota=quota)
    return Keeping(scene.parts, busy=tuple, changed=lambda manifest: None, online=False, coming=lambda: coming)


def home_of(scene: Scene) -> Path:
    return Path(scene.parts.config.home)


async def test_gc_tells_and_then_removes_snapshots_and_keeps_what_another_one_has(scene: Scene) -> None:
    home = home_of(scene)
    old = copied(home, "acme/mini", commit_of(1), OLD, days=3)
    new = copied(home, "acme/mini", commit_of(2), NEW, days=1)
    await adopt(scene, old)
    scene.real_ledger.pin(manifest_at(scene, new.snapshot), pinned=True)
    told = await scene.call("gc", dry_run=True)
    (item,) = told["items"]
    assert (item["name"], item["revision"], item["origin"]) == ("acme/mini", commit_of(1), "upstream")
    assert (item["bytes"], item["folder"]) == (bytes_of(OLD) - 500, str(old.snapshot))
    assert stands_whole(old, OLD)
    before = scene.real_store.upstream_bytes()
    gone = await scene.call("gc")
    assert [each["bytes"] for each in gone["items"]] == [item["bytes"]]
    assert gone["leftovers"] == []
    assert before - scene.real_store.upstream_bytes() == item["bytes"]
    assert not old.snapshot.exists()
    assert stands_whole(new, NEW)
    assert [each.folder for each in scene.real_store.holdings()] == [new.snapshot]
    assert (await scene.call("gc"))["items"] == []


async def test_two_snapshots_that_go_free_together_what_both_have_and_leave_no_folder(scene: Scene) -> None:
    home = home_of(scene)
    old = copied(home, "acme/mini", commit_of(1), OLD, days=3)
    copied(home, "acme/mini", commit_of(2), NEW, days=1, without=("model.safetensors",))
    copied(home, "acme/secret", commit_of(3), OLD, cache=PRIVATE, days=2)
    await adopt(scene, old)
    told = await scene.call("gc", dry_run=True)
    assert [each["revision"] for each in told["items"]] == [commit_of(number) for number in (1, 3, 2)]
    assert told["bytes"] == scene.real_store.upstream_bytes()
    gone = await scene.call("gc")
    assert [each["bytes"] for each in gone["items"]] == [each["bytes"] for each in told["items"]]
    assert scene.real_store.upstream_bytes() == 0
    assert scene.real_store.holdings() == ()
    assert [each for each in (home / "upstream").rglob("*") if each.name not in ("public", "private")] == []


async def test_what_was_used_lately_is_pinned_busy_or_read_stays(scene: Scene) -> None:
    home = home_of(scene)
    copy = copied(home, "acme/mini", commit_of(1), OLD)
    await adopt(scene, copy)
    manifest = manifest_at(scene, copy.snapshot)
    (spare,) = scene.real_store.collectable(Keep()).snapshots
    assert spare.manifests == (manifest,)
    with scene.node.using(manifest):
        assert (await scene.call("gc"))["items"] == []
    for keep in (Keep(pinned=frozenset({manifest})), Keep(busy=frozenset({manifest}))):
        assert scene.real_store.collectable(keep).snapshots == ()
        assert scene.real_store.collect(spare, keep) is None
    with scene.real_store.in_use(manifest):
        assert scene.real_store.collect(spare, Keep()) is None
    used, was_there = copy.use(hub_files(OLD))
    unused(copy)
    assert was_there
    assert scene.real_store.collect(spare, Keep()) is None
    os.close(used)
    os.utime(copy.snapshot)
    assert scene.real_store.collectable(Keep()).snapshots == ()
    assert scene.real_store.collect(spare, Keep()) is None
    unused(copy)
    scene.real_ledger.pin(manifest, pinned=True)  # By another process, since we looked.
    assert scene.real_store.collect(spare, Keep()) is None
    scene.real_ledger.pin(manifest, pinned=False)
    assert scene.real_store.read_plan(manifest) is not None  # Which is use.
    assert scene.real_store.collect(spare, Keep()) is None
    assert stands_whole(copy, OLD)


async def test_what_the_user_published_from_there_is_not_collected(scene: Scene) -> None:
    copy = copied(home_of(scene), "acme/mini", commit_of(1), OLD)
    texts = {"name": "mini", "tag": "main", "kind": "model", "description": "", "licence": ""}
    more = {"private": False, "allow": (), "ignore": (), "include": ()}
    await scene.call("publish", folder=str(copy.folder), **texts, **more)
    assert scene.real_store.collectable(Keep()).snapshots == ()
    gone = SpareSnapshot("acme/mini", commit_of(1), copy.snapshot, (), 1, 0)
    assert scene.real_store.collect(gone, Keep()) is None
    assert stands_whole(copy, OLD)


async def test_a_file_that_is_held_alone_stays_as_long_as_a_snapshot_has_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CHUNK_BYTES_MAX", 400)
    home = home_of(scene)
    old = copied(home, "acme/mini", commit_of(1), OLD, without=("config.json",), days=3)
    new = copied(home, "acme/mini", commit_of(2), NEW, without=("config.json",), days=1)
    await adopt(scene, old)
    assert len(scene.real_store.holdings()) == 3
    first, _ = scene.real_store.collectable(Keep()).snapshots
    assert first.commit == commit_of(1)
    assert first.bytes == 3_000
    assert scene.real_store.collect(first, Keep()) == 3_000
    left = {each.folder.name for each in scene.real_store.holdings()}
    assert left == {file.blob for path, file in hub_files(NEW).items() if path != "config.json"}
    assert (new.snapshot / "sub" / "same.bin").read_bytes() == NEW["sub/same.bin"]


@covers("F33")
async def test_the_quota_counts_what_came_from_a_hub_and_lets_go_of_what_was_not_used_for_longest(scene: Scene) -> None:
    home = home_of(scene)
    own(scene.real_store, OWN)
    scene.real_ledger.pin(OWN.root, pinned=True)
    old = copied(home, "acme/old", commit_of(1), OLD, days=3)
    new = copied(home, "acme/new", commit_of(2), NEW, days=1)
    taken = 5_000 + bytes_of(OLD) + bytes_of(NEW)
    assert scene.real_store.upstream_bytes() == taken - 5_000
    keeping = keeping_with(scene, quota=taken + 1_000)
    other = content_of({"x": b"x"}).root
    async with keeping.room_for(other) as make_room:
        await make_room(1_000)
        assert stands_whole(old, OLD)
        await make_room(1_001)
        assert not old.snapshot.exists()
        assert stands_whole(new, NEW)
        with pytest.raises(DiskFull, match="over the quota"):
            await make_room(20_000)
    assert stands_whole(new, NEW)


async def test_what_comes_from_a_hub_stays_within_the_quota_with_all_else_that_comes(scene: Scene) -> None:
    home = home_of(scene)
    old = copied(home, "acme/old", commit_of(1), OLD, days=3)
    keeping = keeping_with(scene, quota=bytes_of(OLD) + 100, coming=100)
    await keeping.room_for_hub(100)
    assert stands_whole(old, OLD)
    keeping = keeping_with(scene, quota=bytes_of(OLD) + 100, coming=101)
    await keeping.room_for_hub(1)
    assert not old.snapshot.exists()
    keeping = keeping_with(scene, quota=100, coming=101)
    with pytest.raises(DiskFull, match="over the quota"):
        await keeping.room_for_hub(101)


async def test_a_thousand_files_of_a_hub_take_one_look_at_what_is_here(scene: Scene) -> None:
    copied(home_of(scene), "acme/old", commit_of(1), OLD, days=3)
    keeping = keeping_with(scene, quota=1_000_000, coming=0)
    await keeping.room_for_hub(10)
    store: Any = scene.parts.store
    looked = store.calls.count("upstream_bytes")
    for _ in range(1_000):
        await keeping.room_for_hub(10)
    assert store.calls.count("upstream_bytes") == looked == 1
    async with keeping.room_for(OWN.root) as make_room:
        await make_room(500_000)
        await keeping.room_for_hub(10)  # What was free then is not any more.
        assert store.calls.count("upstream_bytes") == 3


async def test_du_tells_of_the_copies_with_what_no_holding_has_and_of_names(scene: Scene) -> None:
    home = home_of(scene)
    whole = copied(home, "acme/mini", commit_of(1), OLD)
    copied(home, "acme/part", commit_of(2), NEW, without=("config.json",))
    (whole.folder.parent / "models--acme--part" / ".coming" / ("0" * 64)).write_bytes(b"c" * 70)
    await adopt(scene, whole)
    told = await scene.call("du")
    (item,) = told["items"]
    assert (item["name"], item["origin"], item["bytes"]) == ("acme/mini", "adopted", bytes_of(OLD))
    assert item["manifest"] == text(manifest_at(scene, whole.snapshot))
    assert told["upstream"] == {
        "folder": str(home / "upstream"),
        "bytes": bytes_of(OLD) + 4_500 + 70,
        "bytes_held": bytes_of(OLD),
        "snapshots": 2,
    }
    assert told["leftover_bytes"] == 70  # Of a commit that nobody asks for any more.
    await scene.call("gc")
    assert (await scene.call("du"))["upstream"]["bytes"] == 0


async def test_what_was_collected_comes_again_under_the_listing_of_before(scene: Scene) -> None:
    copy = copied(home_of(scene), "acme/mini", commit_of(1), OLD)
    (spare,) = scene.real_store.collectable(Keep()).snapshots
    assert scene.real_store.collect(spare, Keep()) == bytes_of(OLD)
    used, was_there = copy.use(hub_files(OLD))
    assert not was_there
    assert scene.real_store.collect(spare, Keep()) is None
    for path, file in hub_files(OLD).items():
        assert copy.standing(file) is None
        copy.coming(file).write_bytes(OLD[path])
        copy.keep(file)
        copy.link(file)
    os.close(used)
    assert stands_whole(copy, OLD)


async def test_status_tells_what_counts_for_the_quota_where_there_is_one(scene: Scene) -> None:
    copied(home_of(scene), "acme/mini", commit_of(1), OLD, days=3)
    own(scene.real_store, OWN)
    told = await scene.call("status")
    assert (told["quota"], told["counted"]) == (None, None)
    keeping_with(scene, quota=1_000_000)
    told = await scene.call("status")
    assert told["quota"] == 1_000_000
    assert told["counted"] == {
        "own_bytes": scene.real_store.own_bytes(),
        "unfinished_bytes": 0,
        "upstream_bytes": bytes_of(OLD),
    }
    assert told["counted"]["own_bytes"] >= 5_000
