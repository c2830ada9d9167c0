"""What the index is asked to keep and to collect: when something was used last, which blobs are needed, what is left
over of what was forgotten, and what this disk holds more than once.

Each question takes moments, or is asked in parts that do: whoever serves asks the same index, one thread at a time.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import msgspec

from p2phub.content import Digest
from p2phub.store.database import Database
from p2phub.store.holding import Origin
from p2phub.store.index import ROWS_AT_ONCE, HoldingRow, contents_of, give_up_unheld, key_of
from p2phub.store.index_content import ContentIndex

ROWS_DROPPED_AT_ONCE = 8192


class OwnRow(msgspec.Struct, frozen=True):
    """A holding in the home's own store. `place`: its folder, as `os.fsencode` has it; `bytes`: of its files when they
    were hashed; `used_at`: Unix seconds, 0 if nobody noted; `others`: how many others held it then, None if nobody
    knew."""

    id: int
    manifest: Digest
    place: bytes
    bytes: int
    used_at: int
    others: int | None


class PlacedRow(msgspec.Struct, frozen=True):
    """A holding, by where it stands. `folder` as `os.fsencode` has it; `used_at`: Unix seconds, 0 if nobody noted."""

    id: int
    manifest: Digest
    folder: bytes
    origin: Origin
    used_at: int


class Sized(msgspec.Struct, frozen=True):
    """A file of a holding: its number, which it is on the disk (device, inode), its bytes when it was hashed, None if
    it was not; and the key of its root."""

    number: int
    inode: tuple[int, int] | None
    size: int | None
    root: int | None


class KeepingIndex:
    """Asks `database`, as `index.Index` does. Thread-safe. Methods raise DiskError."""

    def __init__(self, database: Database, contents: ContentIndex) -> None:
        self._do = database.do
        self._contents = contents

    # --- what was used ---------------------------------------------------------------------------------------------

    def own(self) -> Iterator[OwnRow]:
        """Yield the holdings of the home's own store, some thousands at a time, the oldest first."""
        query = (
            "SELECT id, manifest, folder, (SELECT sum(size) FROM file WHERE file.holding = id), at, others"
            " FROM holding LEFT JOIN used ON used.holding = id"
            f" WHERE id > ? AND origin = '{Origin.OWN.value}' ORDER BY id LIMIT {ROWS_AT_ONCE}"
        )
        after = 0
        while True:
            rows = self._do(lambda db, after=after: db.execute(query, (after,)).fetchall())  # type: ignore[misc]
            for number, manifest, folder, size, at, others in rows:
                yield OwnRow(number, Digest(manifest), folder, size or 0, at or 0, others)
            if len(rows) < ROWS_AT_ONCE:
                return
            after = rows[-1][0]

    def note_used(self, holding: int, at: int) -> None:
        """Note that a holding was used at `at`; nothing if it is gone."""
        query = (
            "INSERT INTO used (holding, at) SELECT id, ? FROM holding WHERE id = ?"
            " ON CONFLICT (holding) DO UPDATE SET at = max(at, excluded.at)"
        )
        self._do(lambda db: db.execute(query, (at, holding)))

    def note_others(self, manifest: Digest, others: int) -> None:
        """Note how many others hold a manifest that is held in the own store."""
        query = (
            "INSERT INTO used (holding, at, others)"
            f" SELECT id, 0, ?1 FROM holding WHERE manifest = ?2 AND origin = '{Origin.OWN.value}'"
            " ON CONFLICT (holding) DO UPDATE SET others = ?1"
        )
        self._do(lambda db: db.execute(query, (others, manifest.raw)))

    def folders(self) -> set[bytes]:
        """Return the folders that hold anything, whosever they are."""
        return {folder for (folder,) in self._do(lambda db: db.execute("SELECT folder FROM holding").fetchall())}

    def is_needed_by_others(self, folder: Path, ids: Sequence[int]) -> bool:
        """Whether a holding but those of `ids` has this folder, one in it or around it, or a file in it: published from
        there, say, or adopted."""
        place = os.fsencode(folder)
        below = place + b"/", place + b"0"  # "0" comes after "/".
        here = (place, *(os.fsencode(parent) for parent in folder.parents))
        others = f"id NOT IN ({', '.join(map(str, ids))})"
        marks = ", ".join("?" * len(here))
        queries: list[tuple[str, Sequence[bytes]]] = [
            (f"SELECT 1 FROM holding WHERE {others} AND folder IN ({marks}) LIMIT 1", here),
            (f"SELECT 1 FROM holding WHERE {others} AND folder > ? AND folder < ? LIMIT 1", below),
            ("SELECT 1 FROM file WHERE place IS NOT NULL AND place > ? AND place < ? LIMIT 1", below),
        ]
        return any(
            self._do(lambda db, query=query, values=values: db.execute(query, values).fetchone()) is not None  # type: ignore[misc]
            for query, values in queries
        )

    def used_by_others(self, folder: Path) -> tuple[list[bytes], list[bytes]]:
        """Return where holdings stand that are none of the own store's; and which of those folders, and of single
        files, are below `folder`; in order. As `is_needed_by_others` looks at one, for many."""
        below = os.fsencode(folder) + b"/", os.fsencode(folder) + b"0"
        others = f"SELECT folder FROM holding WHERE origin != '{Origin.OWN.value}'"
        files = "SELECT place FROM file WHERE place IS NOT NULL AND place > ?1 AND place < ?2"
        inside = f"{others} AND folder > ?1 AND folder < ?2 UNION {files} ORDER BY 1"

        def ask(db: sqlite3.Connection) -> tuple[list[bytes], list[bytes]]:
            everywhere = [place for (place,) in db.execute(f"{others} ORDER BY 1")]
            return everywhere, [place for (place,) in db.execute(inside, below)]

        return self._do(ask)

    def is_held_at(self, folders: Sequence[bytes]) -> bool:
        """Whether a holding that is none of the own store's has one of these folders itself."""
        marks = ", ".join("?" * len(folders))
        query = f"SELECT 1 FROM holding WHERE origin != '{Origin.OWN.value}' AND folder IN ({marks}) LIMIT 1"
        return self._do(lambda db: db.execute(query, folders).fetchone()) is not None

    def held_below(self, folders: Sequence[bytes]) -> list[PlacedRow]:
        """Return the holdings whose folder is below one of these, of which none is below another."""
        query = (
            "SELECT id, manifest, folder, origin, at FROM holding LEFT JOIN used ON used.holding = id"
            f" WHERE {_below('folder', folders)} ORDER BY id"
        )
        rows = self._do(lambda db: db.execute(query, _bounds(folders)).fetchall())
        return [
            PlacedRow(number, Digest(manifest), folder, Origin(origin), at or 0)
            for number, manifest, folder, origin, at in rows
        ]

    def placed_by_others(self, folders: Sequence[bytes]) -> list[bytes]:
        """Return the places below these folders of single files that something holds that was not adopted there."""
        query = (
            "SELECT place FROM file JOIN holding ON holding.id = file.holding"
            f" WHERE {_below('place', folders)}"
            f" AND NOT (origin = '{Origin.ADOPTED.value}' AND ({_below('folder', folders)}))"
        )
        bounds = [*_bounds(folders), *_bounds(folders)]
        return [place for (place,) in self._do(lambda db: db.execute(query, bounds).fetchall())]

    def bytes_placed(self, folders: Sequence[bytes]) -> int:
        """Return what the files below these folders come to that something holds by their place, each once."""
        query = (
            "SELECT sum(size) FROM (SELECT DISTINCT device, inode, size FROM file JOIN holding"
            f" ON holding.id = file.holding WHERE size IS NOT NULL AND ({_below('place', folders)}))"
        )
        (found,) = self._do(lambda db: db.execute(query, _bounds(folders)).fetchone())
        return found or 0

    # --- what was forgotten ----------------------------------------------------------------------------------------

    def retire(self, row: HoldingRow | PlacedRow) -> None:
        """Forget a holding at once, however many files it has: its rows elsewhere go by `gone` and `drop_rows`."""

        def forget(db: sqlite3.Connection) -> None:
            db.execute("PRAGMA foreign_keys = OFF")  # Else all its rows went with it, in one step.
            try:
                with db:
                    db.execute("BEGIN IMMEDIATE")
                    db.execute("INSERT OR REPLACE INTO gone VALUES (?, ?)", (row.id, row.manifest.raw))
                    db.execute("DELETE FROM holding WHERE id = ?", (row.id,))
            finally:
                db.execute("PRAGMA foreign_keys = ON")

        self._do(forget)

    def gone(self) -> list[tuple[int, Digest]]:
        """Return (id, manifest) of what was retired and has rows left."""
        query = "SELECT holding, manifest FROM gone ORDER BY holding"
        return [(number, Digest(manifest)) for number, manifest in self._do(lambda db: db.execute(query).fetchall())]

    def drop_rows(self, holding: int) -> None:
        """Remove the rows of a retired holding, some at a time. Those of contents that nothing else has are still
        there: `ContentIndex.unheld`."""
        while self._do(lambda db: _drop_files(db, holding)):
            pass
        for table, column in (("part", "part, number"), ("needed", "key")):
            first = f"SELECT {column} FROM {table} WHERE holding = ?1 LIMIT {ROWS_DROPPED_AT_ONCE}"
            query = f"DELETE FROM {table} WHERE holding = ?1 AND ({column}) IN ({first})"
            while self._do(lambda db, query=query: db.execute(query, (holding,)).rowcount):  # type: ignore[misc]
                pass
        self._do(lambda db: db.execute("DELETE FROM used WHERE holding = ?", (holding,)))
        self._do(lambda db: db.execute("DELETE FROM gone WHERE holding = ?", (holding,)))

    # --- which blobs are needed ------------------------------------------------------------------------------------

    def needed(self, first: bytes, without: frozenset[int] = frozenset()) -> set[int]:
        """Return the keys that begin with the byte `first` of blobs that a holding needs, but for those of the ids
        `without`, among which are those that are `gone`."""
        query = "SELECT key, holding FROM needed WHERE key BETWEEN ? AND ?"
        bounds = key_of(first + b"\0" * 7), key_of(first + b"\xff" * 7)
        rows = self._do(lambda db: db.execute(query, bounds).fetchall())
        return {key for key, holding in rows if holding not in without}

    # --- what is held more than once -------------------------------------------------------------------------------

    def repeated_roots(self) -> set[int]:
        """Return the roots that more than one file has, of one holding or of several."""
        query = "SELECT root FROM file WHERE root IS NOT NULL AND size IS NOT NULL GROUP BY root HAVING count(*) > 1"
        return {root for (root,) in self._do(lambda db: db.execute(query).fetchall())}

    def repeated_chunks(self) -> Iterator[tuple[int, int, bool]]:
        """Yield (root, number in the file, whether it was told before) of each chunk that is in more than one content,
        or twice in one; each content is looked at once, however many files have it."""
        # What no file has (or none but of what was never whole here) is not there: it may be on its way out.
        held = "EXISTS (SELECT 1 FROM file WHERE file.root = each.root AND size IS NOT NULL)"
        query = (
            "WITH each AS (SELECT key, root, number FROM chunk WHERE key BETWEEN ?1 AND ?2 UNION ALL"
            " SELECT DISTINCT root, root, 0 FROM file WHERE root BETWEEN ?1 AND ?2"
            " AND NOT EXISTS (SELECT 1 FROM content WHERE content.root = file.root))"
            " SELECT key, root, number FROM each WHERE key IN (SELECT key FROM each GROUP BY key HAVING count(*) > 1)"
            f" AND {held} ORDER BY key, root, number"
        )
        for bounds in self._contents.parts_of_keys():
            rows = self._do(lambda db, bounds=bounds: db.execute(query, bounds).fetchall())  # type: ignore[misc]
            for _, same in groupby(rows, key=lambda row: row[0]):
                places = [(root, number) for _, root, number in same]
                if len(places) > 1:
                    yield from ((*place, at > 0) for at, place in enumerate(places))

    def sized(self, holding: int, after: int) -> list[Sized]:
        """Return some thousand files of a holding, from number `after` + 1 on."""
        query = (
            "SELECT number, device, inode, size, root FROM file WHERE holding = ? AND number > ?"
            f" ORDER BY number LIMIT {ROWS_AT_ONCE}"
        )
        rows = self._do(lambda db: db.execute(query, (holding, after)).fetchall())
        return [
            Sized(number, None if device is None or inode is None else (device, inode), size, root)
            for number, device, inode, size, root in rows
        ]

    def repeated_inodes(self) -> set[tuple[int, int]]:
        """Return (device, inode) of the files that are part of more than one holding, or twice of one."""
        query = "SELECT device, inode FROM file WHERE inode IS NOT NULL GROUP BY device, inode HAVING count(*) > 1"
        return set(self._do(lambda db: db.execute(query).fetchall()))


def _below(column: str, folders: Sequence[bytes]) -> str:
    return "(" + " OR ".join([f"({column} > ? AND {column} < ?)"] * len(folders)) + ")"


def _bounds(folders: Sequence[bytes]) -> list[bytes]:
    return [folder + end for folder in folders for end in (b"/", b"0")]  # "0" comes after "/".


def _drop_files(db: sqlite3.Connection, holding: int) -> int:
    """Remove some thousand files of a retired holding; return how many."""
    with db:
        db.execute("BEGIN IMMEDIATE")
        roots = contents_of(db, holding, count=ROWS_DROPPED_AT_ONCE)
        first = f"SELECT number FROM file WHERE holding = ?1 ORDER BY number LIMIT {ROWS_DROPPED_AT_ONCE}"
        query = f"DELETE FROM file WHERE holding = ?1 AND number IN ({first})"
        dropped = db.execute(query, (holding,)).rowcount
        give_up_unheld(db, roots)
    return dropped
