"""A fetch of a fine-tune asks who has its base for what both have: with holders that say and give what a test says.

In virtual time. The fine-tune's only holder is slow, or gone after it told what the manifest is; the base stands in
other files, in another order, beside chunks that nobody here wants.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio
from msgspec.structs import replace
from trio.testing import MockClock

from p2phub import limits
from p2phub.content import Digest, RangeSet, Renumbering, WritePlan, digest_of, same_chunks
from p2phub.discovery import Candidate
from p2phub.engine.fetch import Means, Wish, fetch
from p2phub.engine.parents import parents_of
from p2phub.engine.search import Search
from p2phub.errors import ChunkMismatch, NoProvider, PeerGone, PeerRefused
from p2phub.identity import Address, PeerAddress
from p2phub.manifest import Release
from p2phub.net import Blobs, Cancelled, Closed, Control, Link, Opened, Refused, Report, Returned, Verified, WindowNow
from p2phub.observe import Done, Event, PeerDropped
from p2phub.store.filesystem import FilesystemStore
from tests.support.content import Content, content_of, random_files
from tests.support.covers import covers
from tests.support.hosts import FixedFinder, key_of
from tests.support.no_threads import NoThreads

STEP = 1000
SLOW_S = 5.0  # A chunk: forty of them are a long fetch.
OLD = random_files(1, attention=16 * STEP, embedding=12 * STEP + 300, head=4 * STEP, optimiser=9 * STEP)
BASE = content_of(OLD, STEP)
TUNED = content_of(
    {
        "1.weights": OLD["embedding.bin"],
        "2.weights": OLD["attention.bin"][: 9 * STEP] + random_files(2, x=2 * STEP)["x.bin"],
        "3.weights": OLD["attention.bin"][11 * STEP :],
        "README.md": b"what only this one has",
    },
    STEP,
)
SAME = same_chunks(TUNED.table, TUNED.whole, BASE.table)
ONLY_TUNED = TUNED.whole - SAME.ours


@dataclass
class Holder:
    """A peer with `content`, as far as `held` says, of which it gives a chunk every `pace_s`, and `most` in all; and
    `also`, which it has whole."""

    content: Content
    held: RangeSet
    pace_s: float = 0.0
    most: float = float("inf")
    lies: bool = False
    also: Content | None = None
    blobs: dict[Digest, bytes] = field(default_factory=dict)
    asked_blobs: list[Digest] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)  # Chunks, in its own numbers.
    open: int = 0  # Links to it.

    @property
    def has(self) -> dict[Digest, tuple[Content, RangeSet]]:
        """By manifest."""
        also = {} if self.also is None else {self.also.root: (self.also, self.also.whole)}
        return {self.content.root: (self.content, self.held), **also}


class HolderLink:
    """A link to one, which takes its chunks one by one."""

    via = "direct"
    window = WindowNow()

    def __init__(self, provider: PeerAddress, holder: Holder, manifest: Digest, *, flight: bool) -> None:
        self.peer, self.address = provider.peer, provider.address
        self._holder = holder
        self._plan: WritePlan | None = None
        self._numbers: Renumbering | None = None
        self._said = deque[Report]()
        self._pending = deque[int]()
        self._under_way = RangeSet()
        self._news = trio.Event()
        self._ended = False
        holder.open += 1
        if manifest in holder.has:
            self._content, self._held = holder.has[manifest]
            blobs = tuple(self._content.blobs[digest] for digest in self._content.order) if flight else ()
            self._say(Opened(blobs, (), self._held))
        else:
            self._end(PeerRefused("unknown here", reason="unknown"))

    def _say(self, report: Report) -> None:
        self._said.append(report)
        self._news.set()

    def _end(self, error: PeerGone | PeerRefused | ChunkMismatch | None) -> None:
        if not self._ended:
            self._ended = True
            self._holder.open -= 1
            self._say(Closed(error, RangeSet.from_indices(self._pending) | self._under_way))

    def ask(self, blobs: Sequence[tuple[Digest, int]]) -> None:
        self._holder.asked_blobs += [digest for digest, _ in blobs]
        known = {**self._content.blobs, **self._holder.blobs}
        self._say(Blobs(tuple(known[digest] for digest, _ in blobs)))

    def use(self, plan: WritePlan, numbers: Renumbering | None = None) -> None:
        self._plan, self._numbers = plan, numbers

    def grant(self, chunks: RangeSet) -> None:
        if self._ended:
            self._say(Returned(chunks))
        self._pending.extend(chunks)
        self._news.set()

    def revoke(self) -> None:
        returned = RangeSet.from_indices(self._pending)
        self._pending.clear()
        self._say(Returned(returned))

    def cancel(self, chunks: RangeSet) -> None:
        unasked = RangeSet.from_indices(self._pending) & chunks
        self._pending = deque(chunk for chunk in self._pending if chunk not in unasked)
        cancelled = unasked | (self._under_way & chunks)
        self._under_way -= chunks
        self._say(Cancelled(cancelled, unasked))

    def close(self) -> None:
        self._end(None)

    async def next_report(self) -> Report:
        while not self._said:
            if self._pending and not self._ended:
                await self._give(self._pending.popleft())
            else:
                self._news = trio.Event()
                await self._news.wait()
        return self._said.popleft()

    async def _give(self, chunk: int) -> None:
        """Let one chunk come; what is said meanwhile comes after it."""
        holder, plan, one = self._holder, self._plan, RangeSet(((chunk, chunk + 1),))
        assert plan is not None
        theirs = chunk if self._numbers is None else self._numbers.theirs(chunk)
        self._under_way = one
        holder.asked.append(theirs)
        await trio.sleep(holder.pace_s)
        if self._ended:
            return
        if len(holder.asked) > holder.most:
            self._end(PeerGone("went"))
        elif holder.lies:
            self._end(ChunkMismatch("not what was signed", file="1.weights", chunk=0, peer=str(self.peer)))
        elif theirs not in self._held:
            self._say(Refused(self._under_way, "not-held"))
        else:
            data, ref = self._content.chunk(theirs), plan.table.chunk(chunk)
            assert digest_of(data).raw == ref.digest
            if self._under_way:  # Else it was cancelled, and comes all the same.
                descriptor = plan.open(ref.file)
                os.pwrite(descriptor, data, ref.offset)
                os.close(descriptor)
            self._say(Verified(self._under_way, len(data)))
        self._under_way = RangeSet()


class Finder(FixedFinder):
    """Who is announced with what."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    async def providers(self, manifest: Digest, found: trio.MemorySendChannel[Candidate]) -> None:
        self._world.searched.append(manifest)
        for name, holder in self._world.holders.items():
            if manifest in (*holder.has, *holder.blobs):
                await found.send(self._world.candidate(name))


