"""What the holdings of a home take, and how much of that they share: by inode, and by the digests of their chunks.

What is shared by hard links can be told by inode; what was cloned cannot be told from a second copy without asking the
file system for its extents, so it counts as the same content, which both are. Nothing of the files is looked at: what
the index noted when they were hashed is what holds. Some thousand rows at a time.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator

from p2phub.store.holdings import Holdings
from p2phub.store.interface import Holding, Origin
from p2phub.store.keeping import HoldingUsage


def usage_of(holdings: Holdings) -> tuple[tuple[HoldingUsage, ...], int, int]:
    """Return what each holding takes, the newest first; with each file, then each chunk, counted once: bytes."""
    holdings.index_chunks()
    rows = holdings.rows()
    shared = frozenset(row.id for row in rows if row.origin is Origin.SHARED)
    same, again = _repeated(holdings, shared)
    repeated = holdings.keeping.repeated_inodes()
    seen: set[tuple[int, int]] = set()
    found: list[HoldingUsage] = []
    bytes_files = bytes_content = 0
    for row in rows:
        held = holdings.of_row(row)
        if row.id in shared:  # Somebody else's, and on their disk.
            found.append(HoldingUsage(held, held.bytes_total, 0, 0))
            continue
        total, same_file, files = _files(holdings, row.id, repeated, seen)
        same_content, counted_twice = (_bytes(holdings, held, numbers.get(row.id, ())) for numbers in (same, again))
        bytes_files += files
        bytes_content += total - counted_twice
        found.append(HoldingUsage(held, total, same_file, min(total, same_content)))
    return tuple(found), bytes_files, bytes_content


def _repeated(holdings: Holdings, without: frozenset[int]) -> tuple[dict[int, array[int]], dict[int, array[int]]]:
    """Return by holding the numbers of the chunks that are held at more than one place; and of those that were not the
    first that was looked at. Packed: there may be millions. Holdings whose ids are in `without` do not count."""
    same: dict[int, array[int]] = {}
    again: dict[int, array[int]] = {}
    for places in _by_chunk(holdings):
        here = [place for place in places if place[0] not in without]
        for at, (holding, number) in enumerate(here if len(here) > 1 else ()):
            same.setdefault(holding, array("I")).append(number)
            if at:
                again.setdefault(holding, array("I")).append(number)
    return same, again


def _by_chunk(holdings: Holdings) -> Iterator[list[tuple[int, int]]]:
    """Yield of each chunk that is held more than once (holding, number) of all places where it is."""
    places: list[tuple[int, int]] = []
    for holding, number, is_another in holdings.keeping.repeated_chunks():
        if not is_another:
            yield places
            places = []
        places.append((holding, number))
    yield places


def _files(
    holdings: Holdings, holding: int, repeated: set[tuple[int, int]], seen: set[tuple[int, int]]
) -> tuple[int, int, int]:
    """Return the bytes of the files of a holding; of those that another has too; and of those not counted before."""
    total = same = fresh = 0
    after = -1
    while rows := holdings.keeping.inodes(holding, after):
        for _, device, inode, size in rows:
            total += size
            is_same = device is not None and inode is not None and (device, inode) in repeated
            same += size if is_same else 0
            if not is_same or (device, inode) not in seen:
                fresh += size
            if is_same:
                assert device is not None
                assert inode is not None
                seen.add((device, inode))
        after = rows[-1][0]
    return total, same, fresh


def _bytes(holdings: Holdings, held: Holding, numbers: Iterable[int]) -> int:
    known = holdings.known(held.manifest)
    if known is None:
        return 0
    return sum(known.table.chunk(number).length for number in numbers if number < len(known.table))
