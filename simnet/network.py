"""The simulated network: hosts with an uplink and a downlink, and streams of bytes between them.

A stream behaves as TCP looks from a program: bytes come in order or the stream ends; loss shows as delay; a cut link
holds bytes until it heals; a frozen process leaves its connections standing. Each link serves the streams on it in
turn, a few kilobytes each, so that they share it fairly: what one cannot use goes to the others.
Times are virtual seconds, rates bytes a second.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from random import Random

import trio

from p2phub import limits
from p2phub.errors import PeerGone, WrongPeer
from p2phub.identity import Address, PeerId
from simnet import det
from simnet.trace import Trace

SEND_BUFFER_BYTES = 256 * limits.KIB
WINDOW_BYTES = limits.MIB
TURN_S = 0.03  # How long a link serves one stream before it looks at the next,
TURN_BYTES_MIN = 4 * limits.KIB  # within these bounds.
TURN_BYTES_MAX = 256 * limits.KIB
RETRANSMIT_S = 0.3
JITTER_S = 1e-5  # Gives each arrival an instant of its own.


class Ether:
    """What is going to happen on all links, each at an instant of its own. Made and used inside `det.run`."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance

    def after(self, seconds: float, act: Callable[[], None]) -> float:
        """Do `act` so much later, and a little; return when."""
        at = trio.current_time() + seconds + self._chance.random() * JITTER_S
        det.at(at, act)
        return at


class Link:
    """One direction of a host's connection to the network: `take` says what a stream can send, `done` passes it on."""

    def __init__(
        self, ether: Ether, rate: float, take: Callable[[Pipe, int], int], done: Callable[[Pipe, int], None]
    ) -> None:
        self.rate = rate
        self._ether, self._take, self._done = ether, take, done
        self._waiting: dict[Pipe, None] = {}  # In the order of their turns.
        self._busy = False

    def offer(self, pipe: Pipe) -> None:
        """`pipe` may have something to send."""
        self._waiting.setdefault(pipe, None)
        if not self._busy:
            self._serve()

    def _serve(self) -> None:
        while self._waiting:
            pipe = next(iter(self._waiting))
            del self._waiting[pipe]
            turn = TURN_BYTES_MAX
            if self.rate < math.inf:
                turn = max(TURN_BYTES_MIN, min(turn, int(self.rate * TURN_S)))
            self._busy = True  # Whatever is offered while it takes has to wait.
            count = self._take(pipe, turn)
            if count:
                self._ether.after(count / self.rate, partial(self._finish, pipe, count))
                return
            self._busy = False

    def _finish(self, pipe: Pipe, count: int) -> None:
        self._busy = False
        self._done(pipe, count)
        self.offer(pipe)


