"""What a shelf offers is looked up once for all who ask, and nobody waits for what another asks for."""

from __future__ import annotations

import threading

import pytest

from p2phub.content import Digest, ReadPlan, digest_of
from p2phub.engine.serve import StoreShelf
from p2phub.errors import PeerRefused
from p2phub.store.memory import MemoryStore
from p2phub.store.memory_ledger import MemoryLedger
from tests.support.content import content_of
from tests.support.swarm import peer

LARGE = content_of({"a.bin": b"a" * 3000}, 1000)
WAIT_S = 30.0  # Of a test that would hang.


class Slow(MemoryStore):
    """Looks `LARGE` up only when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.may = threading.Event(), threading.Event()
        self.looks = 0
        self.put_blobs(list(LARGE.blobs.values()))

    def read_plan(self, manifest: Digest) -> ReadPlan | None:
        if manifest != LARGE.root:
            return None
        self.looks += 1
        self.asked.set()
        assert self.may.wait(WAIT_S)
        return ReadPlan(manifest, LARGE.table, LARGE.whole, lambda file: pytest.fail("nothing is read"))


def offered(shelf: StoreShelf) -> threading.Thread:
    thread = threading.Thread(target=lambda: shelf.offer(LARGE.root, peer(1)))
    thread.start()
    return thread


def test_who_asks_for_something_else_does_not_wait() -> None:
    store = Slow()
    shelf = StoreShelf(store, MemoryLedger())
    first = offered(shelf)
    assert store.asked.wait(WAIT_S)
    with pytest.raises(PeerRefused):
        shelf.offer(digest_of(b"small"), peer(2))
    shelf.sent(LARGE.root, peer(2), 1)
    store.may.set()
    first.join(WAIT_S)
    assert not first.is_alive()


def test_it_is_looked_up_once_for_all_who_ask() -> None:
    store = Slow()
    shelf = StoreShelf(store, MemoryLedger())
    askers = [offered(shelf) for _ in range(3)]
    assert store.asked.wait(WAIT_S)
    store.may.set()
    for asker in askers:
        asker.join(WAIT_S)
    assert shelf.offer(LARGE.root, peer(2)) is shelf.offer(LARGE.root, peer(3))
    assert store.looks == 1


def test_what_changes_while_it_is_looked_up_is_looked_up_again() -> None:
    store = Slow()
    shelf = StoreShelf(store, MemoryLedger())
    first = offered(shelf)
    assert store.asked.wait(WAIT_S)
    shelf.forget(LARGE.root)
    store.may.set()
    first.join(WAIT_S)
    shelf.offer(LARGE.root, peer(2))
    assert store.looks == 2
