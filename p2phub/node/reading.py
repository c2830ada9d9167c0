"""One manifest that is read here, by however many: where its bytes stand, and the one fetch for what is missing.

What is held is told of as it stands, as it would be served; what is not is claimed of a fetch for readers
(`engine.readers`) into the home's own store, which begins when something is missing and ends by itself.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec
import trio

from p2phub import limits
from p2phub.content import ChunkTable, RangeSet, ReadPlan, Run
from p2phub.engine import fetch as engine
from p2phub.engine.assembly import Assembly
from p2phub.engine.readers import Readers
from p2phub.engine.resolve import Resolved
from p2phub.errors import ContentChanged, DiskError, HubError, Occupied
from p2phub.identity import PeerAddress
from p2phub.manifest import Manifest
from p2phub.node.capping import JobCaps
from p2phub.node.compose import unfinished_file
from p2phub.node.contained import contained
from p2phub.node.rates import Rates
from p2phub.node.running import Running
from p2phub.node.verbs.fetching import MakeRoom, Openness, fetch_and_share, is_public
from p2phub.observe import Event, RangeReady, Watch
from p2phub.store import Origin


class Wanted(msgspec.Struct, frozen=True):
    """What is read, as whoever opened it said; of those who read it together the first."""

    reference: str
    resolved: Resolved
    given: tuple[PeerAddress, ...]
    mirrors: tuple[str, ...]
    wait_s: float | None
    rates: Rates


class _Turn:
    """One reader's, at the folder of the own store that another process of this home, or another hub of this one, is
    fetching into: so nobody fetches for us, and what is missing may be there when they are done."""

    def __init__(self) -> None:
        self._until = trio.current_time() + limits.READERS_TURN_S

    async def wait(self, error: Occupied) -> None:
        """Return when it is time to look anew. Raises `error` once that was long enough."""
        if trio.current_time() >= self._until:
            raise error
        await trio.sleep(limits.READERS_LOOK_S)


class _Fetch:
    """A fetch for readers: under way until `ended`; `error` is why it could not go on."""

    def __init__(self, idle_s: float) -> None:
        self.readers = Readers(idle_s)
        self.ended = trio.Event()
        self.error: HubError | None = None
        self.make_room: MakeRoom | None = None
        self.making_room = trio.Lock()
        self.coming: list[Run] = []  # Room was made for these, and they may not be had yet.


class Reading:
    """See the module. Open one with `opened`; `manifest` and `table` are there then."""

    manifest: Manifest
    table: ChunkTable

    def __init__(self, node: Running, wanted: Wanted) -> None:
        self._node, self._wanted = node, wanted
        self._digest = wanted.resolved.manifest
        self._watches: list[Watch] = []  # One of each who has it open.
        self._loading = trio.Lock()
        self._loaded = False
        self._plan: ReadPlan | None = None
        self._fetch: _Fetch | None = None

    # --- open and closed --------------------------------------------------------------------------------------------

    async def _load(self) -> None:
        """Get what describes the manifest. Raises HubError."""
        async with self._loading:
            if self._loaded:
                return
            parts = self._node.parts
            assembly = Assembly(self._digest, parts.store.blob)
            turn = _Turn()
            while await parts.workers.run(assembly.missing):
                try:
                    async with self._claim():  # It began once all that is here.
                        break
                except Occupied as error:
                    await turn.wait(error)
            self.manifest, self.table = await parts.workers.run(lambda: (assembly.manifest(), assembly.table()))
            self._loaded = True

    def _leave(self, watch: Watch) -> _Fetch | None:
        """One who had it open goes. The fetch ends with the last; returns it if it still runs then."""
        self._watches.remove(watch)
        if self._watches:
            return None
        if self._fetch is None:
            del self._node.readings[self._digest]
            return None
        self._fetch.readers.go()
        return self._fetch

    @property
    def is_loaded(self) -> bool:
        """Whether it is known what the manifest has: whoever opened it is told then."""
        return self._loaded

    # --- where bytes stand ------------------------------------------------------------------------------------------

    async def follow(self, number: int, start: int, stop: int, tell: Callable[[RangeReady], None]) -> None:
        """Tell where bytes `start` ..< `stop` of file `number` stand, in order, as they are verified; of what is held
        more than that is told. Returns when all was told. Raises HubError where what is missing cannot be had."""
        at, turn = start, _Turn()

        def tell_next(ready: RangeReady) -> None:
            nonlocal at
            tell(ready)
            at = ready.stop

        while at < stop:
            here, until = await self._node.parts.workers.run(partial(self._look, number, at, stop))
            if here is not None:
                tell_next(here)
                continue
            try:
                await self._fetch_range(number, at, until, tell_next)
            except Occupied as error:
                await turn.wait(error)

    async def have(self, number: int, spans: Sequence[tuple[int, int]]) -> None:
        """Have bytes `start` ..< `stop` of file `number` fetched for each of `spans`, as far as they are missing, and
        return when all is here. Raises HubError where it cannot be had.

        Claimed at once, they are asked for at once: claims that come one by one are granted as they come, and over a
        far line each that was a moment too late waits for a round trip more.
        """
        turn = _Turn()
        while runs := await self._node.parts.workers.run(lambda: self._missing(number, spans)):
            try:
                await self._fetch_runs(runs)
            except Occupied as error:
                await turn.wait(error)
            else:
                return

    async def _fetch_runs(self, runs: Sequence[Run]) -> None:
        """Have all of `runs` fetched, and return when they are here."""
        async with self._claim() as (fetch, want), AsyncExitStack() as room:
            for run in runs:
                await room.enter_async_context(self._room_for(fetch, run))
                await fetch.readers.take_what_is_here(run)
            want(runs)
            while RangeSet.of(runs) - fetch.readers.arrival.have:
                await self._more(fetch)

    async def whole(self, number: int) -> RangeReady | None:
        """Return where file `number` stands whole and unchanged, None if nowhere."""
        size = self.manifest.files[number].size
        if not size:
            return None
        here, _ = await self._node.parts.workers.run(lambda: self._look(number, 0, size))
        return here if here is not None and here.stop == size else None

    def _missing(self, number: int, spans: Sequence[tuple[int, int]]) -> list[Run]:
        """Return the runs of chunks that hold what is not held of `spans` of a file. Blocks."""
        runs: list[Run] = []
        for start, stop in spans:
            at = start
            while at < stop:
                here, until = self._look(number, at, stop)
                if here is None:
                    runs.append(self.table.covering(number, at, until))
                at = until if here is None else here.stop
        return runs

    def _look(self, number: int, at: int, stop: int) -> tuple[RangeReady | None, int]:
        """Return where what is held of a file stands from `at` on; else up to where, `stop` at most, it is not held.
        Blocks."""
        parts, table = self._node.parts, self.table
        if self._plan is None:
            self._plan = parts.store.read_plan(self._digest)
        plan = self._plan
        if plan is None:
            return None, stop
        rest = RangeSet((table.covering(number, at, self.manifest.files[number].size),))
        runs = (plan.held & rest).runs
        if not runs or runs[0][0] > rest.runs[0][0]:
            return None, min(stop, _start(table, runs[0][0])) if runs else stop
        try:
            file = plan.open(number)
        except ContentChanged:
            parts.shelf.changed(self._digest, number)
            self._plan = None
            return None, stop
        except DiskError:  # It cannot be read, and may be tomorrow.
            return None, stop
        try:
            assert file.steady.exactly is not None, "what is held is whole"
            place = os.readlink(f"/proc/self/fd/{file.descriptor}")
            until = _stop(table, runs[0][1] - 1)
            return RangeReady(place, at, until, list(file.steady.exactly)), until
        finally:
            file.close()

    # --- what is missing --------------------------------------------------------------------------------------------

    async def _fetch_range(self, number: int, at: int, stop: int, tell: Callable[[RangeReady], None]) -> None:
        """Have bytes `at` ..< `stop` of a file fetched, of which nothing is held, and tell of them as they come."""
        run = self.table.covering(number, at, stop)
        folder = self._node.parts.store.own_folder(self._digest)
        place = unfinished_file(folder, self._digest, number)
        which: list[int] | None = None
        async with self._claim() as (fetch, want):
            readers = fetch.readers
            async with self._room_for(fetch, run):
                await readers.take_what_is_here(run)
                want([run])
                while at < stop:
                    until = min(stop, self._had(readers, run))
                    if until > at:
                        # As long as it is claimed it is one file; afterwards another process may begin another one.
                        which = which or await self._node.parts.workers.run(partial(_which, readers, number, place))
                        tell(RangeReady(os.fspath(place), at, until, which))
                        at = until
                    else:
                        await self._more(fetch)

    async def _more(self, fetch: _Fetch) -> None:
        """Return when a fetch has more than before. Raises why it ended."""
        if fetch.readers.over:
            await fetch.ended.wait()
            raise fetch.error or HubError("the fetch ended before it was done")
        await fetch.readers.news()

    def _had(self, readers: Readers, run: Run) -> int:
        """Return up to where all of `run` is had, in bytes of its file."""
        missing = RangeSet((run,)) - readers.arrival.have
        return _start(self.table, missing.runs[0][0]) if missing else _stop(self.table, run[1] - 1)

    @asynccontextmanager
    async def _room_for(self, fetch: _Fetch, run: Run) -> AsyncIterator[None]:
        """Have room made for a run, beside what came and what others wait for until the end of the block, where the own
        store has a quota. Raises DiskFull."""
        async with fetch.making_room:  # By turns, or each would be told that there is room for it alone.
            await self._make_room(fetch, run)
            fetch.coming.append(run)
        try:
            yield
        finally:
            fetch.coming.remove(run)

    async def _make_room(self, fetch: _Fetch, run: Run) -> None:
        parts = self._node.parts
        if fetch.make_room is None or parts.config.quota is None:
            return
        own = [each.held for each in parts.store.holdings(self._digest) if each.origin is Origin.OWN]
        had = [*fetch.readers.arrival.have.runs, *(run for held in own for run in held.runs)]
        await fetch.make_room(self.table.bytes_of(RangeSet.of([run, *fetch.coming, *had])))

    @asynccontextmanager
    async def _claim(self) -> AsyncIterator[tuple[_Fetch, Callable[[Sequence[Run]], None]]]:
        """Yield a fetch, begun if none is under way, and what has it fetch runs of chunks until the end of the block.
        It does not end meanwhile, unless it cannot go on. Raises HubError."""
        while True:
            fetch = self._fetch
            if fetch is None:
                alone = self._node.announcer is None  # Without a daemon there may be several processes of this home.
                idle_s = limits.READERS_IDLE_ALONE_S if alone else limits.READERS_IDLE_S
                fetch = self._fetch = _Fetch(idle_s)
                assert self._node.nursery is not None, "verbs are carried out by a node that runs"
                self._node.nursery.start_soon(self._run, fetch)
            with fetch.readers.claim() as want:
                await fetch.readers.begun.wait()
                if not fetch.readers.over:
                    yield fetch, want
                    return
            await fetch.ended.wait()
            if fetch.error is not None:
                raise fetch.error

    async def _run(self, fetch: _Fetch) -> None:
        node, wanted = self._node, self._wanted
        parts, resolved = node.parts, wanted.resolved
        wish = engine.Wish(
            wanted.reference,
            self._digest,
            parts.store.own_folder(self._digest),
            force=True,
            wait_s=wanted.wait_s,
            allow_unsafe=parts.config.allow_unsafe,
        )
        try:
            with contained("a fetch for readers"):
                async with node.keeping.room_for(self._digest) as fetch.make_room:
                    await fetch_and_share(
                        node,
                        self._tell,
                        wish,
                        resolved,
                        Openness(is_public(resolved), serve=True, exchange=True),
                        given=wanted.given,
                        mirrors=wanted.mirrors,
                        caps=JobCaps(self._digest, wanted.rates, background=False),
                        readers=fetch.readers,
                    )
        except HubError as error:
            fetch.error = error
        finally:
            self._plan = None  # What came whole is held now.
            self._fetch = None
            fetch.readers.end()
            fetch.readers.begun.set()
            fetch.ended.set()
            if not self._watches:
                node.readings.pop(self._digest, None)

    def _tell(self, event: Event) -> None:
        for watch in list(self._watches):
            watch(event)


@asynccontextmanager
async def opened(node: Running, wanted: Wanted, watch: Watch) -> AsyncIterator[Reading]:
    """Have a manifest open for reading until the end of the block; after that of the last who has it open, what came is
    at its place. `watch` is told of its fetch. Raises HubError where nobody tells what it is."""
    digest = wanted.resolved.manifest
    reading = node.readings.setdefault(digest, Reading(node, wanted))

    def tell(event: Event) -> None:
        watch(event)

    reading._watches.append(tell)
    done = False
    try:
        await reading._load()
        yield reading
        done = True
    finally:
        running = reading._leave(tell)
        if done and running is not None:
            await running.ended.wait()


def _which(readers: Readers, number: int, place: Path) -> list[int]:
    """Return which file an unfinished one is: device and inode. Blocks."""
    try:
        file = readers.arrival.read_plan().open(number)
    except DiskError:  # The fetch ended a moment ago: what stands there is what it left.
        with contextlib.suppress(OSError):
            status = os.stat(place, follow_symlinks=False)
            return [status.st_dev, status.st_ino]
        return [0, 0]  # No file is this: it is looked up anew.
    try:
        status = os.fstat(file.descriptor)
        return [status.st_dev, status.st_ino]
    finally:
        file.close()


def _start(table: ChunkTable, chunk: int) -> int:
    return table.chunk(chunk).offset


def _stop(table: ChunkTable, chunk: int) -> int:
    ref = table.chunk(chunk)
    return ref.offset + ref.length
