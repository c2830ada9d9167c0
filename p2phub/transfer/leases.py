"""Which chunk is had, free, or leased to whom: the books of a session.

At any time each chunk is in exactly one of: had, free, leased to one link, leased to two. Two have it only where the
first is late with it (`endgame`); the first verified copy wins. Then the other link is told to write nothing of it, and
a had chunk is *settled* once that link has answered, told that it wrote the same bytes before, or ended: until then it
is not given out as written (`take_written`), since whoever is told so may move its file to its place, where nothing may
be written any more.
"""

from __future__ import annotations

from collections.abc import Iterable

from p2phub.content import ChunkTable, RangeSet, Run
from p2phub.transfer.actions import Cancel
from p2phub.transfer.link import Link
from p2phub.transfer.picker import Picker
from p2phub.transfer.runs import Runs


class Leases:
    """`missing` is leased or free; `bytes_duplicate` counts payload that was had already when it came."""

    def __init__(self, table: ChunkTable, missing: RangeSet, *, rotation: int) -> None:
        self._table = table
        self.missing = Runs(missing)
        self.bytes_missing = table.bytes_of(missing)
        self.bytes_verified = 0
        self.bytes_duplicate = 0
        self.picker = Picker(table, missing, rotation=rotation)
        self.bytes_twice = 0
        self._twice = Runs()
        self._unsettled = 0  # Chunks, counted for each link.
        self._written: list[Run] = []

    @property
    def twice(self) -> RangeSet:
        """What two have."""
        return self._twice.snapshot()

    @property
    def all_settled(self) -> bool:
        """Whether no link may still write what is had."""
        return not self._unsettled

    def take_written(self) -> RangeSet:
        """Return the chunks that are had and settled, and were not before the last call."""
        written, self._written = self._written, []
        return RangeSet.of(written)

    # --- who is given what -------------------------------------------------------------------------------------------

    def give(self, link: Link, runs: Iterable[Run]) -> RangeSet:
        """Lease `runs`, which the picker took out of what is free, to `link`."""
        chunks = RangeSet.of(runs)
        for run in chunks.runs:
            link.lease.add(*run)
        link.lease_bytes += self._table.bytes_of(chunks)
        link.barren = False
        return chunks

    def give_again(
        self, link: Link, holder: Link, within: RangeSet, bytes_max: int, *, front: bool = False
    ) -> RangeSet:
        """Lease to `link` what `holder` has of `within` and nobody else has, from its end on: what it was asked for
        comes in order; or from its `front` on, which is missed first. At most `bytes_max`, or one chunk."""
        alone = (holder.lease.snapshot() & within) - self._twice.snapshot()
        runs: list[Run] = []
        room = bytes_max
        backwards = (number for start, stop in reversed(alone.runs) for number in reversed(range(start, stop)))
        for chunk in alone if front else backwards:
            room -= self._table.bytes_of(RangeSet(((chunk, chunk + 1),)))
            if runs and room < 0:
                break
            runs.append((chunk, chunk + 1))
        chunks = self.give(link, runs)
        for run in chunks.runs:
            self._twice.add(*run)
        self.bytes_twice += self._table.bytes_of(chunks)
        return chunks

    def release(self, link: Link, chunks: RangeSet) -> None:
        """What of `chunks` is leased to `link` alone is free again."""
        for start, stop in chunks.runs:
            for run in self._unlease(link, start, stop)[0]:
                for free in self._not_twice(run):
                    self.picker.put_back(*free)

    # --- what is wanted ----------------------------------------------------------------------------------------------

    def want(self, chunks: RangeSet) -> None:
        """`chunks`, none of them had or missing, are missing and free from now on."""
        for run in chunks.runs:
            self.missing.add(*run)
            self.picker.put_back(*run)
        self.bytes_missing += self._table.bytes_of(chunks)

    def forget(self, chunks: RangeSet) -> None:
        """What of `chunks` is free is not missing any more. What is leased stays so: it may be under way."""
        free = chunks & self.picker.snapshot()
        for run in free.runs:
            self.picker.withdraw(*run)
            self.missing.remove(*run)
        self.bytes_missing -= self._table.bytes_of(free)

    # --- what came ---------------------------------------------------------------------------------------------------

    def got(self, link: Link | None, start: int, stop: int, links: Iterable[Link]) -> list[Cancel]:
        """Chunks start ..< stop came over `link` and are written. Returns what `links` need not write any more."""
        if link is not None:
            runs, size = self._unlease(link, start, stop)
            if runs == [(start, stop)] and not self._twice:  # As granted, and so had by nobody, nor leased to another.
                self._had(start, stop, size)
                self._written.append((start, stop))
                return []
            self.settle(link, RangeSet(((start, stop),)), links)
        cancels: list[Cancel] = []
        for had in self.missing.within(start, stop):
            # Some came unasked, in the first flight: whoever else they were meant for, they are had now.
            self.picker.withdraw(*had)
            unsettled = RangeSet()
            for other in links:
                taken, size = self._unlease(other, *had)
                if taken:
                    cancels.append(self._cancel(other, RangeSet(tuple(taken)), size))
                    unsettled |= cancels[-1].chunks
            self._not_twice(had)
            self._had(*had, self._table.bytes_of(RangeSet((had,))))
            self._written += (RangeSet((had,)) - unsettled).runs
        return cancels

    def settle(self, link: Link, chunks: RangeSet, links: Iterable[Link]) -> None:
        """`link` will write nothing of `chunks` from now on."""
        if not link.unsettled:
            return
        for start, stop in chunks.runs:
            for run in link.unsettled.within(start, stop):
                link.unsettled.remove(*run)
                self._unsettled -= run[1] - run[0]
                others = RangeSet.of(each for other in links for each in other.unsettled.within(*run))
                self._written += (RangeSet((run,)) - others).runs

    def _cancel(self, link: Link, chunks: RangeSet, size: int) -> Cancel:
        for run in chunks.runs:
            link.unsettled.add(*run)
        self._unsettled += len(chunks)
        link.vain_bytes += size
        return Cancel(link.id, chunks)

    def _had(self, start: int, stop: int, size: int) -> None:
        self.missing.remove(start, stop)
        self.bytes_missing -= size
        self.bytes_verified += size

    def _unlease(self, link: Link, start: int, stop: int) -> tuple[list[Run], int]:
        """Take what lies in start ..< stop out of the lease of `link`; return it, and its bytes."""
        runs = link.lease.within(start, stop)
        size = self._table.bytes_of(RangeSet(tuple(runs))) if runs else 0
        for run in runs:
            link.lease.remove(*run)
        link.lease_bytes -= size
        return runs, size

    def _not_twice(self, run: Run) -> tuple[Run, ...]:
        """One lease of `run` has ended: return what nobody has now. What two had one has."""
        if not self._twice:
            return (run,)
        both = RangeSet(tuple(self._twice.within(*run)))
        for each in both.runs:
            self._twice.remove(*each)
        self.bytes_twice -= self._table.bytes_of(both)
        return (RangeSet((run,)) - both).runs