class World:
    def __init__(self, folder: Path, **holders: Holder) -> None:
        self.folder, self.holders = folder, holders
        self.searched: list[Digest] = []
        self.events: list[Event] = []

    def candidate(self, name: str) -> Candidate:
        return Candidate(PeerAddress(key_of(name).peer_id, Address("10.0.0.1", 4717 + len(name))), "dht")

    async def open_link(self, provider: PeerAddress, manifest: Digest, *, prefix_bytes: int, via: str) -> Link:
        name = next(name for name in self.holders if key_of(name).peer_id == provider.peer)
        return HolderLink(provider, self.holders[name], manifest, flight=prefix_bytes > 0)

    async def open_control(self, peer: PeerAddress) -> Control:
        raise PeerGone("no questions")

    async def fetch(self, *, parents: Sequence[Digest] = (BASE.root,), public: bool = True) -> Done:
        async def open_finder() -> Finder:
            return Finder(self)

        with closing(FilesystemStore(self.folder / "home")) as store:
            done = await fetch(
                Wish("REF", TUNED.root, self.folder / "out", patience_s=0.0),
                search=Search((), open_finder, public=public, parents=parents),
                means=Means(self, store, NoThreads(), key_of("own").peer_id),
                watch=self.events.append,
            )
        for path, data in TUNED.files.items():
            assert (self.folder / "out" / path).read_bytes() == data
        return done

    def given(self, done: Done, name: str) -> int:
        peer = str(key_of(name).peer_id)
        return sum(source.bytes for source in done.sources if source.peer_id == peer)


def slow_tuned() -> Holder:
    return Holder(TUNED, TUNED.whole, pace_s=SLOW_S)


