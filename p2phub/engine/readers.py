"""What readers want of a fetch: ranges that come and go, each told of as it is verified.

A fetch for readers has nothing to do until somebody claims a range. It fetches the chunks that are claimed, the front
of each claim before the rest of any, and nothing else (but the beginning of small manifests, which comes with what
describes them); a claim that ends takes back what was not asked for yet. Once all that is claimed came, its links are
let go of after READERS_REST_S, and providers are dialled again when more is wanted: each of them serves few connections
of one peer, and whoever reads one model after the other would keep them all. When
nobody claims anything for a while, or the last reader has gone, it ends: files that came whole go to their place and
are held, the rest waits unfinished for the next.

Everything here is the event loop's. Source: docs/decisions/0100.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import trio

from p2phub import limits
from p2phub.content import RangeSet, Run
from p2phub.engine.preadv import read_exactly, unfinished_files_of
from p2phub.engine.reuse import reuse
from p2phub.errors import Occupied
from p2phub.formats import danger_of
from p2phub.store import Arrival, Selected

if TYPE_CHECKING:
    from p2phub.engine.job import Job

NOTHING = Selected(RangeSet(), RangeSet())
"""What an arrival for readers is for: it needs no room ahead, and nothing goes to its place while they read."""

FRONT_CHUNKS = 4  # Of each run of what is claimed so much comes before the rest of any.


class Readers:
    """Those whom one fetch is for. Whoever has a claim waits for `begun`, says what it is of, then waits for `news`.
    `idle_s`: for how long it goes on while nobody claims anything."""

    def __init__(self, idle_s: float) -> None:
        self._idle_s = idle_s
        self._claims: dict[int, Sequence[Run]] = {}
        self._numbers = itertools.count()
        self._job: Job | None = None
        self._news = trio.Event()
        self._idle_since = -math.inf
        self._all_here_since = math.inf
        self._gone = False
        self.begun = trio.Event()  # Set when claims can be made.
        self.over = False  # It ends, or has: what is claimed from now on would be fetched by nobody.

    # --- for readers ----------------------------------------------------------------------------------------------

    @property
    def arrival(self) -> Arrival:
        """What is had by now. From `begun` on, until it is over."""
        assert self._job is not None
        assert self._job.arrival is not None
        return self._job.arrival

    @contextmanager
    def claim(self) -> Iterator[Callable[[Sequence[Run]], None]]:
        """Yield what has runs of chunks fetched, as far as they are missing, until the end of the block; meanwhile the
        fetch does not end by itself."""
        number = next(self._numbers)
        self._claims[number] = ()  # Somebody is here, so it goes on.

        def want(runs: Sequence[Run]) -> None:
            self._claims[number] = tuple(runs)
            self._changed()

        try:
            yield want
        finally:
            del self._claims[number]
            self._changed()

    async def take_what_is_here(self, run: Run) -> None:
        """Copy what other files of this disk have of a run that is missing. Raises DiskError."""
        assert self._job is not None
        missing = RangeSet((run,)) - self.arrival.have
        table, means = self.arrival.plan.table, self._job.means
        if missing:
            await reuse(
                self.arrival, partial(means.store.local, table, missing), workers=means.workers, tell=lambda _: None
            )
            self.note()

    async def news(self) -> None:
        """Return when more is had, or it is over."""
        await self._news.wait()

    def go(self) -> None:
        """The last reader has gone: end."""
        self._gone = True
        self._changed()

    # --- for the fetch --------------------------------------------------------------------------------------------

    def begin(self, job: Job) -> None:
        """Claims can be made from now on."""
        self._job = job
        self._idle_since = trio.current_time()
        self.begun.set()
        self._changed()

    def note(self) -> None:
        """More is had than before."""
        self._news.set()
        self._news = trio.Event()

    def end(self) -> None:
        """Nothing more is fetched."""
        self.over = True
        self.note()

    def are_done(self, now: float) -> bool:
        """Whether the fetch may end: nobody is there, or has wanted anything for a while, or all of it is here."""
        if self._claims:
            return False
        return self._gone or now - self._idle_since >= self._idle_s or self._all_is_here()

    def _all_is_here(self) -> bool:
        if self._job is None or self._job.arrival is None:
            return False
        return self.arrival.have.covers((0, len(self.arrival.plan.table)))

    def let_links_rest(self, now: float) -> None:
        """Let go of the links where all that is claimed has been here for a while."""
        if self._job is None or not self._job.complete:
            self._all_here_since = math.inf
            return
        self._all_here_since = min(self._all_here_since, now)
        if now - self._all_here_since < limits.READERS_REST_S:
            return
        for state in self._job.links.values():
            if not state.leaving:
                state.leaving = True
                state.link.close()

    def wanted(self) -> list[Run]:
        """Return what is claimed and not had, in the order in which it is wanted: fronts first, by turns."""
        runs = (RangeSet.of(run for runs in self._claims.values() for run in runs) - self.arrival.have).runs
        return [*((start, min(stop, start + FRONT_CHUNKS)) for start, stop in runs), *runs]

    def _changed(self) -> None:
        if self._job is None or self.over:
            return
        if not self._claims:
            self._idle_since = trio.current_time()
        self._job.want(self.wanted())


def place_whole(job: Job) -> None:
    """Put the files that came whole to their place, and record that they are held, but for those that may run code when
    they are loaded and are not allowed to: these stay unfinished, as what came in part does. Blocks. Raises DiskError.
    """
    arrival, wish, store = job.arrival, job.wish, job.means.store
    assert arrival is not None
    arrival.sync()
    manifest, table, have = job.assembly.manifest(), arrival.plan.table, arrival.have
    spans = [table.span(number) for number in range(table.files)]
    whole = [number for number, span in enumerate(spans) if span[0] < span[1] and have.covers(span)]
    if not wish.allow_unsafe:
        whole = [number for number in whole if _danger(arrival, number, manifest.files[number].size) is None]
    arrival.close()
    if not whole:
        return
    empty = [number for number, (start, stop) in enumerate(spans) if start == stop]
    selected = Selected(RangeSet.of(spans[number] for number in whole), RangeSet.from_indices(sorted([*whole, *empty])))
    try:
        placing = store.arrive(manifest, wish.manifest, table, wish.destination, force=True, selected=selected)
    except Occupied:  # Somebody fetches all of it this moment, and goes on with what came.
        return
    try:
        # Since the lock was let go of somebody may have removed it, or damaged it: then it is fetched anew when wanted.
        if not selected.chunks - placing.have:
            placing.finish()
    finally:
        placing.close()


def _danger(arrival: Arrival, number: int, size: int) -> str | None:
    file = arrival.read_plan().open(number)
    try:
        with unfinished_files_of(arrival):
            return danger_of(size, lambda offset, length: read_exactly(file.descriptor, offset, length, str(number)))
    finally:
        file.close()
