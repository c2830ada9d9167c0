"""What the holdings of a home take, and how much of that they share: by inode, and by the digests of their chunks.

What is shared by hard links can be told by inode; what was cloned cannot be told from a second copy without asking the
file system for its extents, so it counts as the same content, which both are. Nothing of the files is looked at: what
the index noted when they were hashed is what holds; but files that were made of selected parts are in no manifest, and
are found where they stand by their names. A file whose content another has is shared as a whole; of the
others those chunks are that are in another content, too, or twice in their own. Some thousand rows at a time.
"""

from __future__ import annotations

import os
from array import array

from p2phub.store.holding import Holding, Origin
from p2phub.store.holdings import Holdings
from p2phub.store.index_keeping import Sized
from p2phub.store.keeping import HoldingUsage
from p2phub.store.known import Known
from p2phub.store.whose import NOT_OURS


def usage_of(holdings: Holdings) -> tuple[tuple[HoldingUsage, ...], int, int]:
    """Return what each holding takes, the newest first; with each file, then each chunk, counted once: bytes."""
    holdings.noting.note_chunks()
    counting = _Counting(holdings)
    found: list[HoldingUsage] = []
    for row in holdings.rows():
        held = holdings.of_row(row)
        if row.origin is Origin.SHARED:  # Somebody else's, and on their disk.
            found.append(HoldingUsage(held, held.bytes_total, 0, 0))
            continue
        counting.begin(None if held.problem is not None else holdings.known(held.manifest))
        after = -1
        while files := holdings.keeping.sized(row.id, after):
            for file in files:
                counting.count(file)
            after = files[-1].number
        selected = counting.count_selected(held) if held.origin not in NOT_OURS else 0
        found.append(HoldingUsage(held, counting.bytes, counting.same_file, counting.same_content, selected))
    return tuple(found), counting.bytes_files, counting.bytes_content


class _Counting:
    """Of one holding: `bytes` of its files, of those that have the inode of another, and of content that is elsewhere,
    too. Of all that were counted: each file, each chunk once."""

    def __init__(self, holdings: Holdings) -> None:
        self.bytes_files = self.bytes_content = 0
        self._inodes, self._roots = holdings.keeping.repeated_inodes(), holdings.keeping.repeated_roots()
        self._inodes_seen: set[tuple[int, int]] = set()
        self._selected_seen: set[tuple[int, int]] = set()
        self._roots_seen: set[int] = set()
        # By root the numbers of the chunks that are elsewhere, too; and of those that were not the first that was
        # looked at. Packed: there may be millions.
        self._same: dict[int, array[int]] = {}
        self._again: dict[int, array[int]] = {}
        for root, number, is_another in holdings.keeping.repeated_chunks():
            self._same.setdefault(root, array("I")).append(number)
            if is_another:
                self._again.setdefault(root, array("I")).append(number)
        self.begin(None)

    def begin(self, known: Known | None) -> None:
        """Go on with another holding."""
        self._known = known
        self.bytes = self.same_file = self.same_content = 0

    def count(self, file: Sized) -> None:
        if file.size is None:  # Never seen whole: nothing of it is claimed, and none is another's.
            return
        self.bytes += file.size
        self._count_inode(file.inode, file.size)
        if file.root is None:
            self.bytes_content += file.size
            return
        is_repeated = file.root in self._roots
        self.same_content += file.size if is_repeated else self._bytes(file, self._same)
        if file.root not in self._roots_seen:
            self.bytes_content += file.size - self._bytes(file, self._again)
            if is_repeated:
                self._roots_seen.add(file.root)

    def count_selected(self, held: Holding) -> int:
        """Count what was made of selected parts of a holding; return what that takes, each file once."""
        from p2phub.formats import is_selected_name, may_give_parts  # A fetch by ticket knows no format.

        paths = frozenset() if self._known is None else {entry.path for entry in self._known.manifest.files}
        taken = 0
        for folder in {os.path.dirname(path) for path in paths if may_give_parts(path)}:
            for entry in _files_in(os.path.join(held.folder, folder)):
                if is_selected_name(entry.name) and os.path.join(folder, entry.name) not in paths:
                    status = entry.stat(follow_symlinks=False)
                    inode = status.st_dev, status.st_ino
                    taken += 0 if inode in self._selected_seen else status.st_size
                    self._selected_seen.add(inode)
        self.bytes += taken
        self.bytes_files += taken
        self.bytes_content += taken
        return taken

    def _count_inode(self, inode: tuple[int, int] | None, size: int) -> None:
        if inode not in self._inodes:
            self.bytes_files += size
            return
        assert inode is not None
        self.same_file += size
        if inode not in self._inodes_seen:
            self._inodes_seen.add(inode)
            self.bytes_files += size

    def _bytes(self, file: Sized, chunks: dict[int, array[int]]) -> int:
        """Return what those of the `chunks` that are in a file come to."""
        numbers = chunks.get(file.root) if file.root is not None else None
        if numbers is None or self._known is None or file.number >= self._known.table.files:
            return 0
        first, stop = self._known.table.span(file.number)
        return sum(self._known.table.chunk(first + number).length for number in numbers if first + number < stop)


def _files_in(folder: str) -> list[os.DirEntry[str]]:
    """Return the regular files of a folder; none where it is away."""
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if entry.is_file(follow_symlinks=False)]
    except OSError:
        return []
