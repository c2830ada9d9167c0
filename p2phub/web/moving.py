"""What is moving: the overview, and everybody who is told of it as it changes.

One task asks the node, however many pages are open, and only while there is one: twice a second. Who listens waits for
a newer overview than the one that it had; one that is slow misses those between, and nobody waits for it, for there is
no queue: what it is told next is the newest.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from typing import Any

import trio

from p2phub import api, limits
from p2phub.errors import HubError
from p2phub.http.json_body import json_body
from p2phub.http.refusal import Refusal
from p2phub.web.jobs import Jobs, rate_of

Json = dict[str, Any]
LOOK_S = 0.5
SLOWLY_S = 10.0
"""How often that is asked which changes seldom and costs more: peers, addresses, unfinished fetches."""

RATE_OVER_S = 3.0
MEASURE_S = 5.0
MEASURE_SHARE = 20
"""What is held is measured again after so many times what it took, and MEASURE_S at least."""

PEERS_TOLD_MAX = 1000
_ORIGINS = ("published", "adopted", "fetched", "own", "shared")


class Moving:
    """The overview of one node. `run` it beside whoever asks."""

    def __init__(self, hub: api.Hub, jobs: Jobs) -> None:
        self._hub, self._jobs = hub, jobs
        self._version = version("p2phub")
        self._asking = trio.Lock()
        self._seldom: Json = {}
        self._seldom_at = -math.inf
        self._changes = -1
        self._sizes: Json | None = None
        self._to_measure = trio.Event()
        self._sent: deque[tuple[float, int]] = deque()
        self._listeners = 0
        self._somebody = trio.Event()
        self._newer = trio.Event()
        self._told = b""
        self._compared: Json = {}

    async def run(self) -> None:
        """Keep those who listen told, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_measuring)
            while True:
                if not self._listeners:
                    await self._somebody.wait()
                with suppress(HubError):  # The node ends, or its disk does not answer: the next look may tell more.
                    await self._look()
                await trio.sleep(LOOK_S)

    async def overview(self) -> Json:
        """Return it as it is now. Raises HubError."""
        async with self._asking:
            pulse = await self._hub.pulse()
            now = trio.current_time()
            if pulse["changes"] != self._changes:
                self._to_measure.set()
            if now - self._seldom_at >= SLOWLY_S or pulse["changes"] != self._changes:
                self._seldom = await self._asked_seldom()
                self._seldom_at, self._changes = now, pulse["changes"]
        return {
            "node": {**self._seldom["node"], "version": self._version, "reachable": None},
            "disk": {**self._disk(), "quota_bytes": pulse["quota"], "free_bytes": pulse["free_bytes"]},
            "rates": {
                "up": self._rate_up(now, pulse["bytes_sent"]),
                "down": round(sum(rate_of(job) for job in pulse["jobs"]), 1),
            },
            "caps": {"up": pulse["up"], "down": pulse["down"], "by_schedule": pulse["by_schedule"]},
            "served_bytes": pulse["bytes_sent"],
            "peers": self._seldom["peers"],
            "proven": self._seldom["proven"],
            "held": self._seldom["held"],
            "unfinished": self._seldom["unfinished"],
            "changed": pulse["changes"],
            "jobs": self._jobs.told([job for job in pulse["jobs"] if not _rests(job)]),
        }

    async def peers(self) -> Json:
        """Return the peers that are known: who gives something now first, then who was reached. Raises HubError."""
        pulse, known = await self._hub.pulse(), await self._hub.peers()
        giving: dict[str, Json] = {}
        for job in pulse["jobs"]:
            for source in (job["explanation"] or {"sources": []})["sources"]:
                one = giving.setdefault(
                    source["peer_id"], {"down": 0.0, "bytes": 0, "note": None, "addresses": source["addresses"]}
                )
                one["down"] += source["bytes_per_s"]
                one["bytes"] += source["bytes_received"]
                one["note"] = source["state"]
        nothing: Json = {"down": 0.0, "bytes": None, "note": None}  # Of what ended nobody counts.
        found = [
            {**each, "address": each["addresses"][0], **nothing, **_without_addresses(giving.pop(each["peer_id"], {}))}
            for each in known
        ]
        for peer, one in giving.items():  # Mirrors, and who was met by this fetch alone.
            address = one["addresses"][0] if one["addresses"] else None
            found.append({"peer_id": peer, "address": address, "proven": True, **one})
        found.sort(key=lambda each: (-each["down"], -(each["bytes"] or 0), not each["proven"]))
        return {"items": found[:PEERS_TOLD_MAX], "cursor": None, "total": len(found)}

    @contextmanager
    def listening(self) -> Iterator[Callable[[], Awaitable[bytes]]]:
        """Yield what waits for an overview, as JSON, that is newer than the one it returned last. Raises Refusal(503)
        if too many listen."""
        if self._listeners >= limits.PAGE_LISTENERS_MAX:
            raise Refusal(503, f"{limits.PAGE_LISTENERS_MAX} pages listen already")
        told = b""

        async def newer() -> bytes:
            nonlocal told
            while self._told == told:
                await self._newer.wait()
            told = self._told
            return told

        self._listeners += 1
        self._somebody.set()
        self._somebody = trio.Event()
        try:
            yield newer
        finally:
            self._listeners -= 1
            if not self._listeners:
                self._told = b""  # Nobody keeps it up to date from now on.

    async def _look(self) -> None:
        overview = await self.overview()
        comparable = {**overview, "node": {**overview["node"], "seconds": 0}}
        if comparable != self._compared or not self._told:
            self._compared = comparable
            self._told = json_body(overview)
            self._newer.set()
            self._newer = trio.Event()

    async def _asked_seldom(self) -> Json:
        status, peers = await self._hub.status(), await self._hub.peers()
        held = await self._hub.search("", held=True, limit=1)
        return {
            "node": {name: status[name] for name in ("peer_id", "publisher_id", "addresses", "lan", "seconds")},
            "peers": len(peers),
            "proven": sum(peer["proven"] for peer in peers),
            "held": held["total"] if held["complete"] else None,
            "unfinished": len(await self._hub.unfinished()),
        }

    async def _keep_measuring(self) -> None:
        """Have it measured what everything takes, when something changed; seldom where that takes long."""
        while True:
            await self._to_measure.wait()
            self._to_measure = trio.Event()
            began = trio.current_time()
            with suppress(HubError):
                self._sizes = (await self._hub.counters())["store"]
            took_s = trio.current_time() - began
            await trio.sleep(max(MEASURE_S, MEASURE_SHARE * took_s))

    def _disk(self) -> Json:
        sizes = self._sizes
        if sizes is None:
            return dict.fromkeys(("held_bytes", "unfinished_bytes", *(f"{origin}_bytes" for origin in _ORIGINS)))
        by_origin = {origin: sizes["held"].get(origin, {"bytes": 0})["bytes"] for origin in _ORIGINS}
        return {
            "held_bytes": sum(by_origin.values()),
            "unfinished_bytes": sizes["unfinished_bytes"],
            **{f"{origin}_bytes": count for origin, count in by_origin.items()},
        }

    def _rate_up(self, now: float, sent: int) -> float:
        """Return how fast was sent of late, bytes a second."""
        self._sent.append((now, sent))
        while len(self._sent) > 2 and now - self._sent[1][0] >= RATE_OVER_S:
            self._sent.popleft()
        since, before = self._sent[0]
        return round(max(0, sent - before) / (now - since), 1) if now > since else 0.0


def _rests(job: Json) -> bool:
    """Whether it is a fetch for readers who have all they wanted: it waits for what they want next."""
    return job["explanation"] is not None and job["explanation"]["bound"] == "readers"


def _without_addresses(giving: Json) -> Json:
    return {name: value for name, value in giving.items() if name != "addresses"}
