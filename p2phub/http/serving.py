"""Run sites beside a node: where they listen, the hub that they stand on, the server in front of them."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack

import trio

from p2phub import api
from p2phub.errors import UsageError
from p2phub.http.front import Front, Site
from p2phub.http.guard import Door
from p2phub.http.server import Server

OpenSites = Callable[[api.Hub, Door], AbstractAsyncContextManager[Mapping[str, Site]]]
"""Opens sites of a hub, each by the first part of its paths ("": all the rest), until the context ends."""


class SitesAt:
    """Sites that will stand at an address, for `api.run_node`. Port 0 is any free one.

    The port is there from `listen` on, the first thing of a start: who comes before there is an answer waits for it.
    Clients whose download a restart broke off try again for some seconds alone where they are refused (five of them,
    huggingface_hub).
    """

    def __init__(self, address: api.Address, opens: Sequence[OpenSites]) -> None:
        self._address = address
        self._opens = opens
        self._listeners: list[trio.SocketListener] = []

    async def listen(self) -> None:
        """Open the port. Raises UsageError if it cannot be had."""
        self._listeners = await _listen(self._address)

    def close(self) -> None:
        """Close the port, if it is open."""
        for listener in self._listeners:
            listener.socket.close()

    async def __call__(
        self, hub: api.Hub, *, token: str, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve until cancelled; tells the URL to give to clients as HF_ENDPOINT. Raises UsageError."""
        if not self._listeners:
            await self.listen()
        listeners = self._listeners
        try:
            port = listeners[0].socket.getsockname()[1]
            door = Door(self._address.ip, port, token, os.geteuid())
            async with AsyncExitStack() as stack:
                sites: dict[str, Site] = {}
                for opens in self._opens:
                    sites.update(await stack.enter_async_context(opens(hub, door)))
                task_status.started(door.url)
                await Server(Front(door, sites).handle).serve(listeners)
        finally:
            self.close()


async def _listen(address: api.Address) -> list[trio.SocketListener]:
    try:
        return await trio.open_tcp_listeners(address.port, host=address.ip)
    except OSError as exc:
        taken = exc.errno == errno.EADDRINUSE
        raise UsageError(
            f"the gateway cannot listen on {address.ip} port {address.port}: {exc.strerror or exc}",
            hint="another port will do: p2phub node --gateway 127.0.0.1:PORT" if taken else None,
        ) from exc
