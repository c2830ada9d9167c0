"""What a node announces of a store that its disk does not let it read in part."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from p2phub import limits
from p2phub.content import Digest
from p2phub.engine.announce import Announcer
from p2phub.engine.workers import Workers
from p2phub.errors import DiskError, NotTrusted
from p2phub.identity import PeerId
from p2phub.manifest import Release, sign_release
from p2phub.store import HeldAt, Holding, Publication
from p2phub.store.memory import MemoryStore
from p2phub.store.memory_ledger import MemoryLedger
from tests.support.content import content_of
from tests.support.covers import covers
from tests.support.hosts import FixedFinder, key_of
from tests.support.stores import MemoryScene, hold

ONE, TWO = content_of({"one": b"1"}), content_of({"two": b"2"})


class Node:
    """An announcer of a store whose `unreadable` manifests are, for the disk."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.scene = MemoryScene()
        self.unreadable: set[Digest] = set()
        self.looked_at: list[Digest | None] = []
        honest = MemoryStore.holdings

        def holdings(store: MemoryStore, manifest: Digest | None = None) -> tuple[Holding, ...]:
            self.looked_at.append(manifest)
            found = honest(store, manifest)
            if any(holding.manifest in self.unreadable for holding in found):
                raise DiskError("cannot read metadata: the disk reports an input/output error")
            return found

        def held_at(store: MemoryStore, manifest: Digest | None = None) -> tuple[HeldAt, ...]:
            return tuple(HeldAt(each.manifest, each.folder, each.origin, None) for each in honest(store, manifest))

        monkeypatch.setattr(MemoryStore, "holdings", holdings)
        monkeypatch.setattr(MemoryStore, "held_at", held_at)
        own = PeerId(b"\1" * 32)
        self.announcer = Announcer(
            FixedFinder(), store=self.scene.store, ledger=MemoryLedger(), workers=Workers(), own=own
        )


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch, mock_clock: MockClock) -> Node:
    made = Node(monkeypatch)
    hold(made.scene, ONE)
    made.scene.folder = made.scene.folder.with_name("another")
    hold(made.scene, TWO)
    return made


async def until(node: Node, records: int) -> None:
    while node.announcer.records != records:
        await trio.lowlevel.checkpoint()


async def test_what_cannot_be_read_keeps_nothing_else_from_being_announced(
    node: Node, mock_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    node.unreadable = {ONE.root}
    async with trio.open_nursery() as nursery:
        with caplog.at_level(logging.WARNING):
            nursery.start_soon(node.announcer.run)
            await node.announcer.wait_announced(TWO.root)
        assert node.announcer.holders(ONE.root) is None
        assert [record.getMessage().split(":")[0] for record in caplog.records] == [
            "1 manifests are not announced anew"
        ]
        node.unreadable = set()
        node.looked_at.clear()
        mock_clock.jump(limits.ANNOUNCE_RETRY_S)
        await node.announcer.wait_announced(ONE.root)
        assert set(node.looked_at) == {ONE.root}, "what was read is not read again for it"
        nursery.cancel_scope.cancel()


async def test_what_was_announced_and_cannot_be_read_any_more_goes_on(node: Node) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.announcer.run)
        await node.announcer.wait_announced(ONE.root)
        await node.announcer.wait_announced(TWO.root)
        node.unreadable = {ONE.root}
        node.scene.store.release(TWO.root)
        node.announcer.refresh()
        await until(node, 1)
        assert node.announcer.holders(ONE.root) is not None
        nursery.cancel_scope.cancel()


class Judging(FixedFinder):
    """A network that takes no release, for none holds by its clock, and provider records of three."""

    async def put_release(self, key: str, signed: bytes) -> int:
        raise NotTrusted("the release of m expired 2.0 days ago", rule="release-expired")

    async def announce(self, manifest: Digest) -> int:
        return 3


@covers("T52")
async def test_a_release_that_does_not_hold_now_keeps_nobody_from_hearing_who_has_what_it_leads_to(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    """What was published ran out, or the clock was wrong, and nobody found the bytes by digest or ticket either."""
    key, scene, ledger = key_of("ann"), MemoryScene(), MemoryLedger()
    hold(scene, ONE)
    signed = sign_release(key, Release(key.peer_id, "m", ONE.root, 1, 1, created=1, expires=2))
    ledger.publish(Publication(key.peer_id, "m", "main", ONE.root, tmp_path, signed))
    announcer = Announcer(Judging(), store=scene.store, ledger=ledger, workers=Workers(), own=key.peer_id)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(announcer.run)
        assert await announcer.wait_announced(ONE.root) == 3
        nursery.cancel_scope.cancel()
