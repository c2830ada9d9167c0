"""Earlier versions that are still held are told as what they are, and not as something without a name, or damaged."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from p2phub import limits
from p2phub.content import parse_digest
from p2phub.engine.resolve import Resolved
from p2phub.errors import NotFound
from p2phub.manifest import Release, sign_release
from p2phub.node.earlier import left_of_earlier
from p2phub.node.verbs import holding
from p2phub.store import Accepted
from tests.support.content import Content, content_of
from tests.support.verbs import PUBLISHER, Scene, own, publish, publish_as_it_is, text


async def listed(scene: Scene, manifest: str) -> tuple[list[str], list[str], bool]:
    """Return the names, the earlier names of a manifest, and whether it was replaced in the folder that holds it."""
    (item,) = (await scene.call("ls", manifest=manifest))["items"]
    assert item in (await scene.call("ls"))["items"]
    return item["references"], item["earlier"], item["replaced"]


async def test_an_earlier_version_is_told_as_that_and_whether_its_folder_has_another_by_now(
    scene: Scene, tmp_path: Path
) -> None:
    folder, beside = tmp_path / "model", tmp_path / "beside"
    first = await publish(scene, folder, name="model")
    assert await listed(scene, first["manifest"]) == ([first["reference"]], [], False)
    beside.mkdir()
    (beside / "more.bin").write_bytes(b"from another folder")
    second = await publish(scene, beside, name="model")
    assert await listed(scene, first["manifest"]) == ([], [first["reference"]], False)
    (folder / "more.bin").write_bytes(b"in place")
    third = await publish(scene, folder, name="model")
    assert await listed(scene, first["manifest"]) == ([], [first["reference"]], True)
    assert await listed(scene, second["manifest"]) == ([], [first["reference"]], False)
    assert await listed(scene, third["manifest"]) == ([first["reference"]], [], False)


async def test_another_name_in_the_same_folder_replaces_nothing(scene: Scene, tmp_path: Path) -> None:
    folder, beside = tmp_path / "model", tmp_path / "beside"
    first = await publish(scene, folder, name="model")
    beside.mkdir()
    (beside / "more.bin").write_bytes(b"from another folder")
    await publish(scene, beside, name="model")
    (folder / "more.bin").write_bytes(b"in place")
    await publish(scene, folder, name="another")
    assert await listed(scene, first["manifest"]) == ([], [first["reference"]], False)


def accepted(scene: Scene, content: Content, sequence: int, name: str = "model") -> Resolved:
    now = int(time.time())
    release = Release(
        publisher=PUBLISHER.peer_id,
        name=name,
        sequence=sequence,
        manifest=content.root,
        bytes_total=1,
        created=now,
        expires=now + 1000,
    )
    signed = sign_release(PUBLISHER, release)
    scene.real_ledger.accept(release.publisher, name, release.tag, Accepted(signed, sequence))
    return Resolved(content.root, release, signed)


async def left(scene: Scene, resolved: Resolved, folder: Path) -> list[str]:
    return await scene.parts.workers.run(lambda: left_of_earlier(scene.node, resolved, folder))


async def test_what_an_earlier_version_left_in_the_folder_is_told_as_long_as_it_stands(
    scene: Scene, tmp_path: Path
) -> None:
    before = content_of({"config.json": b"1", "old.bin": b"old", "gone.bin": b"gone", "same.bin": b"same"})
    after = content_of({"config.json": b"22", "same.bin": b"same", "new.bin": b"new"})
    folder, beside = tmp_path / "model", tmp_path / "beside"
    accepted(scene, before, 1)
    own(scene.real_store, before, folder=folder)
    (folder / "config.json").unlink()
    (folder / "gone.bin").unlink()
    (folder / "mine.txt").write_text("no version has it")
    resolved = accepted(scene, after, 2)
    own(scene.real_store, after, folder=folder)
    own(scene.real_store, after, folder=beside)
    assert await left(scene, resolved, folder) == ["old.bin"]
    assert await left(scene, resolved, beside) == []
    (folder / "old.bin").unlink()
    assert await left(scene, resolved, folder) == []


async def test_what_another_name_put_into_the_folder_is_no_earlier_version(scene: Scene, tmp_path: Path) -> None:
    before, after = content_of({"old.bin": b"old"}), content_of({"new.bin": b"new"})
    accepted(scene, before, 1, name="another")
    own(scene.real_store, before, folder=tmp_path)
    resolved = accepted(scene, after, 2)
    own(scene.real_store, after, folder=tmp_path)
    assert await left(scene, resolved, tmp_path) == []
    assert await left(scene, Resolved(after.root), tmp_path) == []


async def held(scene: Scene) -> set[str]:
    return {item["manifest"] for item in (await scene.call("ls"))["items"]}


async def test_a_version_of_which_nothing_is_left_ends_with_the_publish_that_took_the_last_of_it(
    scene: Scene, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    await publish(scene, folder, name="model")
    (folder / "README.md").write_text("more")
    await publish(scene, folder, name="model")
    assert len(await held(scene)) == 2
    (folder / "weights.bin").unlink()
    (folder / "README.md").write_text("none of it")
    (folder / "new.bin").write_bytes(b"all is new")
    third = await publish_as_it_is(scene, folder, name="model")
    assert await held(scene) == {third["manifest"]}


async def test_a_version_that_another_tag_means_or_that_is_pinned_stays_whatever_is_left(
    scene: Scene, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    found = []
    for night, tag in enumerate(("v1", "main", "main", "main")):
        (folder / "model.bin").write_bytes(b"%d" % night * 100)
        found.append((await publish_as_it_is(scene, folder, tag=tag))["manifest"])
        if night == 1:
            scene.real_ledger.pin(parse_digest(found[-1])[0], pinned=True)
    assert await held(scene) == {found[0], found[1], found[3]}
    with pytest.raises(NotFound, match="which has a newer version"):
        await scene.call("verify", ref=found[0])


async def test_a_version_that_is_not_whole_any_more_is_not_announced(scene: Scene, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "README.md").write_text("first")
    await publish(scene, folder, name="model")
    (folder / "README.md").write_text("second")
    second = await publish(scene, folder, name="model")
    (folder / "more.txt").write_text("nothing is replaced")
    third = await publish(scene, folder, name="model")
    wanted = await scene.parts.workers.run(lambda: scene.announcer._public(None, set()).wanted)
    assert {text(manifest) for manifest in wanted} == {second["manifest"], third["manifest"]}
    assert len(await held(scene)) == 3


async def test_what_no_release_that_is_remembered_names_any_more_is_still_told_as_an_earlier_version(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HISTORY_MAX", 2)
    folder = tmp_path / "model"
    found = []
    for night in range(4):
        folder.mkdir(exist_ok=True)
        (folder / f"{night}.txt").write_text("one more")
        found.append(await publish(scene, folder, name="model"))
    reference = found[0]["reference"]
    told = [await listed(scene, each["manifest"]) for each in found]
    assert told == [([], [], True), ([], [], True), ([], [reference], True), ([reference], [], False)]


async def test_ls_says_whether_a_folder_is_there_if_its_disk_answers(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def told() -> list[bool | None]:
        return [item["there"] for item in (await scene.call("ls"))["items"]]

    await publish(scene, tmp_path / "model")
    assert await told() == [True]
    (tmp_path / "model").rename(tmp_path / "away")
    assert await told() == [False]
    answers = threading.Event()
    monkeypatch.setattr(holding, "THERE_S", 0.001)
    monkeypatch.setattr(holding, "is_there", lambda folder: answers.wait())
    try:
        assert await told() == [None]
    finally:
        answers.set()


async def test_du_calls_an_earlier_version_as_ls_does(scene: Scene, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    first = await publish(scene, folder, name="model")
    (folder / "more.bin").write_bytes(b"in place")
    second = await publish(scene, folder, name="model")
    items = {item["manifest"]: item for item in (await scene.call("du"))["items"]}
    assert (items[first["manifest"]]["references"], items[first["manifest"]]["earlier"]) == ([], [first["reference"]])
    assert (items[second["manifest"]]["references"], items[second["manifest"]]["earlier"]) == ([first["reference"]], [])


async def announced(scene: Scene) -> set[str]:
    found = await scene.parts.workers.run(lambda: scene.announcer._public(None, set()).wanted)
    return {text(manifest) for manifest in found}


async def nights(scene: Scene, folder: Path, count: int, *, tag: str = "main") -> list[str]:
    """Publish a folder again and again, each time with a file more."""
    folder.mkdir(exist_ok=True)
    found = []
    for night in range(count):
        (folder / f"{tag}-{night}.txt").write_text("one more")
        found.append((await publish_as_it_is(scene, folder, tag=tag))["manifest"])
    return found


async def test_unpublish_ends_all_versions_of_a_name_even_those_that_no_release_names_any_more(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HISTORY_MAX", 2)
    found = await nights(scene, tmp_path / "model", 4)
    assert await announced(scene) == set(found)
    gone = await scene.call("unpublish", ref=f"{PUBLISHER.peer_id}/model")
    assert (gone["manifest"], set(gone["earlier"]), gone["earlier_pinned"]) == (found[3], set(found[:3]), [])
    assert await announced(scene) == set()
    assert await held(scene) == set()
    assert len(list((tmp_path / "model").iterdir())) == 4


async def test_unpublish_lets_alone_what_is_pinned_and_what_another_name_means_or_meant(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    tagged = await nights(scene, folder, 2, tag="v1")
    found = await nights(scene, folder, 3)
    scene.real_ledger.pin(parse_digest(found[0])[0], pinned=True)
    gone = await scene.call("unpublish", ref=f"{PUBLISHER.peer_id}/model")
    assert (gone["earlier"], gone["earlier_pinned"]) == ([found[1]], [found[0]])
    assert await announced(scene) == {*tagged, found[0]}
    gone = await scene.call("unpublish", ref=f"{PUBLISHER.peer_id}/model@v1")
    assert gone["earlier"] == [tagged[0]]
    assert await announced(scene) == {found[0]}
    await scene.call("remove", ref=found[0])
    assert await announced(scene) == set()