async def test_what_a_fine_tune_has_of_its_base_comes_from_who_has_the_base(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    world = World(tmp_path, ann=slow_tuned(), bobby=Holder(BASE, BASE.whole))
    done = await world.fetch()
    assert world.given(done, "bobby") >= 0.9 * TUNED.table.bytes_of(SAME.ours)
    assert world.given(done, "ann") >= TUNED.table.bytes_of(ONLY_TUNED)
    assert done.bytes_received == TUNED.table.bytes_of(TUNED.whole)  # Nothing came twice,
    assert set(world.holders["bobby"].asked) <= {SAME.theirs(chunk) for chunk in SAME.ours}  # or in vain.
    assert not any(holder.open for holder in world.holders.values())


async def test_it_goes_on_with_the_base_where_who_had_the_fine_tune_is_gone(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    gone = Holder(TUNED, ONLY_TUNED, most=len(ONLY_TUNED))
    done = await World(tmp_path, ann=gone, bobby=Holder(BASE, BASE.whole)).fetch()
    assert done.bytes_received == TUNED.table.bytes_of(TUNED.whole)


async def test_who_has_a_part_of_the_base_gives_that_part(tmp_path: Path, autojump_clock: MockClock) -> None:
    some = RangeSet.of([(3, 12)])
    world = World(tmp_path, ann=slow_tuned(), bobby=Holder(BASE, some))
    done = await world.fetch()
    assert set(world.holders["bobby"].asked) <= set(some)
    assert world.given(done, "bobby") > 0


async def test_who_has_two_parents_is_asked_for_one_after_the_other(tmp_path: Path, autojump_clock: MockClock) -> None:
    one, two = (content_of({name: OLD[name]}, STEP) for name in ("attention.bin", "embedding.bin"))
    world = World(tmp_path, ann=slow_tuned(), bobby=Holder(one, one.whole, also=two))
    done = await world.fetch(parents=[one.root, two.root])
    assert world.given(done, "bobby") >= 0.9 * TUNED.table.bytes_of(SAME.ours)


@covers("T33")
async def test_a_holder_of_the_base_that_lies_is_banned_as_any_other_and_named_with_the_file_that_is_fetched(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    liar = Holder(BASE, BASE.whole, lies=True)
    world = World(tmp_path, ann=slow_tuned(), bobby=liar, charles=Holder(BASE, BASE.whole))
    done = await world.fetch()
    dropped = [event for event in world.events if isinstance(event, PeerDropped) and event.file is not None]
    assert [(event.peer_id, event.file) for event in dropped] == [(str(key_of("bobby").peer_id), "1.weights")]
    assert len(liar.asked) == 1
    assert world.given(done, "charles") > 0


async def test_for_what_is_not_public_no_parent_is_looked_for(tmp_path: Path, autojump_clock: MockClock) -> None:
    world = World(tmp_path, ann=slow_tuned(), bobby=Holder(BASE, BASE.whole))
    done = await world.fetch(public=False)
    assert world.given(done, "bobby") == 0
    assert set(world.searched) == {TUNED.root}


async def test_a_parent_that_nobody_has_costs_one_search(tmp_path: Path, autojump_clock: MockClock) -> None:
    world = World(tmp_path, ann=slow_tuned())
    await world.fetch()
    assert world.searched == [TUNED.root, BASE.root]


async def test_where_nobody_has_the_rest_the_verdict_comes_after_a_look_at_the_parents(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    world = World(tmp_path, ann=Holder(TUNED, RangeSet.of([(0, 3)])), bobby=Holder(BASE, BASE.whole))
    with pytest.raises(NoProvider):
        await world.fetch()
    assert BASE.root in world.searched
    assert len(world.holders["bobby"].asked) == len(SAME.ours - RangeSet.of([(0, 3)]))


async def test_where_nobody_tells_what_is_fetched_the_verdict_comes_without_a_look_at_the_parents(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    world = World(tmp_path, bobby=Holder(BASE, BASE.whole))
    with pytest.raises(NoProvider):
        await world.fetch()
    assert set(world.searched) == {TUNED.root}
    assert world.holders["bobby"].asked_blobs == []


async def test_so_many_parents_are_looked_for_and_no_more(tmp_path: Path, autojump_clock: MockClock) -> None:
    parents = [digest_of(bytes([number])) for number in range(limits.PARENTS_MAX)]
    world = World(tmp_path, ann=slow_tuned())
    await world.fetch(parents=parents)
    assert world.searched[1:] == parents[: limits.PARENTS_LOOKED_FOR_MAX]


async def test_what_is_named_as_a_parent_and_is_no_manifest_costs_no_more_than_the_look(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    page = b"p2phub would not read this"
    base = Content(BASE.manifest, digest_of(page), BASE.table, {}, BASE.files)
    liar = Holder(base, BASE.whole, blobs={digest_of(page): page})
    world = World(tmp_path, ann=slow_tuned(), bobby=liar)
    done = await world.fetch(parents=[digest_of(page)])
    assert world.given(done, "bobby") == 0
    assert done.bytes_received == TUNED.table.bytes_of(TUNED.whole)


@pytest.mark.parametrize("bound", ["PARENT_CHUNKS_MAX", "PARENT_METADATA_PART"])
async def test_of_a_parent_that_is_too_large_to_compare_nothing_is_asked(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    monkeypatch.setattr(limits, bound, {"PARENT_CHUNKS_MAX": 10, "PARENT_METADATA_PART": 100}[bound])
    holder = Holder(BASE, BASE.whole)
    world = World(tmp_path, ann=slow_tuned(), bobby=holder)
    await world.fetch()
    assert holder.asked == []


def test_the_version_before_is_the_first_parent_and_none_is_there_twice_or_itself() -> None:
    one, two, three = (digest_of(bytes([number])) for number in range(3))
    release = Release(key_of("ann").peer_id, "m", one, sequence=1, bytes_total=1, created=1, expires=2)
    assert parents_of(release) == ()
    release = replace(release, previous=two, parents=((three, "finetune"), (two, "merge"), (one, "merge")))
    assert parents_of(release) == (two, three)
