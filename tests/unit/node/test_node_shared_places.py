"""Shared places by the verbs of two nodes: what one lists follows what it holds, and the other looks before it acts."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from p2phub.errors import DiskError, NotFound, UsageError
from p2phub.node import lifecycle, shared_places
from p2phub.node.verbs.fetching import _withhold
from p2phub.store.sharing.catalogue import decode_catalogue
from tests.support.verbs import Scene, publish


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    (tmp_path / "lab").mkdir()
    return tmp_path / "lab"


def listed(lab: Path) -> list[str]:
    catalogue = decode_catalogue((lab / ".p2phub-shared" / "catalogue").read_bytes())
    return [each.folder for each in catalogue.listed]


async def announced(scene: Scene) -> int:
    """How many manifests a daemon would announce."""
    return len(await trio.to_thread.run_sync(lambda: scene.announcer._public(None, set()).wanted))


async def test_the_list_follows_what_is_published_hidden_forgotten_and_taken_back(scene: Scene, lab: Path) -> None:
    await scene.call("share", place=str(lab))
    assert listed(lab) == []
    one = await publish(scene, lab / "one")
    assert listed(lab) == ["one"]
    await scene.call("unpublish", ref=one["reference"])
    assert listed(lab) == []
    await publish(scene, lab / "one")
    await scene.call("remove", ref=str(lab / "one"))
    assert listed(lab) == []


async def test_what_others_list_is_planned_for_before_a_byte_moves(scene: Scene, reader: Scene, lab: Path) -> None:
    await scene.call("share", place=str(lab))
    await reader.call("attach", place=str(lab))
    one = await publish(scene, lab / "one")  # After it was attached.
    plan = await reader.call("plan", ref=one["reference"], providers=())
    assert (plan["bytes_missing"], plan["providers"]) == (0, [])
    assert [each["path"] for each in plan["here"]] == [str(lab / "one" / "weights.bin")]
    [item] = (await reader.call("ls"))["items"]
    assert item["references"] == [one["reference"]]
    info = await reader.call("info", ref=one["reference"], providers=())
    assert info["held"] == {
        "folder": str(lab / "one"),
        "complete": False,
        "origin": "shared",
        "source": {"cache": "shared", "name": str(lab), "revision": None},
    }


async def test_what_is_attached_is_announced_only_once_it_was_verified(scene: Scene, reader: Scene, lab: Path) -> None:
    await scene.call("share", place=str(lab))
    await publish(scene, lab / "one")
    await reader.call("attach", place=str(lab))
    assert await announced(reader) == 0
    await reader.call("verify", ref=str(lab / "one"))
    assert await announced(reader) == 1


async def test_what_was_asked_for_by_its_digest_is_kept_here_though_a_place_lists_it(
    scene: Scene, reader: Scene, lab: Path
) -> None:
    await scene.call("share", place=str(lab))
    await publish(scene, lab / "one")
    await reader.call("attach", place=str(lab))
    [holding] = reader.real_store.holdings()
    await trio.to_thread.run_sync(lambda: _withhold(reader.verbs._node, holding.manifest, serve=True))
    assert reader.real_ledger.withheld() == {holding.manifest}


async def test_what_others_share_is_not_forgotten_pinned_or_repaired(scene: Scene, reader: Scene, lab: Path) -> None:
    await scene.call("share", place=str(lab))
    one = await publish(scene, lab / "one")
    await reader.call("attach", place=str(lab))
    with pytest.raises(NotFound, match="listed by the attached place"):
        await reader.call("remove", ref=str(lab / "one"))
    await reader.call("verify", ref=str(lab / "one"))
    with pytest.raises(NotFound):  # It is to be fetched, so it is looked for by its name, which is not known here.
        await reader.call("unpin", ref=one["reference"])
    (lab / "one" / "weights.bin").write_bytes(b"?" * 1000)
    with pytest.raises(DiskError, match="somebody else shares"):
        await reader.call("verify", ref=str(lab / "one"), repair=True)
    assert (lab / "one" / "weights.bin").read_bytes() == b"?" * 1000


async def test_ones_own_copy_comes_before_what_a_place_has(scene: Scene, reader: Scene, lab: Path) -> None:
    await scene.call("share", place=str(lab))
    one = await publish(scene, lab / "one")
    mine = await publish(reader, lab.parent / "mine")
    assert mine["manifest"] == one["manifest"]
    await reader.call("attach", place=str(lab))
    assert (await reader.call("verify", ref=one["manifest"]))["folder"] == str(lab.parent / "mine")
    gone = await reader.call("remove", ref=one["manifest"])
    assert gone["folders"] == [str(lab.parent / "mine")]
    assert [item["origin"] for item in (await reader.call("ls"))["items"]] == ["shared"]


async def test_a_place_that_does_not_answer_counts_as_away_and_holds_up_nothing_for_long(
    scene: Scene, reader: Scene, lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene.call("share", place=str(lab))
    await publish(scene, lab / "one")
    await reader.call("attach", place=str(lab))
    answer = threading.Event()
    look = reader.real_store.places.look

    def hang(place: Path) -> Any:
        answer.wait()
        return look(place)

    monkeypatch.setattr(reader.real_store.places, "look", hang)
    monkeypatch.setattr(shared_places, "LOOK_S", 0.01)
    try:
        assert (await reader.call("ls"))["items"] == []
        [told] = (await reader.call("attached"))["items"]
        assert "did not answer" in told["problem"]
    finally:
        answer.set()


async def test_a_place_that_hangs_is_waited_for_once_and_by_one_thread(
    scene: Scene, reader: Scene, lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene.call("share", place=str(lab))
    await reader.call("attach", place=str(lab))
    answer, asked = threading.Event(), []
    look = reader.real_store.places.look

    def hang(place: Path) -> Any:
        asked.append(place)
        answer.wait()
        return look(place)

    monkeypatch.setattr(reader.real_store.places, "look", hang)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(shared_places, "LOOK_S", 0.01)
            for _ in range(6):  # More than threads that may look at all places.
                await reader.call("ls")
        assert asked == [lab]
    finally:
        answer.set()
    with trio.fail_after(30):
        while (await reader.call("attached"))["items"][0].get("problem"):
            await trio.lowlevel.checkpoint()


async def test_a_shared_place_that_cannot_be_written_to_fails_nothing_else(
    scene: Scene, lab: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await scene.call("share", place=str(lab))
    lab.rename(lab.parent / "away")
    await publish(scene, lab.parent / "one")
    await publish(scene, lab.parent / "two", name="two")
    told = [record for record in caplog.records if "not up to date" in record.getMessage()]
    assert len(told) == 1
    assert (await scene.call("shares"))["items"][0]["problem"]
    (lab.parent / "away").rename(lab)
    assert (await scene.call("shares"))["items"][0]["problem"] is None


@pytest.mark.parametrize("verb", ["share", "unshare", "attach", "detach"])
async def test_a_place_is_an_absolute_path_that_is_text(verb: str, scene: Scene, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="absolute"):
        await scene.call(verb, place="lab")
    with pytest.raises(UsageError, match="no text"):
        await scene.call(verb, place=str(tmp_path / "\udcff"))


async def test_what_is_unknown_is_said_to_be(scene: Scene, lab: Path) -> None:
    with pytest.raises(DiskError):
        await scene.call("attach", place=str(lab))
    with pytest.raises(DiskError):
        await scene.call("share", place=str(lab / "nothing"))
    for verb in ("unshare", "detach"):
        with pytest.raises(NotFound):
            await scene.call(verb, place=str(lab))
    assert not list(lab.iterdir())


async def test_a_running_node_finds_a_place_that_is_mounted_later(autojump_clock: MockClock) -> None:
    """Nobody may ask it for anything meanwhile, and what was verified there is to be served."""
    looks: list[str] = []
    stamps = iter([(), (), ("mounted",)])

    async def look() -> None:
        looks.append("look")

    async def tell() -> None:
        looks.append("tell")

    node: Any = SimpleNamespace(
        places=SimpleNamespace(look=look, tell=tell, is_behind=False),
        parts=SimpleNamespace(places=SimpleNamespace(stamp=lambda: next(stamps))),
        announcer=SimpleNamespace(refresh=lambda: looks.append("announce")),
    )
    with trio.move_on_after(2.5 * lifecycle.PLACES_S):
        await lifecycle._look_at_places(node)
    assert looks == ["look", "tell", "announce", "look", "look", "announce"]
