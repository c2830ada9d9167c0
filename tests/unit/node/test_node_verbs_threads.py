"""Another process may hold the home's lock for long: nothing waits for it on the event loop, no verb and no answer."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import trio

from p2phub.engine.workers import Workers
from p2phub.errors import HubError, NotFound
from p2phub.identity import Address
from p2phub.wire import GetNews, GetRelease, News, ReleaseIs
from tests.support.verbs import PEER, PUBLISHER, Scene, publish


async def test_names_are_added_listed_and_removed_off_the_event_loop(scene: Scene) -> None:
    await scene.call("name_add", alias="ann", target=PEER)
    assert await scene.call("names") == {"names": {"ann": PEER}}
    await scene.call("name_remove", alias="ann")
    assert await scene.call("names") == {"names": {}}
    with pytest.raises(NotFound):
        await scene.call("name_remove", alias="ann")


@pytest.mark.parametrize("verb", ["unpublish", "remove", "verify"])
async def test_a_verb_about_something_unknown_looks_for_it_off_the_event_loop(scene: Scene, verb: str) -> None:
    with pytest.raises(HubError):
        await scene.call(verb, ref=f"{PEER}/model")
    assert scene.touched


async def test_a_home_is_listed_off_the_event_loop(scene: Scene) -> None:
    assert await scene.call("ls") == {"items": []}
    assert scene.touched


async def test_a_folder_is_published_told_and_forgotten_off_the_event_loop(scene: Scene, tmp_path: Path) -> None:
    published = await publish(scene, tmp_path / "model")
    told = await scene.call("info", ref=published["reference"], providers=())
    assert told["manifest"] == published["manifest"]
    assert told["held"] == {"complete": True, "origin": "published", "source": None, "folder": str(tmp_path / "model")}
    (item,) = (await scene.call("log", ref=published["reference"]))["items"]
    assert item["manifest"] == published["manifest"]
    await scene.call("remove", ref=published["reference"])
    assert await scene.call("ls") == {"items": []}


async def test_a_name_that_the_network_knows_is_resolved_and_remembered_off_the_event_loop(
    scene: Scene, tmp_path: Path
) -> None:
    published = await publish(scene, tmp_path / "model")
    (signed,) = scene.real_ledger.history(PUBLISHER.peer_id, "model", "main")
    scene.real_ledger.withdraw(PUBLISHER.peer_id, "model", "main")
    scene.finder.releases = [signed]
    told = await scene.call("info", ref=published["reference"], providers=())
    assert told["release"]["name"] == "model"
    accepted = scene.real_ledger.accepted(PUBLISHER.peer_id, "model", "main")
    assert accepted is not None
    assert accepted.signed == signed


async def test_questions_of_peers_are_answered_off_the_event_loop(scene: Scene, tmp_path: Path) -> None:
    await publish(scene, tmp_path / "model")
    (held,) = scene.real_store.holdings()
    observed = Address("192.0.2.1", 4717)
    question = GetRelease(PUBLISHER.peer_id, "model", "main")
    assert isinstance(answer := await scene.desk.answer(PUBLISHER.peer_id, observed, question), ReleaseIs)
    assert answer.signed
    answer = await scene.desk.answer(PUBLISHER.peer_id, observed, GetNews(held.manifest, 0))
    assert isinstance(answer, News)
    assert answer.held == held.held


async def test_what_is_to_be_announced_is_looked_up_off_the_event_loop(scene: Scene, tmp_path: Path) -> None:
    await publish(scene, tmp_path / "model")
    (held,) = scene.real_store.holdings()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.announcer.run)
        assert await scene.announcer.wait_announced(held.manifest) == 0
        scene.real_ledger.withhold(held.manifest, withheld=True)
        scene.real_ledger.withdraw(PUBLISHER.peer_id, "model", "main")
        scene.announcer.again(held.manifest)
        assert scene.announcer.holders(held.manifest) is None
        nursery.cancel_scope.cancel()


async def test_a_question_about_a_name_does_not_wait_for_hashing() -> None:
    workers, hashed = Workers(threads=1), threading.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(workers.run_long, hashed.wait)
        try:
            with trio.fail_after(30):  # Never reached, unless one waits for the other.
                assert await workers.run(lambda: "answered") == "answered"
        finally:
            hashed.set()


async def test_a_name_that_nobody_took_is_put_once_more(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else others would learn who provides a manifest, and not that a name means it."""
    put: list[str] = []

    async def put_release(key: str, signed: bytes) -> int:
        put.append(key)
        return 0

    monkeypatch.setattr(scene.finder, "put_release", put_release)
    await publish(scene, tmp_path / "model")
    (held,) = scene.real_store.holdings()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.announcer.run)
        await scene.announcer.wait_announced(held.manifest)
        nursery.cancel_scope.cancel()
    assert len(put) == 2
    assert len(set(put)) == 1
