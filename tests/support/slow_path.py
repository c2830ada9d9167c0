"""A TCP relay with a delay in each direction that notes which way bytes went: round trips are counted, not timed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from p2phub.identity import Address


@dataclass
class SlowPath:
    """`address` leads to the target. `turns`: "out" for bytes towards it, "back" for the answer; each turn once."""

    address: Address
    turns: list[str] = field(default_factory=list)

    @property
    def round_trips(self) -> int:
        """How often something went out that was answered later, the connecting itself included."""
        return 1 + self.turns.count("back")


@asynccontextmanager
async def slow_path(target: Address, *, delay_s: float) -> AsyncIterator[SlowPath]:
    """Relay one connection at a time to `target`, each byte `delay_s` late."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    path = SlowPath(Address("127.0.0.1", listener.socket.getsockname()[1]))

    async def carry(source: trio.SocketStream, sink: trio.SocketStream, way: str) -> None:
        sender, receiver = trio.open_memory_channel[tuple[float, bytes]](1000)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(deliver, receiver, sink)
            async with sender:
                try:
                    while data := bytes(await source.receive_some(65536)):
                        # Noted when it sets out: what a side says before it hears of the other is one turn.
                        if not path.turns or path.turns[-1] != way:
                            path.turns.append(way)
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
        far = await trio.open_tcp_stream(target.ip, target.port)
        for end in (near, far):
            end.setsockopt(6, 1, 1)  # TCP_NODELAY
        async with near, far, trio.open_nursery() as nursery:
            nursery.start_soon(carry, near, far, "out")
            nursery.start_soon(carry, far, near, "back")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, relay, [listener])
        yield path
        nursery.cancel_scope.cancel()
