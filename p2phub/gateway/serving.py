"""Put the gateway together and run it beside a node: where it listens, its shelf, its server."""

from __future__ import annotations

import errno
import os

import trio

from p2phub import api
from p2phub.errors import UsageError
from p2phub.gateway.api_shelf import open_hub_shelf
from p2phub.gateway.app import App
from p2phub.gateway.guard import Door
from p2phub.gateway.server import Server


class GatewayAt:
    """A gateway that will listen on an address, for `api.run_node`. Port 0 is any free one."""

    def __init__(self, address: api.Address) -> None:
        self._address = address

    async def __call__(
        self, hub: api.Hub, *, token: str, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve until cancelled; tells the URL to give to clients as HF_ENDPOINT. Raises UsageError."""
        listeners = await _listen(self._address)
        try:
            port = listeners[0].socket.getsockname()[1]
            door = Door(self._address.ip, port, token, os.geteuid())
            async with open_hub_shelf(hub, allow_unsafe=hub.allow_unsafe) as shelf:
                task_status.started(door.url)
                await Server(App(door, shelf).handle).serve(listeners)
        finally:
            for listener in listeners:
                listener.socket.close()


async def _listen(address: api.Address) -> list[trio.SocketListener]:
    try:
        return await trio.open_tcp_listeners(address.port, host=address.ip)
    except OSError as exc:
        taken = exc.errno == errno.EADDRINUSE
        raise UsageError(
            f"the gateway cannot listen on {address.ip} port {address.port}: {exc.strerror or exc}",
            hint="another port will do: p2phub node --gateway 127.0.0.1:PORT" if taken else None,
        ) from exc
