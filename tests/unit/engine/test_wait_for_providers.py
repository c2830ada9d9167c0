"""A fetch whose providers are all away: how long it waits, how seldom it looks, and that it goes on when one is back.

In virtual time. The providers here are a dialler that knows who is there when; their links give chunks at once.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
import trio
from trio.testing import MockClock

from p2phub.content import Digest, RangeSet, Renumbering, WritePlan
from p2phub.discovery import Candidate
from p2phub.engine.fetch import Means, Running, Wish, fetch
from p2phub.engine.meter import LOOK_S
from p2phub.engine.patience import REST_LOOK_S, Patience
from p2phub.engine.providers import RETRY_S
from p2phub.engine.search import Search
from p2phub.engine.waiting import AGAIN_S_MAX, QUICK_S, says_next
from p2phub.errors import HubError, NoProvider, PeerGone
from p2phub.identity import Address, PeerAddress
from p2phub.net import Closed, Control, Link, Opened, Report, Verified, WindowNow
from p2phub.observe import Done, Event, Explanation, Waiting, WaitNow
from p2phub.store.memory import MemoryStore
from tests.support.content import Content, content_of, random_files
from tests.support.covers import covers
from tests.support.hosts import FixedFinder, key_of
from tests.support.no_threads import NoThreads

HOUR_S = 3600.0
CHUNK_BYTES = 1000
CONTENT = content_of(random_files(1, model=16 * CHUNK_BYTES), chunk_bytes=CHUNK_BYTES)
DIALS_A_SPELL_MAX = 40  # In 22 hours: a dozen in the first minutes, then one in half an hour, and one beside it.


class GivingLink:
    """A link that gives what it is asked for at once; after `most` chunks the provider is gone."""

    via = "direct"
    window = WindowNow()

    def __init__(self, provider: PeerAddress, content: Content, most: float) -> None:
        self.peer, self.address = provider.peer, provider.address
        self._content, self._most = content, most
        self._plan: WritePlan | None = None
        self._send, self._reports = trio.open_memory_channel[Report](math.inf)
        blobs = tuple(content.blobs[digest] for digest in content.order)
        self._send.send_nowait(Opened(blobs, (), content.whole))
        if not most:
            self._send.send_nowait(Closed(PeerGone("went")))

    def ask(self, blobs: Sequence[tuple[Digest, int]]) -> None:
        """All was given."""

    def use(self, plan: WritePlan, numbers: Renumbering | None = None) -> None:
        self._plan = plan

    def grant(self, chunks: RangeSet) -> None:
        assert self._plan is not None
        for number, chunk in enumerate(chunk for start, stop in chunks.runs for chunk in range(start, stop)):
            if number >= self._most:
                self._most = 0
                self._send.send_nowait(Closed(PeerGone("went"), returned=RangeSet([(chunk, chunks.runs[-1][1])])))
                return
            data, ref = self._content.chunk(chunk), self._content.table.chunk(chunk)
            descriptor = self._plan.open(ref.file)
            os.pwrite(descriptor, data, ref.offset)
            os.close(descriptor)
            self._send.send_nowait(Verified(RangeSet([(chunk, chunk + 1)]), len(data)))
        self._most -= sum(stop - start for start, stop in chunks.runs)

    def revoke(self) -> None:
        """Nothing waits."""

    def cancel(self, chunks: RangeSet) -> None:
        """Nothing comes twice."""

    def close(self) -> None:
        self._send.send_nowait(Closed(None))

    async def next_report(self) -> Report:
        return await self._reports.receive()


class World:
    """Who is there, when, and how many chunks it gives then: `gives(name, now)`, 0 for one who opens and is gone, None
    for nobody there. Notes dials and searches, in seconds since it began."""

    def __init__(self, folder: Path, gives: Callable[[str, float], float | None], *, known: str = "ann") -> None:
        self.folder, self.gives = folder, gives
        self.names = {key_of(name).peer_id: name for name in ("ann", "cy", "dan")}
        self.known = [self.candidate(name) for name in known.split()]
        self.found: Callable[[float], str] = lambda now: ""
        self.store = MemoryStore()
        self.began = trio.current_time()
        self.dialled: list[tuple[str, float]] = []
        self.searched: list[float] = []
        self.events: list[tuple[float, Event]] = []
        self.running: Running | None = None

    def candidate(self, name: str) -> Candidate:
        port = 4717 + sorted(self.names.values()).index(name)
        return Candidate(PeerAddress(key_of(name).peer_id, Address("10.0.0.1", port)), "direct")

    @property
    def now(self) -> float:
        return trio.current_time() - self.began

    def dials(self, name: str) -> list[float]:
        return [at for who, at in self.dialled if who == name]

    @property
    def waits(self) -> list[tuple[float, str]]:
        """What was told of a wait, in words."""
        told = [(at, event) for at, event in self.events if isinstance(event, Waiting)]
        return [(at, f"{event.reason}; {event.next}") for at, event in told]

    async def open_link(self, provider: PeerAddress, *args: object, **options: object) -> Link:
        name = self.names[provider.peer]
        self.dialled.append((name, self.now))
        most = self.gives(name, self.now)
        if most is None:
            raise PeerGone("nobody there")
        return GivingLink(provider, CONTENT, most)

    async def open_control(self, peer: PeerAddress) -> Control:
        raise PeerGone("no questions")

    async def fetch(self, *, wait_s: float | None) -> Done:
        async def open_finder() -> FixedFinder:
            self.searched.append(self.now)
            return FixedFinder([self.candidate(name) for name in self.found(self.now).split()])

        def started(running: Running) -> None:
            self.running = running

        self.began = trio.current_time()
        return await fetch(
            Wish("REF", CONTENT.root, self.folder / "out", wait_s=wait_s),
            search=Search(self.known, open_finder),
            means=Means(self, self.store, NoThreads(), key_of("own").peer_id),
            watch=lambda event: self.events.append((self.now, event)),
            started=started,
        )

    async def ends(self, *, wait_s: float | None) -> HubError:
        """Fetch in vain."""
        with pytest.raises(NoProvider) as caught:
            await self.fetch(wait_s=wait_s)
        return caught.value


def away_until(back_s: float, *, at_first: float = 5) -> Callable[[str, float], float | None]:
    """Everybody gives `at_first` chunks in the first second, is gone then, and back at `back_s`."""
    return lambda name, now: at_first if now < 1 else math.inf if now >= back_s else None


@covers("F12")
@pytest.mark.parametrize("known", ["ann", "ann cy dan"])
async def test_a_fetch_whose_providers_are_away_for_22_hours_goes_on_when_they_are_back(
    known: str, tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, look_at = list[float](), Patience.look_at
    monkeypatch.setattr(Patience, "look_at", lambda self, now: looks.append(now) or look_at(self, now))
    back_s = 22 * HOUR_S + 777
    world = World(tmp_path, away_until(back_s), known=known)
    done = await world.fetch(wait_s=24 * HOUR_S)
    assert back_s <= world.now <= back_s + AGAIN_S_MAX + 1
    assert done.bytes_received == 16 * CHUNK_BYTES  # What was verified stayed: nothing came twice.
    for name in known.split():
        assert len(world.dials(name)) < 3 * DIALS_A_SPELL_MAX
    assert len(world.searched) < 3 * DIALS_A_SPELL_MAX
    assert len(looks) < 1.5 * back_s / REST_LOOK_S  # Nor does it look at the clock all the time.
    assert len(world.events) < 6 * DIALS_A_SPELL_MAX + 120 / LOOK_S  # The first minute is as ever.


@covers("F12")
async def test_it_looks_again_after_1_2_4_minutes_and_at_last_every_half_hour(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    world = World(tmp_path, away_until(math.inf))
    await world.ends(wait_s=6 * HOUR_S)
    late = [at for at in world.searched if at > 1.5 * QUICK_S]
    pauses = [after - before for before, after in pairwise(late)]
    assert [round(pause / 60) for pause in pauses[:5]] == [2, 4, 8, 16, 30]
    assert {round(pause / 60) for pause in pauses[5:-1]} == {30}
    later = [at for at in world.dials("ann") if at > 40 * 60]
    assert len(later) <= 2 * len([at for at in late if at > 40 * 60])


@covers("F12")
async def test_it_says_for_whom_it_waits_when_it_looks_again_and_when_it_gives_up(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    world = World(tmp_path, away_until(math.inf), known="ann cy")
    await world.ends(wait_s=3 * HOUR_S)
    names = {str(peer) for peer in world.names}
    told = [(at, words) for at, words in world.waits if "gives up" in words]
    assert told[0][0] < 10
    assert "gives up in 3 h" in told[0][1]
    assert all(any(name in words for name in names) and "and 1 more" in words for _, words in told)
    assert any("looks again in 16 min, gives up in 2 h 4" in words for _, words in told)
    assert all(at in [at for at, _ in told] for at, _ in world.waits if at > 2 * QUICK_S)


@covers("F12")
async def test_it_gives_up_at_the_limit_and_says_so(tmp_path: Path, autojump_clock: MockClock) -> None:
    world = World(tmp_path, away_until(math.inf))
    error = await world.ends(wait_s=2 * HOUR_S)
    assert world.now == pytest.approx(2 * HOUR_S, abs=30)
    assert error.message.endswith("; waited 2 h")
    assert "what was verified is kept; the same command resumes; a longer --wait" in str(error.hint)


@covers("F12")
async def test_without_a_wait_it_gives_up_a_minute_after_the_last_one_went_and_says_how_to_wait(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    world = World(tmp_path, away_until(math.inf))
    error = await world.ends(wait_s=None)
    assert world.now == pytest.approx(60, abs=15)
    assert "--wait 24h" in str(error.hint)
    assert "waited" not in error.message
    soon = [at for at in world.searched if at < QUICK_S - 1]
    other = World(tmp_path / "other", away_until(math.inf))
    await other.ends(wait_s=HOUR_S)
    early = [at for at in other.searched if at < QUICK_S - 1]
    assert early == pytest.approx(soon, abs=1)  # In the first minute it is the same.


async def test_without_a_wait_it_gives_up_at_once_where_nobody_was_there(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    world = World(tmp_path, away_until(math.inf, at_first=0), known="")
    assert "--wait" in str((await world.ends(wait_s=None)).hint)
    assert world.now < 1


@pytest.mark.parametrize("wait_s", [0.0, 10.0])
async def test_who_asks_for_a_short_wait_gets_that(wait_s: float, tmp_path: Path, autojump_clock: MockClock) -> None:
    world = World(tmp_path, away_until(math.inf))
    await world.ends(wait_s=wait_s)
    assert world.now == pytest.approx(wait_s, abs=5)


@covers("F12")
async def test_it_waits_for_what_nobody_provides_yet(tmp_path: Path, autojump_clock: MockClock) -> None:
    world = World(tmp_path, lambda name, now: math.inf, known="")
    world.found = lambda now: "dan" if now > 9 * HOUR_S else ""
    await world.fetch(wait_s=math.inf)
    assert 9 * HOUR_S < world.now < 9 * HOUR_S + AGAIN_S_MAX + 1
    assert any("nobody is known" in words and "never gives up" in words for _, words in world.waits)


@covers("F12", "F30")
async def test_what_was_verified_stays_when_a_wait_is_interrupted(tmp_path: Path, autojump_clock: MockClock) -> None:
    world = World(tmp_path, away_until(math.inf))
    with trio.move_on_after(5 * HOUR_S) as interrupt:
        await world.fetch(wait_s=math.inf)
    assert interrupt.cancelled_caught
    assert world.now == 5 * HOUR_S
    world.gives = lambda name, now: math.inf
    done = await world.fetch(wait_s=math.inf)
    assert (done.bytes_reused, done.bytes_received) == (5 * CHUNK_BYTES, 11 * CHUNK_BYTES)


@covers("F12")
async def test_one_who_comes_and_goes_all_the_time_and_gives_nothing_keeps_nobody_else_away(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    back_s = HOUR_S
    world = World(tmp_path, lambda name, now: 0 if name == "cy" else away_until(back_s)(name, now), known="ann cy")
    await world.fetch(wait_s=24 * HOUR_S)
    assert world.now < back_s + AGAIN_S_MAX + 10


@covers("F12")
async def test_one_who_is_found_and_not_up_yet_is_dialled_again_at_once(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    world = World(tmp_path, lambda name, now: math.inf if len(world.dialled) > 1 else None, known="")
    world.found = lambda now: "dan" if now > HOUR_S else ""
    await world.fetch(wait_s=24 * HOUR_S)
    assert world.now < world.dials("dan")[0] + RETRY_S[0] + 1


@covers("F12")
async def test_when_one_is_back_the_others_are_dialled_again_soon(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Cy opens and goes all the time, so it is dialled often; when it gives something at last, ann is back, too."""
    since_s = HOUR_S + 300

    def gives(name: str, now: float) -> float | None:
        if name == "cy":
            return 0 if now < since_s else 1 if now < since_s + 3 else None
        return away_until(since_s)(name, now)

    world = World(tmp_path, gives, known="ann cy")
    await world.fetch(wait_s=24 * HOUR_S)
    assert world.now < since_s + 3 + RETRY_S[-1] + 1


