"""What somebody waits for already, in the order in which they will read it: an order hint.

The picker's own order lets a swarm do well; whoever reads while the rest arrives wants what they read next. What is
wanted soon is picked before everything else, front first, whoever holds it, however rare it is. Two things keep the
reader from waiting for a slow link:
  - it leaves to links that are faster what they bring in the time that it takes itself (`Ahead`): what it is given
    then comes about when it is wanted;
  - what of the front it owes all the same is asked of a faster one, too (`endgame.hasten`). If that freezes as well,
    whichever is silent is dropped sooner than else.

In a crowd only the beginning of a hint goes before the crowd's steps; within these its order holds (`scheduler`).

A hint is kept as few sets of chunks (`_laps`), each of which is read in ascending order: what is had falls off the
front, so a hint that is done with costs nothing. Lengths are bytes, times seconds. Source: docs/decisions/0065.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import msgspec

from p2phub import limits
from p2phub.content import ChunkTable, RangeSet, Run
from p2phub.transfer.link import Link
from p2phub.transfer.picker import Picker, Workplace
from p2phub.transfer.runs import Runs, next_run

UNPROVEN_S = 1.0  # A link that is not measured yet shows within this time what it is, to those who ask beside it.
LOOKS_MAX = 128  # So many runs are looked at for one link, or for the front: files may be many and small.
MUCH_FASTER = 1.5  # Who takes more than so many times as long as another leaves it to that one.


class Ahead(msgspec.Struct, frozen=True):
    """What a link leaves to faster ones: the first `size` bytes of what any of them holds (`held`)."""

    size: int = 0
    held: tuple[RangeSet, ...] = ()

    def __bool__(self) -> bool:
        return self.size > 0

    @classmethod
    def of(cls, link: Link, faster: Iterable[tuple[Link, RangeSet]], *, now: float) -> Ahead:
        """`faster`: other links that work, and what each peer holds; those that are not much faster do not count."""
        own_s = _given_s(link, now=now)
        size, held = 0.0, []
        for other, has in faster:
            if other.pace.rate and (theirs_s := _given_s(other, now=now)) * MUCH_FASTER < own_s:
                size += other.rate(now=now) * (own_s - theirs_s)
                held.append(has)
        return cls(int(size), tuple(held)) if held else _NOTHING

    def end(self, at: int) -> int:
        """Return up to where faster links hold what begins with chunk `at`; `at` if none does."""
        found = (next_run(held, at) for held in self.held)
        return max((run[1] for run in found if run is not None and run[0] == at), default=at)


_NOTHING = Ahead()


def _given_s(link: Link, *, now: float) -> float:
    """How long a link takes for what it is given at a time."""
    rate = link.rate(now=now)
    return link.pace.soon_bytes / rate if rate else UNPROVEN_S


class Soon:
    """The order hint of one session; false when nothing of it is missing."""

    def __init__(self, table: ChunkTable) -> None:
        self._table = table
        self._laps: list[RangeSet] = []
        self._at = 0  # Of the first lap nothing before this is missing.
        self._free_at = (0, 0, -1)  # Before this lap and chunk nothing is free, since chunks were put back so often.
        self._chunks: RangeSet | None = None
        self._beyond: tuple[RangeSet, tuple[RangeSet, ...], tuple[RangeSet, ...]] | None = None

    def __bool__(self) -> bool:
        return bool(self._laps)

    @property
    def chunks(self) -> RangeSet:
        """All that is wanted soon."""
        if self._chunks is None:
            self._chunks = RangeSet.of(run for lap in self._laps for run in lap.runs)
        return self._chunks

    def beyond(self, tiers: tuple[RangeSet, ...]) -> tuple[RangeSet, ...]:
        """Return what of `tiers` is not wanted soon: worked out once for all who hold the same."""
        chunks = self.chunks
        if self._beyond is None or self._beyond[0] is not chunks or self._beyond[1] != tiers:
            self._beyond = chunks, tiers, tuple(tier - chunks for tier in tiers)
        return self._beyond[2]

    def replace(self, runs: Sequence[Run]) -> None:
        """From now on `runs` are wanted soon, in this order, and nothing else. What is over SOON_RUNS_MAX is left out;
        after SOON_LAPS_MAX steps back the order ascends to the end."""
        total = len(self._table)
        laps: list[list[Run]] = []
        for start, stop in runs[: limits.SOON_RUNS_MAX]:
            assert 0 <= start <= stop <= total, "a hint of chunks that there are not"
            if start == stop:
                continue
            if not laps or (start < laps[-1][-1][1] and len(laps) < limits.SOON_LAPS_MAX):
                laps.append([])
            laps[-1].append((start, stop))
        self._laps = [RangeSet.of(lap) for lap in laps]
        self._at, self._chunks, self._free_at = 0, None, (0, 0, -1)

    def forget_had(self, missing: Runs) -> None:
        """Let go of what is at the front and not `missing` any more."""
        while self._laps:
            run = missing.next_common(self._at, self._laps[0])
            if run is not None:
                self._at = run[0]
                return
            del self._laps[0]
            self._at, self._chunks, self._free_at = 0, None, (0, 0, -1)

    def front(self, missing: Runs, bytes_max: int) -> RangeSet:
        """Return what is wanted next of all that is missing, free or not: about `bytes_max`, no more than LOOKS_MAX
        runs."""
        found: list[Run] = []
        for start, stop in islice(self._missing(missing), LOOKS_MAX):
            run = start, start + max(1, self._table.fitting(start, stop, bytes_max))
            found.append(run)
            bytes_max -= self._table.bytes_of(RangeSet((run,)))
            if bytes_max <= 0 or run[1] < stop:
                break
        return RangeSet.of(found)

    def _missing(self, missing: Runs) -> Iterator[Run]:
        at = self._at
        for lap in self._laps:
            yield from missing.common(lap, start=at)
            at = 0

    # --- what a link gets ---------------------------------------------------------------------------------------------

    def first(self, picker: Picker, held: RangeSet, ahead: Ahead = _NOTHING) -> Run | None:
        """Return the first free run for a link to whoever holds `held`, as long as it may become; None if there is
        nothing for it."""
        return next(self._for(picker, held, ahead), None)

    def pick(self, picker: Picker, held: RangeSet, ahead: Ahead, bytes_wanted: int, workplace: Workplace) -> list[Run]:
        """Take about `bytes_wanted` of what is free for such a link, at least a chunk, front first; no further than the
        hint ascends, for a link asks for what it was granted in ascending order: what stands before comes next time."""
        taken: list[Run] = []
        if bytes_wanted > 0:
            for run in self._for(picker, held, ahead):
                if taken and run[0] < taken[-1][1]:
                    break
                chunks, moved = picker.take(*run, bytes_wanted, workplace)
                taken.append(chunks)
                bytes_wanted -= moved
                if bytes_wanted <= 0 or len(taken) == limits.REQUEST_RANGES_MAX:
                    break
        return taken

    def _for(self, picker: Picker, held: RangeSet, ahead: Ahead) -> Iterator[Run]:
        """Yield what is free for such a link, each run once, front first; what was yielded may be taken. Of what it
        leaves to others no more than LOOKS_MAX runs are passed over: what is behind these is left to them, too."""
        leave, looks = ahead.size, 0
        first, at = self._free_from(picker)
        for lap in self._laps[first:]:
            while (run := picker.next_free(at, lap, held)) is not None:
                start, stop = run
                at = stop
                end = min(stop, ahead.end(start)) if leave else start
                left = self._table.fitting(start, end, leave)
                if start + left < end or end == start:
                    leave = 0 if end > start else leave
                    yield start + left, stop
                else:
                    looks += 1
                    if looks == LOOKS_MAX:
                        return
                    leave -= self._table.bytes_of(RangeSet(((start, end),)))
                    at = end
            at = 0

    def _free_from(self, picker: Picker) -> tuple[int, int]:
        """Return the first lap of which something is free, and from which chunk on; looked for anew from the front when
        something was put back."""
        lap, at, version = self._free_at
        if version != picker.put_back_count:
            lap, at = 0, self._at
        while lap < len(self._laps) and (run := picker.next_free(at, self._laps[lap])) is None:
            lap, at = lap + 1, 0
        at = run[0] if lap < len(self._laps) and run is not None else at
        self._free_at = lap, at, picker.put_back_count
        return lap, at
