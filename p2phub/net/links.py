"""The links of a node: each is a thread in the scope of one task, and all are looked over now and then."""

from __future__ import annotations

from contextlib import suppress

import trio

from p2phub import limits
from p2phub.errors import PeerGone
from p2phub.identity import Address
from p2phub.net.alone import alone
from p2phub.net.channel import Channel, Watched
from p2phub.net.lease import Window
from p2phub.net.link import BulkLink
from p2phub.net.paced import PacedChannel
from p2phub.net.threads import LoopLook, run_blocking
from p2phub.net.throttle import Throttle
from p2phub.wire import BulkRequester


class Links:
    """Runs links in `nursery`; ending it closes them."""

    def __init__(self, nursery: trio.Nursery, watched: Watched, down: Throttle | None = None) -> None:
        self._nursery, self._watched = nursery, watched
        self._down = Throttle() if down is None else down
        self._running: set[BulkLink] = set()
        # How many run is the engine's choice (BULK_THREADS_MAX, CROWD_LINKS_MAX); this only bounds a mistake there.
        self._threads = trio.CapacityLimiter(limits.DATA_CONNECTIONS_MAX)

    def __len__(self) -> int:
        return len(self._running)

    def start(self, channel: Channel, machine: BulkRequester, address: Address, via: str) -> BulkLink:
        """Begin to work on a connection on which `machine` has said Open."""
        down, job = self._down, machine.manifest
        paced = PacedChannel(channel, down, down.flow(job), sends=False)
        link = BulkLink(paced, machine, address, via, Window(lambda most: down.ahead_bytes(job, most)))
        self._nursery.start_soon(self._run, link, paced)
        return link

    async def keep_looking(self) -> None:
        """Once a second, end the calls of blocking threads that should have ended, and look every link over; also at
        how busy this loop is, which they meet at the GIL."""
        loop = LoopLook()
        while True:
            await trio.sleep(1)
            loop.look()
            self._watched.cancel_overdue()
            for link in self._running:
                link.look(trio.current_time())

    async def _run(self, link: BulkLink, channel: Channel) -> None:
        self._running.add(link)
        self._watched.add(channel)
        try:
            with suppress(PeerGone), alone("a link", link.peer):  # Which has told already that it closed.
                await run_blocking(link.run, link.close, self._threads)
        finally:
            self._running.discard(link)
            self._watched.discard(channel)
