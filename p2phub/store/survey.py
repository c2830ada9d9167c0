"""What stands at a destination before a fetch writes there: files that are right already, files of an earlier attempt,
and files in the way.

Right is: of the manifest's size, and known to have its content (hashed before and untouched since), or every chunk
re-hashed now, also of what we put there: inode, size and mtime of a file are easily given to another by whoever may
write to its folder. Durable marks of the journal are believed only where the file that they were made for is still
there and long enough, and only after a spot check; hints only after a re-hash. What the disk cannot read is missing, or
in the way: else a fetch would fail at one bad sector each time it is run. Changes nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable

import msgspec

from p2phub.content import ChunkTable, Digest, RangeSet, Run
from p2phub.manifest import Manifest
from p2phub.store.destination import BLOCK_BYTES
from p2phub.store.disk import READ_FLAGS
from p2phub.store.fingerprints import Fingerprint
from p2phub.store.folders import Tree, fingerprint, names_in, open_regular
from p2phub.store.journal import FileId, Identity, Remembered
from p2phub.store.mapped import shows_writes
from p2phub.store.rehash import Unreadable, is_equal, matching_chunks
from p2phub.store.selected import Selected

Known = Callable[[str, Fingerprint], Digest | None]
"""The root that a file of the destination had when it was last hashed, if its fingerprint is still that one."""

SPOT_CHECKS_MAX = 16  # In a batch of OPEN_AT_ONCE files.
OPEN_AT_ONCE = 64
ELSEWHERE = "another file system is mounted on its way"


class Survey(msgspec.Struct):
    """`placed` by us earlier; `kept`: equal, but not ours, with its fingerprint; `in_the_way`: path and why, by file
    number; `blocked`: in the way also by force; `partial`: bytes already allocated to each unfinished file; `failing`:
    the stretches of unfinished files, by number, in which the disk failed, as (start, stop) on the edges of blocks."""

    placed: dict[int, Identity] = msgspec.field(default_factory=dict)
    kept: dict[int, Fingerprint] = msgspec.field(default_factory=dict)
    in_the_way: dict[int, str] = msgspec.field(default_factory=dict)
    blocked: dict[int, str] = msgspec.field(default_factory=dict)
    partial: dict[int, int] = msgspec.field(default_factory=dict)
    marked: RangeSet = msgspec.field(default_factory=RangeSet)  # In unfinished files, durable.
    lying: dict[int, FileId] = msgspec.field(default_factory=dict)  # The unfinished files that these are in.
    hinted: RangeSet = msgspec.field(default_factory=RangeSet)  # In unfinished files, re-hashed, perhaps not durable.
    whole: RangeSet = msgspec.field(default_factory=RangeSet)  # Of files that are in their place.
    failing: dict[int, list[Run]] = msgspec.field(default_factory=dict)


def look_over(
    manifest: Manifest,
    table: ChunkTable,
    tree: Tree,
    partials_fd: int,
    past: Remembered,
    known: Known,
    selected: Selected | None = None,
) -> Survey:
    """Look at every path of `manifest`, of what is `selected` alone if that is given, and at the unfinished files in
    `partials_fd`. Raises OSError."""
    survey = Survey()
    nothing = ""  # What the paths below a folder that is not there begin with: neighbours need no look of their own.
    elsewhere = False
    for number in range(table.files) if selected is None else _concerned(table, selected):
        entry = manifest.files[number]
        if nothing and entry.path.startswith(nothing):
            if elsewhere:
                survey.blocked[number] = ELSEWHERE
            continue
        nothing = ""
        try:
            status = tree.status(entry.path)
            elsewhere = tree.is_elsewhere()
            if status is None:
                nothing = tree.first_missing(entry.path)
        except OSError as exc:
            if exc.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            survey.blocked[number] = "a part of its path is a file or a link"
            continue
        if status is not None:
            _look_at(number, manifest, table, tree, status, past, known, survey)
        if elsewhere and (status is None or survey.in_the_way.pop(number, None) is not None):
            survey.blocked[number] = ELSEWHERE  # What stands there and is right stays as it is.
    if selected is not None:  # The others go nowhere.
        for number in [*survey.blocked, *survey.in_the_way]:
            if number not in selected.files:
                survey.blocked.pop(number, None)
                survey.in_the_way.pop(number, None)
    _look_at_partials(manifest, table, partials_fd, past, survey)
    return survey


def _concerned(table: ChunkTable, selected: Selected) -> list[int]:
    """Return the files that a selection has anything of, by number."""
    return sorted({*selected.files, *(file for file, _ in table.by_file(selected.chunks))})


def _look_at(
    number: int,
    manifest: Manifest,
    table: ChunkTable,
    tree: Tree,
    status: os.stat_result,
    past: Remembered,
    known: Known,
    survey: Survey,
) -> None:
    entry = manifest.files[number]
    if stat.S_ISDIR(status.st_mode):
        survey.blocked[number] = "a folder stands there"
    elif not stat.S_ISREG(status.st_mode):
        survey.in_the_way[number] = "a link or special file stands there"
    elif status.st_size != entry.size:
        survey.in_the_way[number] = f"another file of {status.st_size} bytes stands there"
    elif known(entry.path, fingerprint(status)) == entry.root:
        survey.kept[number] = fingerprint(status)
    else:
        folder_fd, name = tree.place(entry.path)
        fd = open_regular(name, dir_fd=folder_fd)
        try:
            before = fingerprint(os.fstat(fd))
            shows_writes(fd)  # Or what is stored through a mapping after it was read would be recorded as right.
            unreadable: list[int] = []
            equal = before.size == entry.size and is_equal(fd, table, number, unreadable.append)
            after = os.fstat(fd)
            if not equal or fingerprint(after) != before:
                why = "the disk cannot read the file that stands there" if unreadable else "another file stands there"
                survey.in_the_way[number] = why
            elif past.placed.get(number) == Identity.of(after):
                survey.placed[number] = Identity.of(after)
            else:
                survey.kept[number] = before
        finally:
            os.close(fd)


def _look_at_partials(
    manifest: Manifest, table: ChunkTable, partials_fd: int, past: Remembered, survey: Survey
) -> None:
    to_check: list[tuple[int, RangeSet, RangeSet]] = []
    for number in _partial_files(partials_fd, table.files):
        if number in survey.placed or number in survey.kept:
            continue  # Left over; whatever it is, nobody will look at it.
        status = os.stat(str(number), dir_fd=partials_fd, follow_symlinks=False)
        # A second name for one file could be a user's own: then writing here would change it.
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1 or status.st_size > manifest.files[number].size:
            survey.blocked[number] = f"the unfinished file {number} is not what was left there"
            continue
        survey.partial[number] = status.st_blocks * 512
        here = RangeSet.of([_within(table, number, status.st_size)])
        marked, hinted = past.durable & here, past.hints & here
        if not past.speaks_of(number, status):
            marked, hinted = RangeSet(), marked | hinted
        elif marked:
            survey.lying[number] = Identity.of(status).id
        if marked or hinted:
            to_check.append((number, marked, hinted))
    for at in range(0, len(to_check), OPEN_AT_ONCE):
        with contextlib.ExitStack() as opened:
            marks: list[tuple[int, RangeSet]] = []
            hints: list[tuple[int, RangeSet]] = []
            for number, marked, hinted in to_check[at : at + OPEN_AT_ONCE]:
                fd = os.open(str(number), READ_FLAGS, dir_fd=partials_fd)
                opened.callback(os.close, fd)
                marks += [(fd, marked)] if marked else []
                hints += [(fd, hinted)] if hinted else []
            unreadable: list[int] = []
            _settle(table, marks, hints, survey, unreadable.append)
            for index in unreadable:
                _leave_out(table, index, partials_fd, survey)
    survey.whole = RangeSet.of(table.span(number) for number in (*survey.placed, *survey.kept))


def _settle(
    table: ChunkTable,
    marks: list[tuple[int, RangeSet]],
    hints: list[tuple[int, RangeSet]],
    survey: Survey,
    unreadable: Unreadable,
) -> None:
    """Believe the marks, unless a sample of them is wrong: then someone wrote here, and they are hints like others."""
    samples = [(fd, chunks.first(1)) for fd, chunks in marks[:SPOT_CHECKS_MAX]]
    if len(matching_chunks(table, samples, unreadable)) == len(samples):
        survey.marked |= RangeSet.of(run for _, chunks in marks for run in chunks.runs)
    else:
        hints = hints + marks
    survey.hinted |= matching_chunks(table, hints, unreadable)


def _leave_out(table: ChunkTable, index: int, partials_fd: int, survey: Survey) -> None:
    """Count as missing a chunk that the disk cannot read, and what shares a block with it: nothing can be written to a
    part of a block whose rest cannot be read. So all of these blocks are written anew before anything goes there."""
    ref = table.chunk(index)
    block = block_bytes(os.stat(str(ref.file), dir_fd=partials_fd, follow_symlinks=False))
    start = ref.offset // block * block
    stop = -(-(ref.offset + ref.length) // block) * block
    if (start, stop) not in survey.failing.setdefault(ref.file, []):
        survey.failing[ref.file].append((start, stop))
    gone = RangeSet.of([table.covering(ref.file, start, stop)])
    survey.marked -= gone
    survey.hinted -= gone


def block_bytes(status: os.stat_result) -> int:
    """Return what of a file is written at once, at least."""
    return max(BLOCK_BYTES, status.st_blksize)


def _partial_files(partials_fd: int, files: int) -> list[int]:
    names = [name for name in names_in(partials_fd) if name.isascii() and name.isdigit()]
    return sorted(int(name) for name in names if len(name) <= 10 and name == str(int(name)) and int(name) < files)


def _within(table: ChunkTable, file: int, length: int) -> tuple[int, int]:
    """Return the run of chunks of `file` that lie wholly in its first `length` bytes."""
    first, stop = table.span(file)
    low, high = first, stop
    while low < high:  # Offsets ascend: halve.
        middle = (low + high) // 2
        ref = table.chunk(middle)
        if ref.offset + ref.length <= length:
            low = middle + 1
        else:
            high = middle
    return first, low