class Pipe:
    """One direction of a stream. `written` = `delivered` + `lost` + what is still on its way."""

    def __init__(self, network: Network, source: Host, target: Host) -> None:
        self.network, self.source, self.target = network, source, target
        self.written = self.delivered = self.lost = 0
        self.inbox = bytearray()
        self.came_at = 0.0  # When bytes came last.
        self.at_end = False  # The reader has met the end, or will after the inbox.
        self.broken = False  # The writer knows that nobody reads.
        self.readable = trio.lowlevel.ParkingLot()
        self.writable = trio.lowlevel.ParkingLot()
        self._filling: memoryview | None = None  # What of the reader's buffer is still to be filled,
        self._sending: memoryview | None = None  # and what of the writer's is still to be sent.
        self._queue = bytearray()
        self._wire = bytearray()
        self._held = 0  # Of the wire: waits for a cut to heal.
        self._at_door = 0  # Of the wire: waits for the target's downlink.
        self._arrives_at = 0.0
        self._closed = False
        self._ending = False
        self._end_held = False
        self._reader_gone = False

    def __bool__(self) -> bool:
        return True

    @property
    def on_its_way(self) -> int:
        return len(self._queue) + len(self._wire)

    # --- the ends ------------------------------------------------------------------------------------------------

    def send(self, data: bytes | memoryview) -> bool:
        """Begin to write `data`, which stays as it is until all is sent; return whether it is. Raises PeerGone.

        Else wait for `writable`, and ask `sent_all` again.
        """
        self._sending = memoryview(data)
        return self.sent_all()

    def sent_all(self) -> bool:
        if self.broken or self._closed:
            raise PeerGone("the connection was lost")
        self._draw()
        return self._sending is None

    def _draw(self) -> None:
        """Take what there is room for out of the writer's buffer."""
        if self._sending is None or self.source.frozen:
            return
        part = self._sending[: max(0, SEND_BUFFER_BYTES - len(self._queue))]
        rest = self._sending[len(part) :]
        self._queue += part
        self.written += len(part)
        self._sending = rest if len(rest) else None
        self.source.up.offer(self)

    async def write(self, data: bytes | memoryview) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            done = self.send(data)
            while not done:
                await self.writable.park()
                done = self.sent_all()
        finally:
            self._sending = None

    def fill(self, into: memoryview) -> bool:
        """Begin to put bytes into `into` as they come; return whether it is full. Raises PeerGone, at the end, too.

        Else wait for `readable`, and ask `filled` again.
        """
        self._filling = into
        return self.filled()

    def filled(self) -> bool:
        if self._reader_gone:
            raise PeerGone("the connection was closed")
        self._pour()
        if self._filling is None:
            return True
        if self.at_end and not self.target.frozen:
            raise PeerGone("the connection ended")
        return False

    def _pour(self) -> None:
        """Put what has come into the reader's buffer."""
        if self._filling is None or self.target.frozen or not self.inbox:
            return
        count = min(len(self.inbox), len(self._filling))
        self._filling[:count] = self.inbox[:count]
        del self.inbox[:count]
        self._filling = self._filling[count:] if count < len(self._filling) else None
        self.source.up.offer(self)

    async def read(self, most: int) -> bytes:
        await trio.lowlevel.checkpoint_if_cancelled()
        while True:
            if self._reader_gone:
                raise PeerGone("the connection was closed")
            if self.inbox and not self.target.frozen:
                part = bytes(self.inbox[:most])
                del self.inbox[:most]
                self.source.up.offer(self)
                return part
            if self.at_end and not self.target.frozen:
                return b""
            await self.readable.park()

    def thawed(self, host: Host) -> None:
        """The process at one end goes on."""
        if host is self.source:
            self.writable.unpark_all()
        else:
            self.readable.unpark_all()

    def close(self) -> None:
        """The writer is done: the reader meets the end after what was written."""
        self._closed = True
        self._sending = None
        self._end_if_empty()
        self.writable.unpark_all()

    def leave(self) -> None:
        """The reader is gone: what still comes is lost, and the writer learns that it is."""
        if self._reader_gone:
            return
        self._reader_gone = True
        self._filling = None
        self.lost += len(self.inbox)
        self.delivered -= len(self.inbox)
        self.inbox.clear()
        self.readable.unpark_all()
        self.network.ether.after(self.network.delay(self.target, self.source), self._break)

    def abort(self) -> None:
        """The writer's machine let go of it: what is not yet at the other end never comes."""
        self.lost += len(self._queue) + len(self._wire)
        self._queue.clear()
        self._wire.clear()
        self._held = self._at_door = 0
        self.close()

    def _break(self) -> None:
        self.broken = True
        self.lost += len(self._queue)
        self._queue.clear()
        self.writable.unpark_all()

    # --- on the way ----------------------------------------------------------------------------------------------

    def take_up(self, most: int) -> int:
        """Put up to `most` bytes on the wire."""
        if self.network.is_cut(self.source, self.target):
            return 0
        count = min(most, len(self._queue), WINDOW_BYTES - len(self._wire) - len(self.inbox))
        if count <= 0:
            return 0
        self._wire += self._queue[:count]
        del self._queue[:count]
        self._draw()
        if self._sending is None:
            self.writable.unpark_all()
        return count

    def sent(self, count: int) -> None:
        seconds = self.network.delay(self.source, self.target)
        if self.network.loses(self.source, self.target):
            seconds += RETRANSMIT_S
        # In order, whatever the delay of each part.
        seconds = max(seconds, self._arrives_at - trio.current_time() + 2 * JITTER_S)
        self._arrives_at = self.network.ether.after(seconds, lambda: self._arrive(count))

    def _arrive(self, count: int) -> None:
        if not self._wire:
            return  # Aborted.
        if self.network.is_cut(self.source, self.target):
            self._held += count
            return
        self._at_door += count
        self.target.down.offer(self)

    def take_down(self, most: int) -> int:
        count = min(most, self._at_door)
        self._at_door -= count
        return count

    def through(self, count: int) -> None:
        count = min(count, len(self._wire))  # Less if it was aborted meanwhile.
        if not count:
            return
        part = self._wire[:count]
        del self._wire[:count]
        if self._reader_gone:
            self.lost += count
        else:
            self.inbox += part
            self.delivered += count
            self.came_at = trio.current_time()
            self._pour()
            if self._filling is None:
                self.readable.unpark_all()
        self.network.arrived(self.source, self.target, "data", count)
        self._end_if_empty()

    def healed(self) -> None:
        self._at_door += self._held
        self._held = 0
        self.source.up.offer(self)
        self.target.down.offer(self)
        if self._end_held:
            self._end_held = False
            self._send_end()

    def _end_if_empty(self) -> None:
        if self._closed and not self._ending and not self._queue and not self._wire:
            self._ending = True
            self._send_end()

    def _send_end(self) -> None:
        self.network.ether.after(self.network.delay(self.source, self.target), self._end)

    def _end(self) -> None:
        if self.network.is_cut(self.source, self.target):
            self._end_held = True
            return
        self.network.arrived(self.source, self.target, "end", 0)
        self.at_end = True
        self.readable.unpark_all()


