"""How a fetch begins to be written: look at the destination, say what is in the way, make sure of the room.

Everything here is undone if it fails: a folder that was not there is gone again, preallocated files too, and what an
earlier attempt left stays. Source: docs/design/store.md.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from p2phub.content import ChunkTable, Digest, RangeSet
from p2phub.errors import Occupied
from p2phub.manifest import Manifest, check_path, check_paths
from p2phub.observe import some_of
from p2phub.store.arrival import FilesystemArrival, Record
from p2phub.store.destination import Destination, blocks
from p2phub.store.disk import PREALLOCATE_ABOVE_BYTES, WRITE_FLAGS, Disk, disk_errors
from p2phub.store.fingerprints import Fingerprint
from p2phub.store.folders import Tree, fingerprint
from p2phub.store.interface import Judge
from p2phub.store.journal import Binding, Journal, Remembered, read_journal
from p2phub.store.making import in_the_way
from p2phub.store.selected import Selected
from p2phub.store.survey import Known, Survey, look_over

if TYPE_CHECKING:
    from p2phub.store.linking import Linker

AsHashed = Callable[[str, Fingerprint], bool]
"""Whether a file at a path of the destination is as it was when something held there was hashed."""


def begin_arrival(
    disk: Disk,
    manifest: Manifest,
    digest: Digest,
    table: ChunkTable,
    folder: Path,
    *,
    force: bool,
    known: Known,
    as_hashed: AsHashed = lambda path, found: False,
    record: Record,
    secret: bytes,
    selected: Selected | None = None,
    judge: Judge | None = None,
    linker: Linker | None = None,
) -> FilesystemArrival:
    """Begin or resume; `secret` is the home's, and tells which journals are its own. `linker`: gives places to files
    that are here already, before there is looked for room.

    Raises Occupied, DiskFull, DiskError; Malformed for paths that no manifest may have.
    """
    assert table.files == len(manifest.files)
    assert table.bytes_total == manifest.bytes_total
    for entry in manifest.files:
        check_path(entry.path)  # Who made the manifest checked it; the disk's safety rests on it, so here again.
    if selected is not None and selected.made:  # Nor may these be one with another file, on whatever file system.
        goes = (manifest.files[number].path for number in selected.files)
        check_paths([*goes, *(each.path for each in selected.made)])
    with disk_errors(f"write to {folder}", option="--into"):
        destination = Destination(disk, folder, digest)
        try:
            binding = Binding(digest.raw, table.files, len(table), table.bytes_total)
            past = read_journal(destination.partials, binding, secret)
            survey = look_over(manifest, table, destination.tree, destination.partials, past, known, selected)
            _refuse_if_occupied(manifest, folder, survey, destination.tree, selected, as_hashed, force=force)
            if linker is not None:
                linker.link(manifest, table, destination, survey, selected)
            _preallocate(disk, manifest, table, destination, survey, selected)
            # What an earlier attempt put in its place may lie under its number again after a power cut.
            standing = RangeSet.of(table.span(number) for number in survey.placed)
            left = Remembered(survey.marked | standing, survey.placed, survey.hinted, survey.lying)
            with contextlib.ExitStack() as undo:
                journal = Journal(disk, destination.partials, binding, left, secret)
                undo.callback(journal.close)
                _write_anew(disk, destination, survey)
                if linker is not None:
                    linker.record()
                undo.pop_all()
        except BaseException:
            if linker is not None:
                linker.undo(destination)
            if destination.fresh:
                with contextlib.suppress(OSError):
                    destination.clear()
                    destination.unmake()
            destination.close()
            raise
    return FilesystemArrival(
        disk,
        manifest,
        digest,
        table,
        destination,
        journal,
        survey,
        record,
        force=force,
        selected=selected,
        judge=judge,
    )


def _write_anew(disk: Disk, destination: Destination, survey: Survey) -> None:
    """Write over what the disk could not read of unfinished files: the drive puts that elsewhere, and what comes can be
    written beside it. Raises OSError."""
    if not survey.failing:
        return
    disk.fsync(destination.partials)  # First the journal that does not name what is there any more.
    for number, stretches in survey.failing.items():
        fd = disk.open(str(number), WRITE_FLAGS, dir_fd=destination.partials)
        try:
            size = os.fstat(fd).st_size
            for start, stop in sorted(stretches):
                if stop >= size:  # The end of its last block is behind its end, and could not be written over.
                    disk.truncate(fd, start)
                    break
                disk.pwrite(fd, bytes(stop - start), start)
        finally:
            os.close(fd)


def _refuse_if_occupied(
    manifest: Manifest,
    folder: Path,
    survey: Survey,
    tree: Tree,
    selected: Selected | None,
    as_hashed: AsHashed,
    *,
    force: bool,
) -> None:
    blocked = {manifest.files[number].path: why for number, why in sorted(survey.blocked.items())}
    others = {manifest.files[number].path: why for number, why in sorted(survey.in_the_way.items())}
    if selected is not None and selected.made:
        more_blocked, more_others = in_the_way(tree, selected.made)
        blocked, others = blocked | more_blocked, others | more_others
    found = blocked if force else blocked | others
    if not found:
        return
    if not blocked and all(_is_as_hashed(tree, path, as_hashed) for path in others):
        raise Occupied(
            f"{folder} holds another version, which is as it was fetched or published: {some_of(list(others))}",
            hint="--force replaces it; or choose another folder with --into",
        )
    named = some_of([f"{path} ({why})" for path, why in found.items()])
    hint = "choose another folder with --into" + ("" if blocked else ", or replace them with --force")
    raise Occupied(f"{folder} holds other files where these would go: {named}", hint=hint)


def _is_as_hashed(tree: Tree, path: str, as_hashed: AsHashed) -> bool:
    status = tree.status(path)
    return status is not None and stat.S_ISREG(status.st_mode) and as_hashed(path, fingerprint(status))


def _preallocate(
    disk: Disk,
    manifest: Manifest,
    table: ChunkTable,
    destination: Destination,
    survey: Survey,
    selected: Selected | None,
) -> None:
    """Make sure of the room for all, then take it for large files; of those of which only a part is selected, and of
    those made of them, the room is looked for and not taken. Raises DiskFull, OSError; then takes nothing."""
    files = range(table.files) if selected is None else selected.files
    wanted = [
        (number, manifest.files[number].size)
        for number in files
        if number not in survey.placed and number not in survey.kept
    ]
    room = sum(max(0, blocks(size) - survey.partial.get(number, 0)) for number, size in wanted)
    if selected is not None:
        inside = selected.chunks - RangeSet.of(table.span(number) for number in selected.files)
        inside -= survey.marked | survey.hinted | survey.whole
        room += table.bytes_of(inside) + sum(blocks(each.bytes_most) for each in selected.made)
    destination.need_room(room)
    made: list[str] = []
    try:
        for number, size in wanted:
            if size <= PREALLOCATE_ABOVE_BYTES or survey.partial.get(number, 0) >= size:
                continue
            if number not in survey.partial:
                made.append(str(number))
            fd = disk.open(str(number), WRITE_FLAGS | os.O_CREAT, dir_fd=destination.partials)
            try:
                disk.allocate(fd, size)
            finally:
                os.close(fd)
    except OSError:
        for name in made:
            with contextlib.suppress(OSError):
                disk.unlink(name, dir_fd=destination.partials)
        raise
