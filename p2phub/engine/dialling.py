"""Bring a link up and hand on what it reports: the task that each link of a fetch has. It owns nothing."""

from __future__ import annotations

from dataclasses import dataclass

import trio

from p2phub.content import Digest
from p2phub.errors import PeerError, PeerGone, WrongPeer
from p2phub.identity import Address, PeerAddress, PeerId, SourceId
from p2phub.net import Closed, Dialler, Link, Report
from p2phub.transfer import LinkId


@dataclass(frozen=True, slots=True)
class Dialled:
    """A dial came out: the link, or why there is none. `not_there`: addresses at which somebody else answered."""

    peer: SourceId
    number: LinkId
    link: Link | PeerError
    not_there: tuple[Address, ...] = ()


@dataclass(frozen=True, slots=True)
class Reported:
    """A link reported; `Closed` is its last."""

    number: LinkId
    report: Report


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to dial for what: `addresses` are tried one by one."""

    peer: PeerId
    addresses: tuple[Address, ...]
    via: str
    manifest: Digest
    prefix_bytes: int


async def run_link(
    target: Target, number: LinkId, dialler: Dialler, tell: trio.MemorySendChannel[Dialled | Reported]
) -> None:
    """Dial, tell what came of it, then tell every report until the link closes. Cancelled, it closes the link."""
    link, not_there = await _open(target, dialler)
    if isinstance(link, PeerError):
        await tell.send(Dialled(target.peer, number, link, not_there))
        return
    await relay(target.peer, number, link, tell, not_there)


async def relay(
    source: SourceId,
    number: LinkId,
    link: Link,
    tell: trio.MemorySendChannel[Dialled | Reported],
    not_there: tuple[Address, ...] = (),
) -> None:
    """Tell that a link is up, then all that it reports. Cancelled, it closes the link."""
    try:
        await tell.send(Dialled(source, number, link, not_there))
        while True:
            report = await link.next_report()
            await tell.send(Reported(number, report))
            if isinstance(report, Closed):
                return
    finally:
        link.close()


async def _open(target: Target, dialler: Dialler) -> tuple[Link | PeerError, tuple[Address, ...]]:
    """Return the first link that comes up, or the last error; and where somebody else answered."""
    outcome: Link | PeerError = PeerGone("no address to dial", peer=str(target.peer))
    not_there: list[Address] = []
    for address in target.addresses:
        try:
            outcome = await dialler.open_link(
                PeerAddress(target.peer, address), target.manifest, prefix_bytes=target.prefix_bytes, via=target.via
            )
            break
        except WrongPeer as error:
            not_there.append(address)
            outcome = error
        except PeerError as error:
            outcome = error
    return outcome, tuple(not_there)