class Stream:
    """One end of a connection between two hosts; they have proved who they are, unless it is `apart`."""

    def __init__(
        self, host: Host, other: Host, incoming: Pipe, outgoing: Pipe, *, dialled: bool, apart: bool = False
    ) -> None:
        self.host, self.other, self.incoming, self.outgoing = host, other, incoming, outgoing
        self.dialled = dialled
        self.apart = apart  # It belongs to the node and to none of its fetches.
        self.kind = ""  # "bulk" or "control", once the judge knows.
        self.ended = False  # On this side.
        host.streams[self] = None

    async def read(self, most: int) -> bytes:
        """Return 1 to `most` bytes, b"" at the end. Raises PeerGone."""
        return await self.incoming.read(most)

    async def write(self, data: bytes | memoryview) -> None:
        """Send all of `data`, or at least to the buffer. Raises PeerGone."""
        await self.outgoing.write(data)

    def end(self) -> None:
        """End both directions; what was written still goes out."""
        self.ended = True
        self.outgoing.close()
        self.incoming.leave()
        self.host.streams.pop(self, None)

    def cut_off(self) -> None:
        """End it as the machine does when its process is killed: what was not yet sent is lost."""
        self.ended = True
        self.outgoing.abort()
        self.incoming.leave()
        self.host.streams.pop(self, None)


class Host:
    """A machine on the network. `latency_s`: one way to the middle of it."""

    def __init__(
        self,
        network: Network,
        name: str,
        peer: PeerId,
        address: Address,
        *,
        up: float = math.inf,
        down: float = math.inf,
        latency_s: float = 0.01,
        natted: bool = False,
        hashes: float = math.inf,
    ) -> None:
        self.network, self.name, self.peer, self.address = network, name, peer, address
        self.hashes = hashes  # Bytes a second that one of its processors checks.
        self.natted = natted  # It dials others; what is dialled to it never arrives.
        self.latency_s = latency_s
        self.up = Link(network.ether, up, Pipe.take_up, Pipe.sent)
        self.down = Link(network.ether, down, Pipe.take_down, Pipe.through)
        self.streams: dict[Stream, None] = {}
        self.incoming: list[Pipe] = []  # All that ever brought it something, those that have ended, too.
        self.listener: Callable[[Stream], None] | None = None  # None: no process, so dials are refused.
        self.multistream: Callable[[Stream], None] | None = None  # Who takes connections of libp2p.
        self._frozen: trio.Event | None = None

    async def awake(self) -> None:
        """Return at once, or when a frozen process goes on."""
        while self._frozen is not None:
            await self._frozen.wait()

    @property
    def frozen(self) -> bool:
        return self._frozen is not None

    def freeze(self) -> None:
        """Stop the process (SIGSTOP): the machine takes in what its buffers hold, nothing is read or written."""
        if self._frozen is None:
            self._frozen = trio.Event()

    def thaw(self) -> None:
        if self._frozen is not None:
            frozen, self._frozen = self._frozen, None
            frozen.set()
            for stream in self.streams:
                stream.incoming.thawed(self)
                stream.outgoing.thawed(self)

    def kill(self) -> None:
        """End the process (SIGKILL): the machine closes its connections."""
        self.listener = self.multistream = None
        self.thaw()
        for stream in list(self.streams):
            stream.cut_off()


