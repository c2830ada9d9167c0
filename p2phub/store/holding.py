"""What is told of a manifest that is held: where, by whose will, and how its files stand."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

import msgspec

from p2phub.content import Digest, RangeSet


class Origin(Enum):
    """How files came to be where a manifest is held, and so whose they are and what may be done to them."""

    PUBLISHED = "published"  # The user's: only ever read.
    FETCHED = "fetched"  # Made by us where the user said: theirs from then on, but they may have us repair it.
    ADOPTED = "adopted"  # Another program's, or the user's: only ever read.
    OWN = "own"  # In the home's own store: may be collected.
    SHARED = "shared"  # In an attached place (`sharing`): somebody else's, and only a claim until it was hashed here.


class Provenance(msgspec.Struct, frozen=True):
    """Where an adopted manifest was found: in which `cache` ("hf", "ollama", …), called what, at which of the hub's
    commits (40 hex digits), if it has any. Of what an attached place lists: "shared", and the place."""

    cache: str
    name: str
    revision: str | None = None


DRAFT = Provenance("draft", "")
"""Of what was published of a draft: its files are in the home's own store, and nobody's else."""


class Holding(msgspec.Struct, frozen=True):
    """A manifest whose files stand in `folder`, or, adopted, where each was found. `held`: which chunks are verified
    there. `files_here` of its `files` are as they were hashed; `files_damaged` were there, and are not, or not so.
    `replaced`: others are gone since a newer version was recorded in the folder, which are not counted as damaged.
    `bytes_selected`: of the files that were selected, and of those that were made of what was; None: of all of it.
    `problem`: why it is not known what the manifest is, and so nothing of it claimed."""

    manifest: Digest
    folder: Path
    held: RangeSet
    complete: bool
    bytes_total: int
    files: int
    origin: Origin = Origin.FETCHED
    source: Provenance | None = None
    files_here: int = 0
    files_damaged: int = 0
    replaced: bool = False
    bytes_selected: int | None = None
    problem: str | None = None


class HeldAt(msgspec.Struct, frozen=True):
    """That a folder holds a manifest, whatever became of its files."""

    manifest: Digest
    folder: Path
    origin: Origin
    source: Provenance | None = None


class LookedAgain(msgspec.Struct, frozen=True):
    """What a look at a file in doubt came to: at how many places it is right and held again; where it is `lost`, and in
    which holdings of those, by their folders, it is not there at all, as if its disk were not mounted (`away`)."""

    restored: int = 0
    lost: tuple[str, ...] = ()
    away: tuple[Path, ...] = ()


class Away(msgspec.Struct, frozen=True):
    """A holding of which something is not there: `file` is one that is in doubt, and cannot be opened."""

    manifest: Digest
    folder: Path
    file: int
