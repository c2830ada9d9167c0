"""The simulated network against arithmetic: what a link carries, how streams share it, what a fault does to them."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from random import Random

import pytest
import trio

from p2phub.errors import PeerGone, WrongPeer
from simnet import det
from simnet.network import WINDOW_BYTES, Ether, Host, Network, Stream
from simnet.node import address_of, key_of
from simnet.trace import Trace

MB = 1_000_000


class Lab:
    """Some hosts; `serve` is what each does with a stream that is opened to it."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.ether = Ether(Random(1))
        self.trace = Trace()
        self.network = Network(self.ether, self.trace, Random(2))
        self.hosts: list[Host] = []
        self.accepted: list[Stream] = []

    def host(self, *, up: float = math.inf, down: float = math.inf, latency_s: float = 0.01) -> Host:
        number = len(self.hosts) + 1
        peer = key_of(number).peer_id
        host = Host(self.network, f"h{number}", peer, address_of(number), up=up, down=down, latency_s=latency_s)
        host.listener = self.accepted.append
        self.network.add(host)
        self.hosts.append(host)
        return host

    async def stream(self, source: Host, target: Host) -> tuple[Stream, Stream]:
        """Return both ends of a new connection."""
        assert await self.network.connect(source, target.address) is target
        near = await self.network.handshake(source, target, target.peer)
        return near, self.accepted.pop()


def in_lab(scene: Callable[[Lab], Awaitable[None]]) -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            await scene(Lab(nursery))
            nursery.cancel_scope.cancel()

    det.run(0, main)


async def send(stream: Stream, count: int) -> None:
    await stream.write(bytes(count))


async def receive(stream: Stream, count: int) -> float:
    """Return when `count` bytes had come."""
    while count:
        part = await stream.read(count)
        assert part
        count -= len(part)
    return trio.current_time()


def test_one_stream_takes_size_over_rate_and_the_delay() -> None:
    async def scene(lab: Lab) -> None:
        ann, bob = lab.host(up=2 * MB), lab.host()
        near, far = await lab.stream(ann, bob)
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, near, 8 * MB)
            took = await receive(far, 8 * MB) - began
        assert took == pytest.approx(8 / 2 + 0.02, rel=0.01)

    in_lab(scene)


def test_streams_share_an_uplink_fairly_and_leave_what_they_cannot_use() -> None:
    async def scene(lab: Lab) -> None:
        ann, ends = lab.host(up=4 * MB), {}
        for rate in (math.inf, math.inf, 0.4 * MB):
            bob = lab.host(down=rate)
            ends[bob] = await lab.stream(ann, bob)
        began = trio.current_time()
        came: dict[Host, float] = {}

        async def carry(bob: Host, near: Stream, far: Stream, count: int) -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send, near, count)
                came[bob] = await receive(far, count) - began

        async with trio.open_nursery() as nursery:
            for bob, (near, far) in ends.items():
                slow = bob.down.rate < math.inf
                nursery.start_soon(carry, bob, near, far, int((1.6 if slow else 7.2) * MB))
        # Max-min: the slow one gets its 0.4 MB/s, the others 1.8 MB/s each: all take 4 s.
        for took in came.values():
            assert took == pytest.approx(4.0, rel=0.08)

    in_lab(scene)


def test_connecting_takes_two_round_trips() -> None:
    async def scene(lab: Lab) -> None:
        await lab.stream(lab.host(latency_s=0.03), lab.host(latency_s=0.02))
        assert trio.current_time() == pytest.approx(4 * 0.05, rel=0.01)

    in_lab(scene)


def test_a_reader_that_does_not_read_stops_the_writer() -> None:
    async def scene(lab: Lab) -> None:
        near, far = await lab.stream(lab.host(), lab.host())
        with trio.move_on_after(60) as patience:
            await send(near, 8 * MB)
        assert patience.cancelled_caught
        assert len(far.incoming.inbox) == WINDOW_BYTES

    in_lab(scene)


def test_what_a_cut_link_holds_comes_when_it_heals_and_the_other_way_works_meanwhile() -> None:
    async def scene(lab: Lab) -> None:
        ann, bob = lab.host(up=MB), lab.host(up=MB)
        near, far = await lab.stream(ann, bob)
        lab.network.cut(ann, bob)
        await send(near, 100_000)
        await send(far, 100_000)
        await receive(near, 100_000)
        with trio.move_on_after(60) as patience:
            await receive(far, 1)
        assert patience.cancelled_caught
        lab.network.heal(ann, bob)
        await receive(far, 100_000)

    in_lab(scene)


def test_a_killed_process_looks_like_an_end_and_its_port_refuses() -> None:
    async def scene(lab: Lab) -> None:
        ann, bob = lab.host(), lab.host(up=MB)
        near, far = await lab.stream(ann, bob)
        await send(far, 200_000)
        bob.kill()
        while await near.read(1 << 20):
            pass
        pipe = near.incoming
        assert pipe.written == 200_000 == pipe.delivered + pipe.lost
        assert pipe.lost > 0
        with pytest.raises(PeerGone):
            await send(near, 4 * MB)
        with pytest.raises(PeerGone, match="refused"):
            await lab.network.connect(ann, bob.address)

    in_lab(scene)


def test_a_frozen_process_accepts_and_says_nothing_until_it_goes_on() -> None:
    async def scene(lab: Lab) -> None:
        ann, bob = lab.host(), lab.host()
        bob.freeze()
        await lab.network.connect(ann, bob.address)
        with trio.move_on_after(60) as patience:
            await lab.network.handshake(ann, bob, bob.peer)
        assert patience.cancelled_caught
        bob.thaw()
        with pytest.raises(WrongPeer):
            await lab.network.handshake(ann, bob, ann.peer)
        await lab.network.handshake(ann, bob, bob.peer)

    in_lab(scene)
