"""Files that changed while they were served are read again: served again if right, else said to be gone, once."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from p2phub.content import Digest
from p2phub.engine.second_look import SETTLE_S, SecondLook
from p2phub.engine.workers import Workers
from p2phub.store.memory import MemoryStore
from tests.support.content import content_of, random_files
from tests.support.stores import MemoryScene, hold

CONTENT = content_of(random_files(8, model=3_000), 1000)


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

    async def doubt(self, clock: MockClock) -> None:
        """Put the file in doubt, as a serving thread does, and let the look at it come to its end."""
        self.store.mark_changed(CONTENT.root, 0)
        await trio.to_thread.run_sync(self.looks.doubt, CONTENT.root, 0)
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
