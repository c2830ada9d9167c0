"""Choose which chunks a link gets next: rarest first, then file order, rotated; in long runs, away from other links.

Two threads that write one file wait for each other at its inode, so a link gets files that no other link is in while
there are any. Then it helps where most is left, from the middle of that stretch on: the link that is there already
keeps the front.

In a crowd that order would have all requesters ask for the same: whoever comes to where another has just been goes on
beside it, for the same next chunk. So there (`spread`) each new run begins at a place of a sequence that differs from
node to node (`shares.beginnings`); what of it is asked of whom stands in `crowd`.

Source: proto/transfer.md §5; docs/decisions/0020, 0061.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import cycle

from p2phub import limits
from p2phub.content import ChunkTable, RangeSet, Run
from p2phub.transfer.runs import Runs
from p2phub.transfer.unpicked import Unpicked


class Workplace:
    """Where a link works: the file of its last grant, and the chunk that would continue it."""

    __slots__ = ("file", "following")

    def __init__(self) -> None:
        self.file: int | None = None
        self.following: int | None = None

    def leave(self) -> None:
        self.file = self.following = None


class Picker:
    """Picks from `free`, which it changes; `free_bytes` stays in step."""

    def __init__(self, table: ChunkTable, free: RangeSet, *, rotation: int) -> None:
        self._table = table
        self._free = Runs(free)
        self._rotation = rotation % len(table) if len(table) else 0
        self._beginnings: Iterator[int] | None = None
        self.free_bytes = table.bytes_of(free)
        self.put_back_count = 0

    def __bool__(self) -> bool:
        """Whether anything is free."""
        return bool(self._free)

    def spread(self, beginnings: Sequence[int]) -> None:
        """Begin each new run at the next of these chunks, over and over."""
        self._beginnings = cycle(beginnings)
        self._jump()

    def snapshot(self) -> RangeSet:
        return self._free.snapshot()

    def put_back(self, start: int, stop: int) -> None:
        """Chunks start ..< stop, none of them free, can be picked again."""
        self.put_back_count += 1
        self._free.add(start, stop)
        self.free_bytes += self._table.bytes_of(RangeSet(((start, stop),)))

    def withdraw(self, start: int, stop: int) -> None:
        """Chunks start ..< stop are no longer to be picked; some may not have been free anyway."""
        for run in self._free.within(start, stop):
            self._free.remove(*run)
            self.free_bytes -= self._table.bytes_of(RangeSet((run,)))

    def may_pick(self, held: RangeSet) -> bool:
        """Whether anything of `held` is free."""
        return self._free.meets(held)

    def pick(
        self,
        tiers: tuple[RangeSet, ...],
        bytes_wanted: int,
        workplace: Workplace,
        others: list[Workplace],
        *,
        onward: bool = False,
    ) -> list[Run]:
        """Take about `bytes_wanted` (at least one chunk, if there is any) out of what is free and in `tiers`.

        `tiers`: what the provider holds, the most wanted first. `others`: where other links work.
        `onward`: choose once where to begin, and take what follows: where tiers have many holes each choice is long.
        """
        taken: list[Run] = []
        # Files that somebody else is in. One that this link is in, too, is shared already: no reason to leave it.
        spans = sorted(
            self._table.span(file)
            for file in {other.file for other in others}
            if file is not None and file != workplace.file
        )
        left = [Unpicked(self._free, tier) for tier in tiers]
        while bytes_wanted > 0 and len(taken) < limits.REQUEST_RANGES_MAX:
            found = (
                tier.next(workplace.following)
                if onward and taken and workplace.following is not None
                else self._best(tier, workplace, spans)
                for tier in left
            )
            run = next((run for run in found if run is not None), None)
            if run is None:
                break
            chunks, moved = self.take(*run, bytes_wanted, workplace)
            bytes_wanted -= moved
            taken.append(chunks)
        return taken

    def take(self, start: int, limit: int, bytes_wanted: int, workplace: Workplace) -> tuple[Run, int]:
        """Take about `bytes_wanted` out of start ..< limit, all of it free, from the front; return what, and its bytes.
        The link whose `workplace` it is goes on there."""
        stop, moved = self._cut(start, limit, bytes_wanted)
        self._free.remove(start, stop)
        self.free_bytes -= moved
        workplace.following = stop
        workplace.file = self._table.file_of(stop - 1)
        return (start, stop), moved

    def _best(self, tier: Unpicked, workplace: Workplace, spans: list[Run]) -> Run | None:
        """Return the run to take from, as long as it may become; None if nothing of `tier` is free."""
        if workplace.following is not None:
            run = tier.next(workplace.following)
            if run is not None and run[0] == workplace.following and not _inside(spans, run[0]):
                return _up_to(spans, run)
        fallback: Run | None = None
        for start, stop in ((self._rotation, len(self._table)), (0, self._rotation)):
            at = start
            while (run := tier.next(at)) is not None and run[0] < stop:
                fallback = fallback or run
                taken = _inside(spans, run[0])
                if taken is None:
                    self._jump()
                    return _up_to(spans, run)
                at = taken[1]
        if fallback is None:
            return None
        self._jump()
        return fallback if self._beginnings is not None else _from_the_middle(tier.longest())

    def _jump(self) -> None:
        """Choose where the next new run begins, if that is chosen."""
        if self._beginnings is not None:
            self._rotation = next(self._beginnings, 0)

    def next_free(self, at: int, *tiers: RangeSet) -> Run | None:
        """Return the first run at or after `at` that is free and in all `tiers`."""
        return self._free.next_common(at, *tiers)

    def _cut(self, start: int, limit: int, bytes_wanted: int) -> Run:
        """Return where a run from `start` must stop, `limit` at most, to have `bytes_wanted`; and what it has then."""

        def bytes_to(stop: int) -> int:
            return self._table.bytes_of(RangeSet(((start, stop),)))

        # No chunk is longer than CHUNK_BYTES_MAX, so this many never are too many; most often they are just right.
        count = max(1, bytes_wanted // limits.CHUNK_BYTES_MAX)
        low = start
        while (high := start + count) < limit and bytes_to(high) < bytes_wanted:
            low, count = high, count * 2
        high = min(high, limit)
        stop = low + 1 + bisect_left(range(low + 1, high), bytes_wanted, key=bytes_to)
        return stop, bytes_to(stop)


def _from_the_middle(run: Run) -> Run:
    start, stop = run
    return start + (stop - start) // 2, stop


def _inside(spans: list[Run], index: int) -> Run | None:
    return next((span for span in spans if span[0] <= index < span[1]), None)


def _up_to(spans: list[Run], run: Run) -> Run:
    """Cut `run` where the next span begins."""
    return run[0], min([run[1], *(start for start, _ in spans if run[0] < start)])
