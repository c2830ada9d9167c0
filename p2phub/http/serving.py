"""Run sites beside a node: where they listen, the hub that they stand on, the server in front of them."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack

import trio

from p2phub import api
from p2phub.errors import UsageError
from p2phub.http.front import Front, Site
from p2phub.http.guard import Door
from p2phub.http.server import Server
from p2phub.http.traffic import Traffic

OpenSites = Callable[[api.Hub, Door], AbstractAsyncContextManager[Mapping[str, Site]]]
"""Opens sites of a hub, each by the first part of its paths ("": all the rest), until the context ends."""


class SitesAt:
    """Sites that will stand at an address, for `api.run_node`. Port 0 is any free one. `traffic`: where it is counted
    what goes over that port; `option`: what the user asked for it by; `readers`: further users (uid) of this machine
    whose programs may read.

    The port is there from `listen` on, the first thing of a start: who comes before there is an answer waits for it.
    Clients whose download a restart broke off try again for some seconds alone where they are refused (five of them,
    huggingface_hub).
    """

    def __init__(
        self,
        address: api.Address,
        opens: Sequence[OpenSites],
        traffic: Traffic | None = None,
        *,
        option: str = "--gateway",
        readers: Iterable[int] = (),
    ) -> None:
        self._address = address
        self._opens = opens
        self._listeners: list[trio.SocketListener] = []
        self._traffic = Traffic() if traffic is None else traffic
        self._option = option
        self._readers = frozenset(readers)
        self.door: Door | None = None
        """Where it listens. Once it serves."""

    async def listen(self) -> None:
        """Open the port. Raises UsageError if it cannot be had."""
        self._listeners = await _listen(self._address, self._option)

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
            door = self.door = Door(self._address.ip, port, token, os.geteuid(), self._readers)
            async with AsyncExitStack() as stack:
                sites: dict[str, Site] = {}
                for opens in self._opens:
                    sites.update(await stack.enter_async_context(opens(hub, door)))
                task_status.started(door.url)
                await Server(Front(door, sites, self._traffic).handle, self._traffic).serve(listeners)
        finally:
            self.close()


async def _listen(address: api.Address, option: str) -> list[trio.SocketListener]:
    try:
        return await trio.open_tcp_listeners(address.port, host=address.ip)
    except OSError as exc:
        taken = exc.errno == errno.EADDRINUSE
        raise UsageError(
            f"{option} cannot listen on {address.ip} port {address.port}: {exc.strerror or exc}",
            hint=f"another port will do: p2phub node {option} 127.0.0.1:PORT" if taken else None,
        ) from exc
