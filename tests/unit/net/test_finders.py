"""Several finders as one: all are asked at once, and nothing is told twice."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import trio

from p2phub.content import Digest, digest_of
from p2phub.discovery import Asked, Candidate
from p2phub.identity import Address, PeerAddress, PeerId
from p2phub.net import Finders

MANIFEST = digest_of(b"a manifest")


def candidate(number: int, via: str) -> Candidate:
    peer = PeerId(sha256(b"peer %d" % number).digest())
    return Candidate(PeerAddress(peer, Address("10.0.0.1", 4717)), via)


class Fixed:
    """A finder that knows what the test says, once `ready` is set."""

    def __init__(self, via: str, numbers: Sequence[int], releases: tuple[bytes, ...] = ()) -> None:
        self.via = via
        self.candidates = [candidate(number, via) for number in numbers]
        self.releases = releases
        self.ready = trio.Event()
        self.ready.set()

    async def providers(self, manifest: Digest, found: trio.MemorySendChannel[Candidate]) -> None:
        await self.ready.wait()
        for each in self.candidates:
            await found.send(each)

    async def release(self, publisher: PeerId, name: str, tag: str) -> tuple[bytes, ...]:
        await self.ready.wait()
        return self.releases

    async def announce(self, manifest: Digest) -> int:
        return len(self.candidates)

    async def put_release(self, key: str, signed: bytes) -> int:
        return len(self.candidates)

    def asked(self) -> tuple[Asked, ...]:
        return (Asked(self.via),)


async def found_by(finders: Finders) -> list[Candidate]:
    send, receive = trio.open_memory_channel[Candidate](100)
    async with send:
        await finders.providers(MANIFEST, send)
    async with receive:
        return [each async for each in receive]


async def test_what_two_finders_name_is_told_once() -> None:
    found = await found_by(Finders([Fixed("lan", [1, 2]), Fixed("dht", [2, 3])]))
    assert len(found) == 3
    assert len({each.provider for each in found}) == 3


async def test_a_slow_finder_does_not_hold_up_a_quick_one() -> None:
    slow = Fixed("dht", [2])
    slow.ready = trio.Event()
    send, receive = trio.open_memory_channel[Candidate](0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Finders([slow, Fixed("lan", [1])]).providers, MANIFEST, send)
        assert await receive.receive() == candidate(1, "lan")
        slow.ready.set()
        assert await receive.receive() == candidate(2, "dht")
        nursery.cancel_scope.cancel()


async def test_a_search_that_is_cancelled_midway_leaves_no_task_behind() -> None:
    waiting = Fixed("dht", [1])
    waiting.ready = trio.Event()
    send, _ = trio.open_memory_channel[Candidate](0)
    before = trio.lowlevel.current_statistics().tasks_living
    with trio.move_on_after(0):
        await Finders([waiting]).providers(MANIFEST, send)
    assert trio.lowlevel.current_statistics().tasks_living == before


async def test_releases_of_all_finders_are_put_together_without_repeats() -> None:
    finders = Finders([Fixed("lan", [], (b"one", b"two")), Fixed("dht", [], (b"two", b"three"))])
    assert await finders.release(candidate(1, "").provider.peer, "minilm", "main") == (b"one", b"two", b"three")


async def test_holders_add_up_and_everybody_says_who_was_asked() -> None:
    finders = Finders([Fixed("lan", []), Fixed("dht", [1, 2, 3])])
    assert await finders.announce(MANIFEST) == 3
    assert await finders.put_release("/p2phub/x", b"signed") == 3
    assert [each.via for each in finders.asked()] == ["lan", "dht"]
