"""Who looks on is told what moves and what is here, off the event loop, and that something changed."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from p2phub.content import RangeSet
from p2phub.errors import NoProvider, NotFound, UsageError
from p2phub.limits import EXTENTS_FILES_MAX, HOLDINGS_ASKED_MAX
from p2phub.node.capping import JobCaps
from p2phub.node.rates import Rates
from tests.support.content import content_of
from tests.support.verbs import PEER, Scene, own, publish, text

FILES = {"a.bin": b"a" * 2500, "b/c.txt": b"c" * 10, "empty": b""}


async def test_a_pulse_tells_of_no_job_where_none_is_and_of_the_disk(scene: Scene) -> None:
    told = await scene.call("pulse")
    assert told["jobs"] == []
    assert told["bytes_sent"] == 0
    assert told["free_bytes"] is None or told["free_bytes"] > 0
    assert (told["up"], told["down"], told["by_schedule"], told["quota"]) == (None, None, False, None)


async def test_a_pulse_says_that_something_changed_and_only_then(scene: Scene, tmp_path: Path) -> None:
    async def changes() -> int:
        return int((await scene.call("pulse"))["changes"])

    before = await changes()
    assert await changes() == before
    published = await publish(scene, tmp_path / "model")
    after = await changes()
    assert after > before
    await scene.call("ls")
    assert await changes() == after
    await scene.call("name_add", alias="acme/mini", target=published["reference"])
    named = await changes()
    assert named > after
    with pytest.raises(NotFound):
        await scene.call("unpin", ref=published["reference"])
    assert await changes() > named  # It may have been half done.


async def test_what_is_held_whole_is_told_file_by_file(scene: Scene) -> None:
    content = content_of(FILES, chunk_bytes=1000)
    own(scene.real_store, content)
    told = await scene.call("extents", ref=text(content.root))
    assert (told["bytes"], told["bytes_here"], told["files_total"]) == (2510, 2510, 3)
    assert [(each["path"], each["size"], each["chunks"], each["here"]) for each in told["files"]] == [
        ("a.bin", 2500, 3, [[0, 2500]]),
        ("b/c.txt", 10, 1, [[0, 10]]),
        ("empty", 0, 0, []),
    ]
    assert told["files"][0]["sha256"] == hashlib.sha256(FILES["a.bin"]).hexdigest()
    assert (told["release"], told["contradiction"], told["files_unknown_because"]) == (None, None, None)
    assert scene.touched


async def test_a_damaged_file_is_not_here(scene: Scene) -> None:
    content = content_of(FILES, chunk_bytes=1000)
    own(scene.real_store, content)
    scene.real_store.mark_damaged(content.root, scene.real_store.own_folder(content.root), 0)
    told = await scene.call("extents", ref=text(content.root))
    assert (told["bytes_here"], told["files"][0]["here"]) == (10, [])


async def test_what_comes_this_moment_is_here_as_far_as_it_came(scene: Scene) -> None:
    content = content_of(FILES, chunk_bytes=1000)
    scene.real_store.put_blobs(list(content.blobs.values()))
    coming: Any = SimpleNamespace(arriving=(content.table, RangeSet(((1, 4),))))
    before: Any = SimpleNamespace(arriving=None)  # Not described yet.
    caps = JobCaps(content.root, Rates())
    with (
        scene.node.job(reference="x", into="/nowhere", caps=caps) as one,
        scene.node.job(reference="y", into="/elsewhere", caps=caps) as two,
    ):
        scene.node.carried_out_by(one["job"], before)
        scene.node.carried_out_by(two["job"], coming)
        told = await scene.call("extents", ref=text(content.root))
    assert [each["here"] for each in told["files"]] == [[[1000, 2500]], [[0, 10]], []]
    assert told["bytes_here"] == 1510
    told = await scene.call("extents", ref=text(content.root))
    assert (told["bytes_here"], told["bytes"]) == (0, 2510)


async def test_some_files_are_told_of_by_number_or_by_size(scene: Scene) -> None:
    content = content_of(FILES)
    own(scene.real_store, content)
    manifest = text(content.root)

    async def paths(**which: object) -> list[str]:
        return [each["path"] for each in (await scene.call("extents", ref=manifest, **which))["files"]]

    assert await paths(first=1, count=1) == ["b/c.txt"]
    assert await paths(first=3) == []
    assert await paths(count=2, largest=True) == ["a.bin", "b/c.txt"]
    for wrong in ({"first": -1}, {"count": -1}, {"count": EXTENTS_FILES_MAX + 1}):
        with pytest.raises(UsageError):
            await paths(**wrong)


async def test_of_what_nobody_described_nothing_is_told(scene: Scene) -> None:
    with pytest.raises(NoProvider):
        await scene.call("extents", ref=text(content_of(FILES).root))
    with pytest.raises(UsageError):
        await scene.call("extents", ref="non sense")


async def test_how_manifests_are_held_is_told_as_ls_tells_it(scene: Scene, tmp_path: Path) -> None:
    published = await publish(scene, tmp_path / "model")
    content = content_of(FILES)
    (listed,) = (await scene.call("ls"))["items"]
    (told,) = (await scene.call("holdings", manifests=[text(content.root), published["manifest"]]))["items"]
    assert told == {name: listed[name] for name in told}
    assert set(listed) - set(told) == {"references", "announced_to", "earlier", "replaced", "there"}
    with pytest.raises(UsageError):
        await scene.call("holdings", manifests=[published["manifest"]] * (HOLDINGS_ASKED_MAX + 1))


async def test_of_several_holdings_the_whole_one_is_told(scene: Scene, tmp_path: Path) -> None:
    content = content_of(FILES)
    own(scene.real_store, content, folder=tmp_path / "mine")
    own(scene.real_store, content)
    scene.real_store.mark_damaged(content.root, tmp_path / "mine", 0)
    (told,) = (await scene.call("holdings", manifests=[text(content.root)]))["items"]
    assert (told["origin"], told["complete"]) == ("own", True)


async def test_what_is_held_by_a_name_is_told_without_asking_anybody(scene: Scene, tmp_path: Path) -> None:
    published = await publish(scene, tmp_path / "model")
    nobody: Any = object()  # Whatever it were asked, it would fail.
    scene.finder = nobody
    told = await scene.call("extents", ref="model")
    assert (told["manifest"], told["bytes_here"]) == (published["manifest"], 1000)
    assert (told["release"]["name"], told["release"]["publisher"]) == ("model", PEER)


async def test_holders_are_those_that_can_be_found(scene: Scene, tmp_path: Path) -> None:
    published = await publish(scene, tmp_path / "model")
    assert (await scene.call("holders", ref=published["reference"]))["items"] == []