class Network:
    """All hosts, and what is wrong between them."""

    def __init__(self, ether: Ether, trace: Trace, chance: Random) -> None:
        self.ether, self.trace = ether, trace
        self._chance = chance
        self._hosts: dict[Address, Host] = {}
        self._cuts: set[tuple[str, str]] = set()
        self.pipes: list[Pipe] = []
        self.loss = 0.0  # Of the parts of a stream.

    def add(self, host: Host) -> None:
        assert host.address not in self._hosts
        self._hosts[host.address] = host

    def delay(self, source: Host, target: Host) -> float:
        return source.latency_s + target.latency_s

    def is_cut(self, source: Host, target: Host) -> bool:
        return (source.name, target.name) in self._cuts

    def loses(self, source: Host, target: Host) -> bool:
        return self.loss > 0 and self._chance.random() < self.loss

    def cut(self, source: Host, target: Host) -> None:
        """Nothing gets from `source` to `target` any more; the other way is another matter."""
        self._cuts.add((source.name, target.name))

    def heal(self, source: Host, target: Host) -> None:
        self._cuts.discard((source.name, target.name))
        for pipe in target.incoming:
            if pipe.source is source:
                pipe.healed()

    def arrived(self, source: Host, target: Host, kind: str, length: int) -> None:
        self.trace.add(trio.current_time(), source.name, target.name, kind, length)

    async def trip(self, source: Host, target: Host, kind: str) -> None:
        """Wait until a small packet got from one to the other; it is sent again while the way is cut."""
        there = trio.Event()

        def arrive() -> None:
            if self.is_cut(source, target):
                self.ether.after(RETRANSMIT_S, arrive)
            else:
                self.arrived(source, target, kind, 0)
                there.set()

        self.ether.after(self.delay(source, target), arrive)
        await there.wait()

    async def connect(self, source: Host, address: Address) -> Host:
        """Return the host at `address` after a round trip. Raises PeerGone if nobody listens there."""
        target = self._hosts.get(address)
        if target is None or target.natted:
            await trio.sleep_forever()
            raise AssertionError("never")
        await self.trip(source, target, "syn")
        listening = target.listener is not None
        await self.trip(target, source, "accept" if listening else "reset")
        if not listening:
            raise PeerGone(f"no connection to {address}: refused")
        return target

    async def handshake(self, source: Host, target: Host, expected: PeerId) -> Stream:
        """Return the proven connection after a round trip. Raises WrongPeer, PeerGone."""
        await self.trip(source, target, "hello")
        await target.awake()
        await self.trip(target, source, "proof")
        if target.peer != expected:
            raise WrongPeer(f"{target.peer} answered in place of {expected}", peer=str(expected))
        if target.listener is None or source.listener is None:
            raise PeerGone("the connection was lost")
        near, far = self.join(source, target)
        target.listener(far)
        return near

    def join(self, source: Host, target: Host, *, apart: bool = False) -> tuple[Stream, Stream]:
        """Return the ends of a new connection, at `source` and at `target`."""
        there, back = Pipe(self, source, target), Pipe(self, target, source)
        self.pipes += [there, back]
        target.incoming.append(there)
        source.incoming.append(back)
        near = Stream(source, target, back, there, dialled=True, apart=apart)
        return near, Stream(target, source, there, back, dialled=False, apart=apart)
