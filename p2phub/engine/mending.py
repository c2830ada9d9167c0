"""Where chunks lie that are still right in files that are not: a damaged copy is the first source of its own repair.

They are looked for at their own place alone, and hashed as they are copied; nothing that was believed before, such as a
fingerprint, is believed here, for it did not notice the damage.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from p2phub.content import ChunkTable, RangeSet
from p2phub.manifest import Manifest
from p2phub.store import LocalFile, LocalRun, Store


def damaged_copies(
    manifest: Manifest, table: ChunkTable, wanted: RangeSet, folder: Path, store: Store
) -> list[LocalRun]:
    """Return where the chunks `wanted` would lie in the files of `folder`, were those what they should be."""
    runs: list[LocalRun] = []
    for start, stop in wanted.runs:
        at = start
        while at < stop:
            number = table.file_of(at)
            end = min(stop, table.span(number)[1])
            entry = manifest.files[number]
            file = LocalFile(folder / entry.path, entry.size, False, partial(store.open_in_place, folder, entry.path))
            runs.append(LocalRun(at, end - at, file, table.chunk(at).offset))
            at = end
    return runs


def distrusted(runs: Sequence[LocalRun]) -> list[LocalRun]:
    """Return `runs` so that each chunk of them is hashed, whatever the index says of the file."""
    return [replace(run, file=replace(run.file, trusted=False)) for run in runs]
