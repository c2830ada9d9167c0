"""Files that changed while they were served are read again: served again if right, else said to be gone, once."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from p2phub.content import Digest
from p2phub.engine.second_look import AWAY_S, RETRY_S, SAID_MAX, SAY_AGAIN_S, SETTLE_S, SecondLook
from p2phub.engine.workers import Workers
from p2phub.errors import DiskError
from p2phub.store import LookedAgain
from p2phub.store.memory import MemoryStore
from tests.support.content import content_of, random_files
from tests.support.covers import covers
from tests.support.stores import MemoryScene, hold

CONTENT = content_of(random_files(8, a=2_000, model=3_000), 1000)


class Node:
    """A store whose files can be put in doubt, and what is told of them."""

    def __init__(self) -> None:
        self.scene = MemoryScene()
        hold(self.scene, CONTENT)
        self.changed: list[Digest] = []
        self.looks = SecondLook(self.scene.memory, Workers(), self.changed.append)

    @property
    def store(self) -> MemoryStore:
        return self.scene.memory

    async def doubt(self, clock: MockClock, number: int = 1) -> None:
        """Put a file in doubt, as a serving thread does, and let the look at it come to its end."""
        self.store.mark_changed(CONTENT.root, number)
        await trio.to_thread.run_sync(self.looks.doubt, CONTENT.root, number)
        await wait_all_tasks_blocked()
        clock.jump(SETTLE_S)
        while self.looks.waiting or self.looks.looking:
            await trio.lowlevel.checkpoint()


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    made = Node()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.looks.run)
        await wait_all_tasks_blocked()
        yield made
        nursery.cancel_scope.cancel()


async def test_a_file_that_is_right_is_served_again(node: Node, mock_clock: MockClock) -> None:
    await node.doubt(mock_clock)
    assert node.store.holdings()[0].complete
    assert node.changed == [CONTENT.root]


async def test_one_that_is_not_is_said_to_be_gone_once(
    node: Node, mock_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    node.scene.remove("model.bin")
    with caplog.at_level(logging.WARNING):
        await node.doubt(mock_clock)
        await node.doubt(mock_clock)
    assert [record.getMessage().split()[0] for record in caplog.records] == [str(Path("/nowhere/out/model.bin"))]
    assert node.changed == []
    assert not node.store.holdings()[0].complete


async def test_of_two_places_one_that_is_right_is_told_of(
    node: Node, mock_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    node.scene.folder = Path("/nowhere/second")
    hold(node.scene, CONTENT)
    node.scene.put("model.bin", b"something else")  # And back again, which leaves another time.
    node.scene.put("model.bin", CONTENT.files["model.bin"])
    node.scene.folder = Path("/nowhere/out")
    node.scene.remove("model.bin")
    with caplog.at_level(logging.WARNING):
        await node.doubt(mock_clock)
    assert node.changed == [CONTENT.root]
    assert sorted(held.complete for held in node.store.holdings()) == [False, True]
    assert len(caplog.records) == 1


async def test_what_was_served_again_and_is_lost_once_more_is_said_once_more(
    node: Node, mock_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            node.scene.remove("model.bin")
            await node.doubt(mock_clock)
            mock_clock.jump(SAY_AGAIN_S)
            hold(node.scene, CONTENT)  # Published anew.
    assert len(caplog.records) == 2


async def past(clock: MockClock, pause_s: float) -> None:
    await wait_all_tasks_blocked()
    clock.jump(pause_s)
    await wait_all_tasks_blocked()


@covers("F06")
async def test_what_was_not_there_is_served_again_when_it_is_back(node: Node, mock_clock: MockClock) -> None:
    """A disk that was unmounted: of all that is in doubt there one file is looked for, and then all are read."""
    node.scene.remove("a.bin")
    node.scene.remove("model.bin")
    for number in (0, 1):
        await node.doubt(mock_clock, number)
    await past(mock_clock, AWAY_S)
    assert (node.changed, len(node.store.holdings()[0].held)) == ([], 0)
    for path, data in CONTENT.files.items():
        node.scene.put(path, data)
    await past(mock_clock, AWAY_S)
    while not node.store.holdings()[0].complete:
        await trio.lowlevel.checkpoint()
    assert set(node.changed) == {CONTENT.root}
    looked: list[int] = []
    node.store.look_again = lambda manifest, file: looked.append(file) or LookedAgain()  # type: ignore[method-assign,func-returns-value]
    await past(mock_clock, AWAY_S)
    assert looked == [], "nobody looks for what is there"


async def test_what_was_away_when_a_node_began_is_looked_for(node: Node, mock_clock: MockClock) -> None:
    data = CONTENT.files["model.bin"]
    node.scene.remove("model.bin")
    node.store.mark_changed(CONTENT.root, CONTENT.manifest.number_of("model.bin") or 0)
    node.looks.look_for(node.store.away())
    await past(mock_clock, AWAY_S)
    node.scene.put("model.bin", data)
    await past(mock_clock, AWAY_S)
    while not node.store.holdings()[0].complete:
        await trio.lowlevel.checkpoint()


async def test_what_stands_there_and_is_wrong_is_not_looked_for(node: Node, mock_clock: MockClock) -> None:
    node.scene.put("model.bin", b"something else")
    node.store.mark_changed(CONTENT.root, CONTENT.manifest.number_of("model.bin") or 0)
    assert node.store.away() == ()
    assert len(node.store.in_doubt(CONTENT.root, node.scene.folder)) == 1


async def test_of_many_losses_not_all_are_remembered(node: Node) -> None:
    for number in range(SAID_MAX + 10):
        assert node.looks._is_news(f"/{number}")
    assert not node.looks._is_news(f"/{SAID_MAX + 9}")
    assert len(node.looks._said) == SAID_MAX


async def test_what_the_disk_failed_to_tell_is_asked_again_a_few_times(
    node: Node, mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def fails(manifest: Digest, file: int) -> LookedAgain:
        asked.append(file)
        if len(asked) == 1:
            raise DiskError("an input/output error")
        return MemoryStore.look_again(node.store, manifest, file)

    monkeypatch.setattr(node.store, "look_again", fails)
    await node.doubt(mock_clock)
    assert (asked, node.changed) == ([1], [])
    for pause in (RETRY_S, SETTLE_S):
        await wait_all_tasks_blocked()
        mock_clock.jump(pause)
    while node.changed == []:
        await trio.lowlevel.checkpoint()
    assert asked == [1, 1]
    assert node.store.holdings()[0].complete
