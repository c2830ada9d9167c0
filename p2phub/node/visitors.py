"""How a node without a daemon is reachable while it fetches: a port for the length of its life.

It is no daemon's port: any free one, unless the user named one. A port that was named and cannot be had is said, and
another taken; where none can be had the node only dials. A requester tells it to those it asks (proto/transfer.md §6),
nothing else makes it known.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Protocol

from p2phub.errors import UsageError
from p2phub.identity import Address

_log = logging.getLogger(__name__)


class Listening(Protocol):
    """A port that is open."""

    @property
    def addresses(self) -> tuple[Address, ...]: ...


Listen = Callable[[Address], AbstractAsyncContextManager[Listening]]
"""Opens a port, at least for as long as the block lasts. Raises UsageError."""


@asynccontextmanager
async def open_to_visitors(
    wished: Sequence[Address], listen: Listen, *, named: bool
) -> AsyncIterator[tuple[Address, ...]]:
    """Listen where `wished` says, at other ports if those are taken; yields where, nothing if that cannot be.

    `named`: the user said so. Else the ports are a daemon's, and are left to it.
    """
    async with AsyncExitStack() as stack:
        bound: list[Address] = []
        for address in wished:
            fault: UsageError | None = None
            for port in (address.port, 0) if named and address.port else (0,):
                try:
                    listening = await stack.enter_async_context(listen(Address(address.ip, port)))
                except UsageError as error:
                    fault = fault or error
                    continue
                bound.extend(listening.addresses)
                if fault is not None:
                    _log.warning("%s; others can reach this fetch at %s instead", fault, listening.addresses[0])
                else:
                    _log.info("others can reach this fetch at %s", listening.addresses[0])
                break
            else:
                _log.log(logging.WARNING if named else logging.DEBUG, "others cannot reach this fetch there: %s", fault)
        yield tuple(bound)


def port_towards(listening: Sequence[Address], where: Address) -> int:
    """Return the port at which somebody who is reached at `where` can dial us; 0: at none."""
    there = ipaddress.ip_address(where.ip)
    for address in listening:
        ip = ipaddress.ip_address(address.ip)
        if ip.version == there.version and (ip.is_unspecified or ip.is_loopback == there.is_loopback):
            return address.port
    return 0
