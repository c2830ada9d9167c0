"""What a user waits for while a fetch runs: files by pattern, all in order, a range of bytes; and when they are there.

From a wish and a manifest comes the hint that `transfer.Session.want_soon` takes: the files that match the first
pattern, then those that match the next, then, with `in_order`, all from front to back. A range that is asked for while
the fetch runs goes before all that, the last one first.

Whoever asks for an order also wants to know which files can be used: a file is told of (`FilesReady`) once it stands
whole, verified and durable at its place. A fetch without an order pays nothing for any of this.
"""

from __future__ import annotations

from collections.abc import Sequence

from p2phub import limits
from p2phub.content import ChunkTable, RangeSet, Run
from p2phub.engine.patterns import file_patterns
from p2phub.errors import NotFound, UsageError
from p2phub.manifest import Manifest
from p2phub.observe import FilesReady, Unmatched, Watch
from p2phub.store import Arrival

READY_TOLD_MAX = 512  # Paths in one event.


class Awaited:
    """What somebody waits for in one fetch, and in which order. Raises UsageError for what is no pattern."""

    def __init__(self, first: Sequence[str], *, in_order: bool) -> None:
        self._patterns = file_patterns(first, "files that are wanted first")
        self._in_order = in_order
        self._base: list[Run] = []  # By patterns and `in_order`.
        self._ranges: list[tuple[str, int, int]] = []  # Bytes of files, the last that was asked for first.
        self._unready: list[int] = []  # Files to tell of that are not at their place yet, in the order of the manifest.
        self._manifest: Manifest | None = None  # With the table from `begin` on.
        self._table: ChunkTable | None = None

    @property
    def wants_files(self) -> bool:
        """Whether somebody waits for whole files."""
        return bool(self._patterns) or self._in_order

    def begin(self, manifest: Manifest, table: ChunkTable) -> list[Unmatched]:
        """The manifest is here: find out what is meant. Returns what a user should know. Blocks: a million paths and a
        pattern take seconds."""
        self._table = table
        self._manifest = manifest  # Last: `move_up` may look at it from another thread.
        unmatched: list[Unmatched] = []
        awaited: set[int] = set()
        for pattern, matches in self._patterns:
            found = [number for number, entry in enumerate(manifest.files) if matches(entry.path)]
            if not found:
                unmatched.append(Unmatched(pattern))
            self._base += [span for file in found if file not in awaited and (span := table.span(file))[0] < span[1]]
            awaited.update(found)
        others = limits.SOON_RANGES_MAX + 2 * limits.EARLY_LOOKS_MAX + 1  # Runs that stand in a hint beside these.
        self._base = _few(self._base, limits.SOON_RUNS_MAX - others)
        self._unready = sorted(awaited)
        if self._in_order:
            self._base.append((0, len(table)))
            self._unready = list(range(len(manifest.files)))
        return unmatched

    def in_this_order(self, runs: Sequence[Run]) -> None:
        """Want `runs` of chunks one after the other, before what patterns say."""
        self._base = _few(runs, limits.SOON_RUNS_MAX - limits.SOON_RANGES_MAX - 1)

    def move_up(self, path: str, start: int, stop: int) -> None:
        """Want bytes `start` ..< `stop` of a file before all else. Raises NotFound for a file that is not there, as far
        as that is known by now, UsageError for no range."""
        if not 0 <= start < stop:
            raise UsageError(f"bytes {start} to {stop} are no range")
        wanted = path, start, stop
        if self._manifest is not None and self._chunks(wanted) is None:
            raise NotFound(f"there is no file {path} in what is fetched")
        self._ranges = [wanted, *(other for other in self._ranges if other != wanted)][: limits.SOON_RANGES_MAX]

    def runs(self) -> list[Run]:
        """Return the runs of chunks that are wanted, in this order. Call after `begin`."""
        return [run for wanted in self._ranges if (run := self._chunks(wanted)) is not None] + self._base

    def _chunks(self, wanted: tuple[str, int, int]) -> Run | None:
        assert self._manifest is not None
        assert self._table is not None
        path, start, stop = wanted
        file = self._manifest.number_of(path)
        return None if file is None else self._table.covering(file, start, stop)

    # --- what is there ------------------------------------------------------------------------------------------------

    def take_ready(self, arrival: Arrival) -> list[str]:
        """Return the paths of those files that came to stand at their place since the last call. May take a moment."""
        if not self._unready or self._manifest is None:
            return []
        ready = arrival.in_place(self._unready)
        if ready:
            there = set(ready)
            self._unready = [file for file in self._unready if file not in there]
        return [self._manifest.files[file].path for file in ready]


def tell_ready(watch: Watch, paths: Sequence[str]) -> None:
    """Tell that files are at their place."""
    for at in range(0, len(paths), READY_TOLD_MAX):
        watch(FilesReady(list(paths[at : at + READY_TOLD_MAX])))


def _few(runs: Sequence[Run], count_max: int) -> list[Run]:
    """Return at most `count_max` runs for these: what is over half of that ascends, with what lies between."""
    joined: list[Run] = []
    for start, stop in runs:
        if joined and joined[-1][1] == start:
            joined[-1] = joined[-1][0], stop
        else:
            joined.append((start, stop))
    if len(joined) <= count_max:
        return joined
    exact = count_max // 2
    rest = RangeSet.of(joined[exact:]).runs
    size = -(-len(rest) // (count_max - exact))
    groups = (rest[at : at + size] for at in range(0, len(rest), size))
    return joined[:exact] + [(group[0][0], group[-1][1]) for group in groups]
