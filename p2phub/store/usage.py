"""What the holdings of a home take, and how much of that they share: by inode, and by the digests of their chunks.

What is shared by hard links can be told by inode; what was cloned cannot be told from a second copy without asking the
file system for its extents, so it counts as the same content, which both are. Nothing of the files is looked at: what
the index noted when they were hashed is what holds. Some thousand rows at a time.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from p2phub.store.holdings import Holdings
from p2phub.store.interface import Holding
from p2phub.store.keeping import HoldingUsage


def usage_of(holdings: Holdings) -> tuple[tuple[HoldingUsage, ...], int, int]:
    """Return what each holding takes, the newest first; with each file, then each chunk, counted once: bytes."""
    holdings.index_chunks()
    same, again = _repeated(holdings)
    repeated = holdings.keeping.repeated_inodes()
    seen: set[tuple[int, int]] = set()
    found: list[HoldingUsage] = []
    bytes_files = bytes_content = 0
    for row in holdings.index.holdings():
        held = holdings.of_row(row)
        total, same_file, files = _files(holdings, row.id, repeated, seen)
        same_content, counted_twice = (_bytes(holdings, held, numbers.get(row.id, ())) for numbers in (same, again))
        bytes_files += files
        bytes_content += total - counted_twice
        found.append(HoldingUsage(held, total, same_file, min(total, same_content)))
    return tuple(found), bytes_files, bytes_content


def _repeated(holdings: Holdings) -> tuple[dict[int, array[int]], dict[int, array[int]]]:
    """Return by holding the numbers of the chunks that are held at more than one place; and of those that were not the
    first that was looked at. Packed: there may be millions."""
    same: dict[int, array[int]] = {}
    again: dict[int, array[int]] = {}
    for holding, number, is_another in holdings.keeping.repeated_chunks():
        same.setdefault(holding, array("I")).append(number)
        if is_another:
            again.setdefault(holding, array("I")).append(number)
    return same, again


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
