"""A TCP relay with a delay in each direction that notes which way bytes went: round trips are counted, not timed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from p2phub.identity import Address


@dataclass
class SlowPath:
    """`address` leads to the target. `connections`: the turns of each, in the order in which they were made: "out" for
    bytes towards the target, "back" for the answer; each turn once."""

    address: Address
    connections: list[list[str]] = field(default_factory=list)

    @property
    def turns(self) -> list[str]:
        """The turns of the first connection."""
        return self.connections[0] if self.connections else []

    @property
    def round_trips(self) -> int:
        """How often something went out on the first that was answered later, the connecting itself included."""
        return 1 + self.turns.count("back")


@asynccontextmanager
async def slow_path(target: Address, *, delay_s: float) -> AsyncIterator[SlowPath]:
    """Relay connections to `target`, each byte `delay_s` late."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    path = SlowPath(Address("127.0.0.1", listener.socket.getsockname()[1]))

    async def carry(source: trio.SocketStream, sink: trio.SocketStream, way: str, turns: list[str]) -> None:
        sender, receiver = trio.open_memory_channel[tuple[float, bytes]](1000)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(deliver, receiver, sink)
            async with sender:
                try:
                    while data := bytes(await source.receive_some(65536)):
                        # Noted when it sets out: what a side says before it hears of the other is one turn.
                        if not turns or turns[-1] != way:
                            turns.append(way)
                        await sender.send((trio.current_time() + delay_s, data))
                except trio.BrokenResourceError:
                    pass

    async def deliver(receiver: trio.MemoryReceiveChannel[tuple[float, bytes]], sink: trio.SocketStream) -> None:
        try:
            async for due, data in receiver:
                await trio.sleep_until(due)
                await sink.send_all(data)
            await sink.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            pass

    async def relay(near: trio.SocketStream) -> None:
        turns: list[str] = []
        path.connections.append(turns)
        far = await trio.open_tcp_stream(target.ip, target.port)
        for end in (near, far):
            end.setsockopt(6, 1, 1)  # TCP_NODELAY
        async with near, far, trio.open_nursery() as nursery:
            nursery.start_soon(carry, near, far, "out", turns)
            nursery.start_soon(carry, far, near, "back", turns)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, relay, [listener])
        yield path
        nursery.cancel_scope.cancel()
