"""Shared places of a running node: what this home shares is kept up to date, what is attached is looked at.

A place is often another machine's disk, which may not answer for as long as it likes: it is looked at in threads of its
own, and one that keeps us waiting counts as away. What is wrong with a place never fails what a user asked for.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import trio

from p2phub.engine.public import for_everybody, public_releases
from p2phub.errors import HubError
from p2phub.node.compose import Parts
from p2phub.node.contained import contained
from p2phub.store import Ledger
from p2phub.store.sharing import Named, Public, SharedPlace

T = TypeVar("T")
_log = logging.getLogger(__name__)
_WORK = trio.CapacityLimiter(2)  # Whoever waits for it must not wait for those who hash.
LOOK_S = 10.0  # For one place to show its catalogue.
TAKE_IN_S = 10.0  # For what is new in one before a command goes on: the rest is for the next.


class SharedPlaces:
    """The places of one node."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._looks: dict[Path, trio.CapacityLimiter] = {}
        self._unanswered: set[Path] = set()  # Whose last look was left behind.
        self._shared_told: dict[Path, str] = {}
        self._writing = trio.Lock()

    @property
    def writer(self) -> str:
        return str(self._parts.key.peer_id)

    # --- attached here ---------------------------------------------------------------------------------------------

    async def look(self) -> None:
        """Look at what is attached, and take in what is new there."""
        parts = self._parts
        try:
            attached = await parts.workers.run(lambda: parts.places.attached(parts.config.shared))
        except HubError as error:  # Of the home's own log: whoever needs that will say so.
            _log.info("attached places are not looked at: %s", error)
            return
        parts.places.only(attached)
        async with trio.open_nursery() as nursery:
            for place in attached:
                nursery.start_soon(self._look_at, place)

    async def _look_at(self, place: Path) -> None:
        places = self._parts.places
        # One thread for each place, for it may be left behind: whoever hangs keeps nobody from looking at the others.
        looks = self._looks.setdefault(place, trio.CapacityLimiter(1))
        if place in self._unanswered and not looks.available_tokens:
            return  # It hangs still, and counts as away.
        try:
            with contained(f"a look at {place}"):  # What a stranger wrote may bring it out.
                await self._look_in_time(place, looks)
        except HubError as error:
            places.set_away(place, error.message)

    async def _look_in_time(self, place: Path, looks: trio.CapacityLimiter) -> None:
        places = self._parts.places
        seen = None
        with trio.move_on_after(LOOK_S) as scope:
            seen = await trio.to_thread.run_sync(partial(places.look, place), limiter=looks, abandon_on_cancel=True)
        if scope.cancelled_caught:
            self._unanswered.add(place)
            places.set_away(place, f"it did not answer within {LOOK_S:.0f} s")
        else:
            self._unanswered.discard(place)
        if seen is not None:
            until = time.monotonic() + TAKE_IN_S
            await _work(partial(places.take_in, place, seen, lambda: time.monotonic() > until))

    @property
    def is_behind(self) -> bool:
        """Whether a shared place could not be written to when it was to be brought up to date."""
        return bool(self._shared_told)

    # --- shared from here ------------------------------------------------------------------------------------------

    async def tell(self) -> None:
        """Have what is shared say what is held by now. A place that cannot be written to is told of in the log, once
        for each reason."""
        parts = self._parts
        async with self._writing:
            try:
                shared = await parts.workers.run(parts.places.shared)
                if not shared:
                    return
                public = await parts.workers.run(lambda: public_of(parts.ledger))
            except HubError as error:
                _log.info("shared places are not brought up to date: %s", error)
                return
            for place in shared:
                try:
                    with contained(f"what is told at {place}"):
                        await _work(partial(parts.places.bring_up_to_date, place, self.writer, public))
                    self._shared_told.pop(place, None)
                except HubError as error:
                    if self._shared_told.get(place) != error.message:
                        _log.warning("what is shared at %s is not up to date: %s", place, error.message)
                    self._shared_told[place] = error.message

    async def share(self, place: Path) -> SharedPlace:
        """Share `place` from now on. Raises UsageError, DiskError, of it Occupied."""
        parts = self._parts
        async with self._writing:
            public = await parts.workers.run(lambda: public_of(parts.ledger))
            return await _work(partial(parts.places.share, place, self.writer, public))


def public_of(ledger: Ledger) -> Public:
    """Return what a catalogue may tell of. Blocks."""
    releases = public_releases(ledger)
    return Public(for_everybody(ledger), [(manifest, Named(*name, signed)) for manifest, name, signed in releases])


async def _work(work: Callable[[], T]) -> T:
    return await trio.to_thread.run_sync(work, limiter=_WORK)
