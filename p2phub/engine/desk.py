"""What strangers who ask are answered: about a name, what is new of a manifest, and whether they can be reached.

What they may not have is answered as what is not here (`engine.serve`).
"""

from __future__ import annotations

import trio

from p2phub import limits
from p2phub.content import Digest, RangeSet
from p2phub.discovery import dialable
from p2phub.engine.exchange import Exchange
from p2phub.engine.makings import Makings
from p2phub.engine.serve import StoreShelf
from p2phub.engine.thanks import Thanks
from p2phub.engine.workers import Workers
from p2phub.errors import PeerError, PeerRefused
from p2phub.identity import Address, PeerAddress, PeerId
from p2phub.manifest import read_release
from p2phub.net import Dialler, Offer
from p2phub.observe import Tally
from p2phub.store import Ledger
from p2phub.wire import (
    ControlAnswer,
    ControlRequest,
    GetNews,
    GetRelease,
    News,
    Ping,
    Pong,
    Probe,
    Probed,
    ReleaseIs,
)

_KINDS = {Ping: "ping", GetRelease: "release", GetNews: "news", Probe: "probe"}


class ControlDesk:
    """Answers control questions. `dialler` is set once the node has one: it dials back for `Probe`. Without an
    `exchange` nobody is named to anybody, without `thanks` nobody's merits are noted."""

    def __init__(
        self,
        shelf: StoreShelf,
        ledger: Ledger,
        workers: Workers,
        exchange: Exchange | None = None,
        thanks: Thanks | None = None,
        tally: Tally | None = None,
    ) -> None:
        self._tally = Tally() if tally is None else tally
        self._shelf = shelf
        self._ledger = ledger
        self._workers = workers
        self._makings = Makings(workers, shelf.at_hand)
        self._exchange = exchange
        self._thanks = thanks
        if exchange is not None:
            exchange.changed = shelf.bulletin.tell_together
        self._probes = trio.CapacityLimiter(4)  # A probe costs a dial; strangers share four at a time.
        self.dialler: Dialler | None = None

    async def answer(self, peer: PeerId, observed: Address, request: ControlRequest) -> ControlAnswer:
        self._tally.questions[_KINDS[type(request)]] += 1
        if isinstance(request, Ping):
            return Pong()
        if isinstance(request, GetRelease):
            return ReleaseIs(await self._workers.run(lambda: self._release(peer, request)))
        if isinstance(request, GetNews):
            return await self._news(PeerAddress(peer, observed), request)
        return await self._probe(peer, observed, request)

    def _release(self, peer: PeerId, request: GetRelease) -> bytes:
        name = (request.publisher, request.name, request.tag)
        for item in self._ledger.publications():
            if (item.publisher, item.name, item.tag) == name:
                return item.signed if not item.private or peer in item.allow else b""
        accepted = self._ledger.accepted(*name)
        if accepted is None or read_release(accepted.signed).private:
            return b""  # A private name is told by its publisher alone.
        return accepted.signed

    async def _news(self, asker: PeerAddress, request: GetNews) -> News:
        """Hold the answer until there is something that the asker was not told, or it does not want to wait any more.

        What we hold only grows while we fetch, so how much that is says how new it is."""
        until = trio.current_time() + request.wait_ms / 1000
        offer = await self._makings.offer(request.manifest, asker, lambda: self._offer(request.manifest, asker.peer))
        if offer is None:
            return News(RangeSet(), (), (0, 0))
        if self._thanks is not None:
            self._thanks.heard(asker, request, bytes_total=offer.plan.table.bytes_total)
        exchange = self._exchange
        if exchange is not None:
            exchange.meet(request, asker.peer, asker.address, now=trio.current_time())
        while True:
            now = trio.current_time()
            held = offer.held_now
            mark, newest = 1 + len(held), 0 if exchange is None else exchange.newest(request.manifest)
            peers: tuple[PeerAddress, ...] = ()
            if exchange is not None and newest > request.seen[1]:
                peers = exchange.told_to(asker, request.manifest, now=now, after=request.seen[1])
            if mark != request.seen[0] or peers or now >= until:
                return News(None if mark == request.seen[0] else held, peers, (mark, newest))
            await self._shelf.bulletin.change(request.manifest, until=until)

    def _offer(self, manifest: Digest, peer: PeerId) -> Offer | None:
        try:
            return self._shelf.offer(manifest, peer)
        except PeerRefused:
            return None

    async def _probe(self, peer: PeerId, observed: Address, request: Probe) -> Probed:
        """Dial back to where the question came from, never elsewhere: nobody can aim us at a third party. Whoever asks
        through somebody's proxy cannot have us knock at its mail or database either."""
        ip = observed.ip
        if self.dialler is None or not dialable([Address(ip, request.port)], heard_from=ip):
            return Probed(ip, False, "this node cannot dial back")
        async with self._probes:
            with trio.move_on_after(limits.DIAL_S):
                try:
                    control = await self.dialler.open_control(PeerAddress(peer, Address(ip, request.port)))
                    await control.aclose()
                    return Probed(ip, True, "")
                except PeerError as error:
                    return Probed(ip, False, error.message[:200])
        return Probed(ip, False, f"no answer within {limits.DIAL_S:g} s")
