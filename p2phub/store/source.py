"""What the index has of where a holding is from: packed beside it, a list each.

adopted      cache, name, revision ("" if it has none)
a place's    SHARED_SOURCE, place, folder below it, how many files, how many chunks
fetched      WHOLE, of all of a manifest; SELECTION and the bytes of files that were made of it, or (of what was
             fetched before that was noted) nothing, of a selection
earlier      REPLACED, of what a newer version in the same folder left a part of, or nothing
"""

from __future__ import annotations

from pathlib import Path

from p2phub.errors import Damaged
from p2phub.manifest import pack, unpack
from p2phub.store.holding import Origin, Provenance
from p2phub.store.index import HoldingRow

WHOLE = ["whole"]  # In the place of a provenance: what was fetched is all of the manifest, not a selection.
SELECTION = "selection"
REPLACED = ["replaced"]
SHARED_SOURCE = "shared"


def packed_source(row: HoldingRow) -> list[object]:
    """Return what is noted of a holding, nothing if that is nothing that we wrote."""
    try:
        found = unpack(row.source or b"\x90")
    except Damaged:
        return []
    return found if isinstance(found, list) else []


def is_replaced(row: HoldingRow) -> bool:
    """Whether files of a holding were replaced by those of a newer version."""
    return packed_source(row) == REPLACED


def selection(made_bytes: int) -> list[object]:
    """Return what the index has as the source of a selection."""
    return [SELECTION, made_bytes]


def made_of_selection(row: HoldingRow) -> int | None:
    """Return the bytes of files that were made of a selection beside those that stand at their place; None of what is
    none."""
    match packed_source(row):
        case ["selection", int(made_bytes)]:
            return made_bytes
        case [] if row.origin in (Origin.FETCHED, Origin.OWN):
            return 0
    return None


def source_of(row: HoldingRow) -> Provenance | None:
    """Return where a holding was found."""
    match packed_source(row):
        case [str(cache), str(name), str(revision)]:
            return Provenance(cache, name, revision or None)
        case [str(), str(place), str(), int(), int()]:
            return Provenance(SHARED_SOURCE, place)
    return None


def shared_source(place: Path, folder: str, *, files: int, chunks: int) -> bytes:
    """Return what the index has as the source of what an attached place lists."""
    return pack([SHARED_SOURCE, str(place), folder, files, chunks])


def place_of(row: HoldingRow) -> Path | None:
    """Return the attached place that lists this; None of what the home holds by its own word."""
    source = source_of(row) if row.origin is Origin.SHARED else None
    return None if source is None else Path(source.name)


def folder_below(row: HoldingRow, place: Path) -> str:
    """Return the folder of a holding, from the place on that lists it."""
    folder = row.folder.relative_to(place).as_posix()
    return "" if folder == "." else folder
