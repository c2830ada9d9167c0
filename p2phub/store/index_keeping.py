"""What the index is asked to keep and to collect: when something was used last, which blobs are needed, what is left
over of what was forgotten, and what this disk holds more than once.

Each question takes moments, or is asked in parts that do: whoever serves asks the same index, one thread at a time.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from p2phub.content import Digest
from p2phub.store.database import Database
from p2phub.store.index import ROWS_AT_ONCE, HoldingRow, key_of
from p2phub.store.interface import Origin

PARTS = 1024  # Of the keys of chunks, which are spread evenly: 10 million rows are 10,000 a part.
ROWS_DROPPED_AT_ONCE = 8192
_KEY_MIN, _KEYS = -(1 << 63), 1 << 64


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


class KeepingIndex:
    """Asks `database`, as `index.Index` does. Thread-safe. Methods raise DiskError."""

    def __init__(self, database: Database) -> None:
        self._do = database.do

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

    # --- what was forgotten ----------------------------------------------------------------------------------------

    def retire(self, row: HoldingRow) -> None:
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
        """Remove the rows of a retired holding, but those of its chunks, which `Index.drop_chunks` finds."""
        for table, column in (("file", "number"), ("part", "part, number"), ("needed", "key")):
            first = f"SELECT {column} FROM {table} WHERE holding = ?1 LIMIT {ROWS_DROPPED_AT_ONCE}"
            query = f"DELETE FROM {table} WHERE holding = ?1 AND ({column}) IN ({first})"
            while self._do(lambda db, query=query: db.execute(query, (holding,)).rowcount):  # type: ignore[misc]
                pass
        self._do(lambda db: db.execute("DELETE FROM used WHERE holding = ?", (holding,)))
        self._do(lambda db: db.execute("DELETE FROM gone WHERE holding = ?", (holding,)))

    def drop_chunks_of(self, holdings: Sequence[int]) -> None:
        """Remove the rows of the chunks of some retired holdings of which nobody knows any more which those are. Reads
        all rows."""
        ids = ", ".join(map(str, holdings))
        query = f"DELETE FROM chunk WHERE key BETWEEN ? AND ? AND holding IN ({ids})"
        for bounds in self._parts():
            self._do(lambda db, bounds=bounds: db.execute(query, bounds))  # type: ignore[misc]

    # --- which blobs are needed ------------------------------------------------------------------------------------

    def needed(self, first: bytes, without: frozenset[int] = frozenset()) -> set[int]:
        """Return the keys that begin with the byte `first` of blobs that a holding needs, but for those of the ids
        `without`."""
        query = "SELECT key, holding FROM needed WHERE key BETWEEN ? AND ?"
        bounds = key_of(first + b"\0" * 7), key_of(first + b"\xff" * 7)
        rows = self._do(lambda db: db.execute(query, bounds).fetchall())
        without |= {holding for holding, _ in self.gone()}
        return {key for key, holding in rows if holding not in without}

    # --- what is held more than once -------------------------------------------------------------------------------

    def repeated_chunks(self) -> Iterator[tuple[int, int, bool]]:
        """Yield (holding, number, whether it was told before) of each chunk that is held at more than one place."""
        query = (
            "SELECT key, holding, number FROM chunk WHERE key BETWEEN ?1 AND ?2 AND key IN"
            " (SELECT key FROM chunk WHERE key BETWEEN ?1 AND ?2 GROUP BY key HAVING count(*) > 1)"
            " ORDER BY key, holding, number"
        )
        for bounds in self._parts():
            last: int | None = None
            for key, holding, number in self._do(lambda db, bounds=bounds: db.execute(query, bounds).fetchall()):  # type: ignore[misc]
                yield holding, number, key == last
                last = key

    def inodes(self, holding: int, after: int) -> list[tuple[int, int | None, int | None, int]]:
        """Return (number, device, inode, bytes) of some thousand files of a holding, from number `after` + 1 on."""
        query = (
            "SELECT number, device, inode, coalesce(size, 0) FROM file WHERE holding = ? AND number > ?"
            f" ORDER BY number LIMIT {ROWS_AT_ONCE}"
        )
        return self._do(lambda db: db.execute(query, (holding, after)).fetchall())

    def repeated_inodes(self) -> set[tuple[int, int]]:
        """Return (device, inode) of the files that are part of more than one holding, or twice of one."""
        query = "SELECT device, inode FROM file WHERE inode IS NOT NULL GROUP BY device, inode HAVING count(*) > 1"
        return set(self._do(lambda db: db.execute(query).fetchall()))

    def _parts(self) -> Iterator[tuple[int, int]]:
        """Yield the first and last key of each part of all keys; of few rows there is one."""
        query = f"SELECT 1 FROM chunk LIMIT 1 OFFSET {ROWS_AT_ONCE}"
        parts = 1 if self._do(lambda db: db.execute(query).fetchone()) is None else PARTS
        step = _KEYS // parts
        for part in range(parts):
            first = _KEY_MIN + part * step
            yield first, first + step - 1
