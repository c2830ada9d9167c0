"""Bring a link up and hand on what it reports: the task that each link of a fetch has. It owns nothing."""

from __future__ import annotations

import logging

import msgspec
import trio

from p2phub.content import Digest
from p2phub.errors import PeerError, PeerGone, WrongPeer
from p2phub.identity import Address, PeerAddress, PeerId, SourceId
from p2phub.net import Closed, Dialler, Link, Report
from p2phub.transfer import LinkId

_log = logging.getLogger(__name__)
HEAD_START_S = 0.5  # As long as a dial to the other side of the world takes: three round trips.


class Dialled(msgspec.Struct, frozen=True):
    """A dial came out: the link, or why there is none. `not_there`: addresses at which somebody else answered;
    `took_s`: how long it took to come up."""

    peer: SourceId
    number: LinkId
    link: Link | PeerError
    not_there: tuple[Address, ...] = ()
    took_s: float = 0.0
    kin: Digest | None = None  # The manifest that it was asked for in place of what is fetched.


class Reported(msgspec.Struct, frozen=True):
    """A link reported; `Closed` is its last."""

    number: LinkId
    report: Report


class Target(msgspec.Struct, frozen=True):
    """Whom to dial for what: `addresses` are tried in their order. `is_kin`: `manifest` is not what is fetched, but has
    chunks of it."""

    peer: PeerId
    addresses: tuple[Address, ...]
    via: str
    manifest: Digest
    prefix_bytes: int
    is_kin: bool = False


async def run_link(
    target: Target, number: LinkId, dialler: Dialler, tell: trio.MemorySendChannel[Dialled | Reported]
) -> None:
    """Dial, tell what came of it, then tell every report until the link closes. Cancelled, it closes the link."""
    race = await _open(target, dialler)
    kin = target.manifest if target.is_kin else None
    dialled = Dialled(target.peer, number, race.outcome, race.not_there, race.took_s, kin)
    if isinstance(race.outcome, PeerError):
        await tell.send(dialled)
        return
    await relay(dialled, race.outcome, tell)


async def relay(dialled: Dialled, link: Link, tell: trio.MemorySendChannel[Dialled | Reported]) -> None:
    """Tell that a link is up, then all that it reports. Cancelled, it closes the link."""
    number = dialled.number
    try:
        await tell.send(dialled)
        while True:
            report = await link.next_report()
            await tell.send(Reported(number, report))
            if isinstance(report, Closed):
                return
    finally:
        link.close()


async def _open(target: Target, dialler: Dialler) -> _Race:
    """Dial the addresses in their order, the next one once that before has failed or was silent for HEAD_START_S: a
    near address may well be one of another network than ours."""
    race = _Race(target, dialler)
    if len(target.addresses) == 1:
        await race.dial(target.addresses[0])
        return race
    try:
        async with trio.open_nursery() as nursery:

            async def dial(address: Address, settled: trio.Event) -> None:
                await race.dial(address)
                settled.set()
                if race.is_won:
                    nursery.cancel_scope.cancel()

            for address in target.addresses:
                settled = trio.Event()
                nursery.start_soon(dial, address, settled)
                with trio.move_on_after(HEAD_START_S):
                    await settled.wait()
                if race.is_won:
                    break
    except BaseException:  # Cancelled, perhaps at the moment when one was up.
        if not isinstance(race.outcome, PeerError):
            race.outcome.close()
        raise
    return race


class _Race:
    """What came of the dials to one peer: the first link that came up, or the last error; how long that took, and where
    somebody else answered."""

    def __init__(self, target: Target, dialler: Dialler) -> None:
        self._target, self._dialler = target, dialler
        self.outcome: Link | PeerError = PeerGone("no address to dial", peer=str(target.peer))
        self.not_there: tuple[Address, ...] = ()
        self.took_s = 0.0
        self._under_way = 0

    @property
    def is_won(self) -> bool:
        return not isinstance(self.outcome, PeerError)

    async def dial(self, address: Address) -> None:
        target, began = self._target, trio.current_time()
        where = PeerAddress(target.peer, address)
        prefix_bytes = 0 if self._under_way else target.prefix_bytes  # It is not pushed twice.
        self._under_way += 1
        try:
            link = await self._dialler.open_link(where, target.manifest, prefix_bytes=prefix_bytes, via=target.via)
        except PeerError as error:
            self._failed(address, error)
            return
        except Exception:  # noqa: BLE001  # One provider's dial must never end the fetch, whatever fault it finds.
            _log.exception("a fault of our own ended a dial to %s", where)
            self._failed(address, PeerGone("a fault of our own ended the dial", peer=str(target.peer)))
            return
        if self.is_won:
            link.close()  # Another came up a moment sooner.
        else:
            self.outcome, self.took_s = link, trio.current_time() - began

    def _failed(self, address: Address, error: PeerError) -> None:
        self._under_way -= 1
        if isinstance(error, WrongPeer):
            self.not_there += (address,)
        if not self.is_won:
            self.outcome = error
