"""What is moving: the overview, and everybody who is told of it as it changes.

One task asks the node, however many pages are open, and only while there is one: twice a second. Who listens waits for
a newer overview than the one that it had; one that is slow misses those between, and nobody waits for it, for there is
no queue: what it is told next is the newest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import suppress
from importlib.metadata import version
from typing import Any

import msgspec
import trio

from p2phub import api
from p2phub.errors import HubError
from p2phub.http.refusal import Refusal
from p2phub.web.catalogue import Catalogue
from p2phub.web.jobs import Jobs, rate_of

Json = dict[str, Any]
LOOK_S = 0.5
SLOWLY_S = 10.0
"""How often that is asked which changes seldom and costs more: peers, addresses, unfinished fetches."""

RATE_OVER_S = 3.0
LISTENERS_MAX = 64
"""Pages that listen at once; each has a connection."""


class Moving:
    """The overview of one node. `run` it beside whoever asks."""

    def __init__(self, hub: api.Hub, catalogue: Catalogue, jobs: Jobs) -> None:
        self._hub, self._catalogue, self._jobs = hub, catalogue, jobs
        self._version = version("p2phub")
        self._seldom: Json = {}
        self._seldom_at = -SLOWLY_S
        self._sent: deque[tuple[float, int]] = deque()
        self._listeners = 0
        self._somebody = trio.Event()
        self._newer = trio.Event()
        self._told = b""
        self._compared: Json = {}

    async def run(self) -> None:
        """Keep those who listen told, until cancelled."""
        while True:
            if not self._listeners:
                await self._somebody.wait()
            with suppress(HubError):  # The node ends, or its disk does not answer: the next look may tell more.
                await self._look()
            await trio.sleep(LOOK_S)

    async def overview(self) -> Json:
        """Return it as it is now. Raises HubError."""
        pulse = await self._hub.pulse()
        now = trio.current_time()
        if now - self._seldom_at >= SLOWLY_S:
            self._seldom_at = now
            self._seldom = await self._asked_seldom()
        self._catalogue.note(pulse["changes"])
        held = self._catalogue.known
        of_node = [job for job in pulse["jobs"] if job["explanation"] is None or job["explanation"]["bound"] != "readers"]
        by_origin = held.bytes_by_origin
        return {
            "node": {**self._seldom["node"], "version": self._version, "reachable": None},
            "disk": {
                "held_bytes": held.bytes,
                **{f"{origin}_bytes": by_origin.get(origin, 0) for origin in ("published", "adopted", "fetched", "own")},
                "quota_bytes": pulse["quota"],
                "free_bytes": pulse["free_bytes"],
            },
            "rates": {
                "up": self._rate_up(now, pulse["bytes_sent"]),
                "down": round(sum(rate_of(job) for job in pulse["jobs"]), 1),
            },
            "caps": {"up": pulse["up"], "down": pulse["down"], "by_schedule": pulse["by_schedule"]},
            "served_bytes": pulse["bytes_sent"],
            "peers": self._seldom["peers"],
            "proven": self._seldom["proven"],
            "held": len(held.items),
            "unfinished": self._seldom["unfinished"],
            "changed": self._catalogue.version,
            "jobs": self._jobs.told(of_node),
        }

    async def listen(self) -> AsyncGenerator[bytes, None]:
        """Yield the overview as JSON, now and whenever it changed. Raises Refusal(503) if too many listen."""
        if self._listeners >= LISTENERS_MAX:
            raise Refusal(503, f"{LISTENERS_MAX} pages listen already")
        self._listeners += 1
        self._somebody.set()
        self._somebody = trio.Event()
        try:
            told = b""
            while True:
                newer = self._newer
                if self._told != told:
                    told = self._told
                    yield told
                else:
                    await newer.wait()
        finally:
            self._listeners -= 1
            if not self._listeners:
                self._told = b""  # Nobody keeps it up to date from now on.

    async def _look(self) -> None:
        overview = await self.overview()
        comparable = {**overview, "node": {**overview["node"], "seconds": 0}}
        if comparable != self._compared or not self._told:
            self._compared = comparable
            self._told = msgspec.json.encode(overview)
            self._newer.set()
            self._newer = trio.Event()

    async def _asked_seldom(self) -> Json:
        status, peers = await self._hub.status(), await self._hub.peers()
        return {
            "node": {name: status[name] for name in ("peer_id", "publisher_id", "addresses", "lan", "seconds")},
            "peers": len(peers),
            "proven": sum(peer["proven"] for peer in peers),
            "unfinished": len(await self._hub.unfinished()),
        }

    def _rate_up(self, now: float, sent: int) -> float:
        """Return how fast was sent of late, bytes a second."""
        self._sent.append((now, sent))
        while len(self._sent) > 2 and now - self._sent[1][0] >= RATE_OVER_S:
            self._sent.popleft()
        since, before = self._sent[0]
        return round(max(0, sent - before) / (now - since), 1) if now > since else 0.0