async def test_while_it_waits_the_explanation_says_who_is_gone_and_when_it_is_dialled_again(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    world = World(tmp_path, away_until(math.inf))
    found = await explained_at(world, 2 * HOUR_S + REST_LOOK_S, wait_s=math.inf)
    assert found.bound == "providers"
    assert "dialled again in" in found.sources[0].state


async def explained_at(world: World, when_s: float, *, wait_s: float | None) -> Explanation:
    """Fetch, and say how it is then."""
    with trio.move_on_after(when_s) as interrupt:
        await world.fetch(wait_s=wait_s)
    assert interrupt.cancelled_caught
    assert world.running is not None
    return world.running.explain()


@covers("F12")
async def test_while_it_waits_the_explanation_says_for_whom_when_it_looks_again_and_until_when(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    world = World(tmp_path, away_until(math.inf), known="ann cy")
    waiting: list[WaitNow | None] = []

    async def look() -> None:
        await trio.sleep(HOUR_S)
        assert world.running is not None
        waiting.append(world.running.explain().waiting)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look)
        await world.ends(wait_s=3 * HOUR_S)
    [then] = waiting
    assert then is not None
    assert any(str(peer) in then.reason for peer in world.names)
    assert then.reason.endswith(" and 1 more")
    assert then.next.startswith("looks again in ")
    assert then.next.endswith(", gives up in 2 h")
    assert then.waited_s == pytest.approx(HOUR_S, abs=QUICK_S)
    assert HOUR_S + then.again_s == pytest.approx(min(at for at in world.searched if at > HOUR_S), abs=1)
    assert then.left_s is not None
    assert HOUR_S + then.left_s == pytest.approx(world.now, abs=REST_LOOK_S)  # It did give up then.


@covers("F12")
@pytest.mark.parametrize(
    ("wait_s", "at_s", "known", "says"),
    [
        (math.inf, HOUR_S + 7, "ann", "never gives up"),
        (math.inf, HOUR_S + 7, "", "never gives up"),
        (None, 30, "ann", "gives up in 3"),  # As long as anybody has patience who asked for no wait.
        (10.0, 6, "ann", "gives up in "),
    ],
)
async def test_of_every_wait_the_explanation_says_until_when(
    wait_s: float | None, at_s: float, known: str, says: str, tmp_path: Path, autojump_clock: MockClock
) -> None:
    world = World(tmp_path, away_until(math.inf), known=known)
    waiting = (await explained_at(world, at_s, wait_s=wait_s)).waiting
    assert waiting is not None
    assert says in waiting.next
    assert (waiting.left_s is None) == (wait_s == math.inf)
    json.dumps(msgspec.to_builtins(waiting), allow_nan=False)


async def test_once_somebody_is_back_it_waits_for_nobody_though_nothing_came_yet(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, away_until(HOUR_S))
    found: list[Explanation] = []
    grant = GivingLink.grant

    def watched(link: GivingLink, chunks: RangeSet) -> None:
        assert world.running is not None
        found.append(world.running.explain())
        grant(link, chunks)

    monkeypatch.setattr(GivingLink, "grant", watched)
    await world.fetch(wait_s=24 * HOUR_S)
    assert world.now > HOUR_S
    assert len(found) > 1
    assert [each.waiting for each in found] == [None] * len(found)


@pytest.mark.parametrize(
    ("again_s", "left_s", "says"),
    [
        (960, 7_440, "looks again in 16 min, gives up in 2 h 4 min"),
        (30, math.inf, "looks again in 30 s, never gives up"),
        (0, 30, "looks now, gives up in 30 s"),
        (0, 0, "looks now, gives up if that finds nobody"),
    ],
)
def test_what_is_said_of_a_wait(again_s: float, left_s: float, says: str) -> None:
    assert says_next(again_s, left_s) == says
