"""Keep the network told of what this node provides: manifests as provider records, names as signed releases.

Private manifests are never announced. Any holder re-puts the signed release it fetched by, so that a name outlives its
publisher's uptime. When each is due is decided by `discovery.AnnounceSchedule`; one goes out at a time, which paces us.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Set

import msgspec
import trio

from p2phub import limits
from p2phub.content import Digest
from p2phub.discovery import AnnounceSchedule
from p2phub.engine.public import for_everybody, public_releases
from p2phub.engine.workers import Workers
from p2phub.errors import DiskError, HubError, Malformed, NotTrusted
from p2phub.identity import PeerId
from p2phub.manifest import dht_key
from p2phub.net import Finder
from p2phub.store import Ledger, Store

log = logging.getLogger(__name__)


class _Seen(msgspec.Struct):
    """What a look at the store found: what is to be announced; what is held and could not be read, and why the last of
    it could not."""

    wanted: set[Digest] = msgspec.field(default_factory=set)
    unread: set[Digest] = msgspec.field(default_factory=set)
    error: DiskError | None = None


class Announcer:
    """The one task of a daemon that announces. `own` seeds the jitter."""

    def __init__(self, finder: Finder, *, store: Store, ledger: Ledger, workers: Workers, own: PeerId) -> None:
        self._finder = finder
        self._workers = workers
        self._store = store
        self._ledger = ledger
        self._schedule = AnnounceSchedule(own.public_key)
        self._holders: dict[Digest, int] = {}  # At the last announcement of each.
        self._unread: frozenset[Digest] = frozenset()  # Held, but the disk did not let us see how much of it.
        self._look = True  # Whether what is held or published changed since we looked.
        self._anew: set[Digest] = set()  # To announce again, whatever is under way or was said before.
        self._changed = trio.Event()

    def holders(self, manifest: Digest) -> int | None:
        """Return how many peers kept the record last time; None if it was not announced yet."""
        return self._holders.get(manifest)

    def refresh(self) -> None:
        """Have `run` look again at what is held and published; call after either changed."""
        self._look = True
        self._changed.set()

    def again(self, manifest: Digest) -> None:
        """Announce `manifest` now, though it may not be due: its name was just published anew."""
        self._anew.add(manifest)
        self._holders.pop(manifest, None)
        self.refresh()

    @property
    def late_s(self) -> float:
        """For how long what is due first has been due; 0 where nothing is."""
        due = self._schedule.next_due()
        return 0.0 if due is None else max(0.0, trio.current_time() - due)

    @property
    def records(self) -> int:
        """How many manifests are to be announced."""
        return len(self._schedule)

    @property
    def kept(self) -> int:
        """How many of them somebody kept, the last time."""
        return sum(holders > 0 for holders in self._holders.values())

    async def run(self) -> None:
        """Announce what is due, for ever."""
        while True:
            looked = not (self._look or self._unread) or await self._look_again()
            manifest = self._schedule.take_due(now=trio.current_time())
            if manifest is not None:
                holders = await self._announce(manifest)
                self._schedule.announced(manifest, holders, now=trio.current_time())
                if manifest not in self._anew:  # Else what went out was what its name meant before.
                    self._holders[manifest] = holders
                self._changed.set()
            due = self._schedule.next_due()
            again = math.inf if looked else trio.current_time() + limits.ANNOUNCE_RETRY_S
            with trio.move_on_at(min(again, math.inf if due is None else due)):
                await self._changed.wait()
            self._changed = trio.Event()

    async def _look_again(self) -> bool:
        """Bring the schedule up to date; False if the disk did not let us: then what was known goes on. What of all
        that is held could not be read is looked at alone the next time."""
        everything, self._look = self._look, False
        for manifest in self._anew:
            self._schedule.remove(manifest)
        self._anew.clear()
        known = self._schedule.manifests()
        try:
            seen = await self._workers.run_long(lambda: self._public(None if everything else self._unread, known))
        except HubError as exc:
            log.warning("cannot see what is to be announced: %s", exc)
            self._look = everything
            return False
        if seen.error is not None and not seen.unread <= self._unread:
            log.warning("%d manifests are not announced anew: %s", len(seen.unread), seen.error)
        self._unread = frozenset(seen.unread)
        now = trio.current_time()
        for manifest in seen.wanted:
            self._schedule.add(manifest, now=now)
        for manifest in self._schedule.manifests() - seen.wanted if everything else ():
            self._schedule.remove(manifest)
            self._holders.pop(manifest, None)
        return not seen.unread

    async def wait_announced(self, manifest: Digest) -> int:
        """Wait until `manifest` was announced; return how many peers kept the record. Timeouts are the caller's."""
        while (holders := self._holders.get(manifest)) is None:
            await self._changed.wait()
        return holders

    def came_online(self) -> None:
        """The network is there (again): what failed is due at once."""
        self._schedule.hurry(now=trio.current_time())
        self._changed.set()

    async def _announce(self, manifest: Digest) -> int:
        kept = 0
        try:
            releases = await self._workers.run(lambda: self._releases(manifest))
            refused = [each for each in releases.items() if not await self._put(*each)]
            kept = await self._finder.announce(manifest)
            for key, signed in refused:  # Nobody could be reached just now, or somebody has a newer one: once more.
                await self._put(key, signed)
        except HubError:
            return 0  # The network's fault, and it is tried again; the schedule knows when.
        return kept

    async def _put(self, key: str, signed: bytes) -> int:
        """Put a release; return how many took it. One that does not hold now, having run out or by a clock that is
        wrong, is nobody's to take, and no reason to say nothing of who has what it leads to."""
        try:
            return await self._finder.put_release(key, signed)
        except (NotTrusted, Malformed) as exc:
            log.info("a release is not put into the network: %s", exc)
            return 0

    def _public(self, only: Set[Digest] | None, known: Set[Digest]) -> _Seen:
        """Return what is to be announced, of all that is held or of these manifests alone. `known`: what is announced
        by now, and goes on if it cannot be read. Raises DiskError where nothing can be told of anything."""
        may_be_told = for_everybody(self._ledger)
        seen = _Seen()
        for manifest in dict.fromkeys(held.manifest for held in self._store.held_at()):
            if (only is not None and manifest not in only) or not may_be_told(manifest):
                continue
            parts = self._store.parts(manifest)
            try:
                if any(holding.complete for holding in self._store.holdings(manifest)):
                    seen.wanted.update((manifest, *parts))
            except DiskError as exc:  # Of one: the others are announced.
                seen.wanted.update(known & {manifest, *parts})
                seen.unread.add(manifest)
                seen.error = exc
        return seen

    def _releases(self, manifest: Digest) -> dict[str, bytes]:
        """Return the releases that lead to `manifest`, by DHT key: those it was fetched by, and ours before them."""
        return {dht_key(*name): signed for _, name, signed in public_releases(self._ledger, manifest)}
