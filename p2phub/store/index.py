"""What the index knows (`index.sqlite`): which manifests stand in which folders, each file's fingerprint when hashed,
which chunks are in which of them, and what was hashed that no holding has yet.

One method a question. How the database is opened, and begun again when it is damaged: `database`.
"""

from __future__ import annotations

import os
import sqlite3
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from p2phub.content import DIGEST_BYTES, Digest
from p2phub.store.database import DOUBTED, HELD, Begun, Database
from p2phub.store.interface import Fingerprint, Origin

_KEY = struct.Struct(f">q{DIGEST_BYTES - 8}x")
ROWS_AT_ONCE = 4096  # What a reader of many rows holds in memory; between two pages others get their turn.
PLACES_TOLD_MAX = 16  # Of one chunk, which may be in many versions of a model: one that can be read is enough.


class FileRow(msgspec.Struct, frozen=True):
    """One file of a holding: `fingerprint` is that of when it was hashed, None if it never was by this index."""

    number: int
    standing: int
    fingerprint: Fingerprint | None
    place: bytes | None = None  # Its absolute path, where that is not its path in the manifest below the folder.


class HoldingRow(msgspec.Struct, frozen=True):
    """`source`: packed as `holdings` has it; None: nothing is noted."""

    id: int
    manifest: Digest
    folder: Path
    origin: Origin
    source: bytes | None


class Index:
    """The index of one home. Thread-safe. `begin_again` says what a new one begins with. Methods raise DiskError."""

    def __init__(self, home: Path, begin_again: Callable[[], Iterable[Begun]]) -> None:
        self.database = Database(home, begin_again)
        self._do = self.database.do

    # --- what it knows ---------------------------------------------------------------------------------------------

    def holdings(self, manifest: Digest | None = None) -> list[HoldingRow]:
        """Return all holdings, or those of one manifest, newest first."""
        # Two queries: with one for both, a manifest would be looked for among all.
        of = "" if manifest is None else "WHERE manifest = ?"
        query = f"SELECT id, manifest, folder, origin, source FROM holding {of} ORDER BY id DESC"
        values = () if manifest is None else (manifest.raw,)
        rows = self._do(lambda db: db.execute(query, values).fetchall())
        return [
            HoldingRow(number, Digest(manifest), Path(os.fsdecode(folder)), _origin(origin), source)
            for number, manifest, folder, origin, source in rows
        ]

    def files(self, holding: int) -> Iterator[FileRow]:
        """Yield the files of a holding, by number, a page at a time: a change made meanwhile may be told or not."""
        columns = "number, standing, place, device, inode, size, mtime_ns, ctime_ns"
        query = f"SELECT {columns} FROM file WHERE holding = ? AND number >= ? ORDER BY number LIMIT {ROWS_AT_ONCE}"
        for rows in self._pages(query, holding):
            for number, standing, place, *values in rows:
                yield FileRow(number, standing, _fingerprint(*values), place)

    def held(self, holding: int) -> Iterator[int]:
        """Yield the numbers of the files that are known to be what was hashed; none of a holding that is gone."""
        query = (
            "SELECT number FROM file WHERE holding = ? AND number >= ?"
            f" AND standing <> {DOUBTED} ORDER BY number LIMIT {ROWS_AT_ONCE}"
        )
        for rows in self._pages(query, holding):
            for (number,) in rows:
                yield number

    def _pages(self, query: str, holding: int) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the rows of `query`, which takes a holding and the first number, some thousands at a time."""
        first = 0
        while True:
            rows = self._do(lambda db, first=first: db.execute(query, (holding, first)).fetchall())  # type: ignore[misc]
            yield rows
            if len(rows) < ROWS_AT_ONCE:
                return
            first = rows[-1][0] + 1

    def file(self, holding: int, number: int) -> FileRow | None:
        """Return one file of a holding, None if it has no such file."""
        query = (
            "SELECT standing, place, device, inode, size, mtime_ns, ctime_ns FROM file WHERE holding = ? AND number = ?"
        )
        row = self._do(lambda db: db.execute(query, (holding, number)).fetchone())
        return None if row is None else FileRow(number, row[0], _fingerprint(*row[2:]), row[1])

    def hold(
        self,
        manifest: Digest,
        folder: Path,
        files: Callable[[], Iterable[tuple[int, Fingerprint | None, bytes | None]]],
        *,
        origin: Origin,
        source: bytes | None = None,
    ) -> None:
        """Record that `folder` has the files of `manifest`: (standing, fingerprint, place) each, which `files` yields,
        anew if the index turns out to be damaged. Durable on return; `index_chunks` is still to be called."""

        def record(db: sqlite3.Connection) -> None:
            with db:
                db.execute("BEGIN IMMEDIATE")
                where = (manifest.raw, os.fsencode(folder))
                # A new row, not the old one again: the newest holding of a folder is asked first.
                db.execute("DELETE FROM holding WHERE manifest = ? AND folder = ?", where)
                insert = "INSERT INTO holding (manifest, folder, origin, source) VALUES (?, ?, ?, ?)"
                made = db.execute(insert, (*where, origin.value, source)).lastrowid
                db.executemany(
                    "INSERT INTO file VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        (made, number, standing, *_values(known), place)
                        for number, (standing, known, place) in enumerate(files())
                    ),
                )

        self._do(record)

    def stand(self, holding: int, file: int, row: FileRow) -> None:
        """Record how one file stands now."""
        query = (
            "UPDATE file SET standing = ?, device = ?, inode = ?, size = ?, mtime_ns = ?, ctime_ns = ?, place = ?"
            " WHERE holding = ? AND number = ?"
        )
        self._do(lambda db: db.execute(query, (row.standing, *_values(row.fingerprint), row.place, holding, file)))

    def relinked(self, changes: Mapping[Fingerprint, Fingerprint]) -> None:
        """Record that files are the same as before but for their fingerprint, which a further name changed, wherever
        they are held. It is not trusted: it is too young."""
        by_values = {_values(was): _values(now)[4] for was, now in changes.items()}

        def record(db: sqlite3.Connection) -> None:
            # One pass over all files: there is no index of inodes, for this alone.
            query = (
                f"SELECT holding, number, device, inode, size, mtime_ns, ctime_ns FROM file WHERE standing != {DOUBTED}"
            )
            with db:
                db.execute("BEGIN IMMEDIATE")
                found = [(by_values[row[2:]], *row[:2]) for row in db.execute(query) if row[2:] in by_values]
                db.executemany(
                    f"UPDATE file SET standing = {HELD}, ctime_ns = ? WHERE holding = ? AND number = ?", found
                )

        self._do(record)

    def is_adopted(self, device: int, inode: int) -> bool:
        """Whether a file is held as one that another program owns, under any name."""
        query = (
            "SELECT 1 FROM file JOIN holding ON holding.id = file.holding"
            " WHERE holding.origin = ? AND inode = ? AND device = ? LIMIT 1"
        )
        where = (Origin.ADOPTED.value, _signed(inode), _signed(device))
        return self._do(lambda db: db.execute(query, where).fetchone()) is not None

    # --- which chunks are where ------------------------------------------------------------------------------------

    def without_chunks(self) -> list[int]:
        """Return the ids of the holdings whose chunks are not indexed yet."""
        query = "SELECT id FROM holding WHERE chunked = 0"
        return [number for (number,) in self._do(lambda db: db.execute(query).fetchall())]

    def index_chunks(
        self,
        holding: int,
        digests: bytes,
        parts: Sequence[tuple[Digest, int]],
        needed: Iterable[Digest] = (),
    ) -> None:
        """Note the chunks of a holding (their digests, packed, by number from 0), its `parts` (file alone, number of
        the file), and which blobs it needs."""

        def record(db: sqlite3.Connection) -> None:
            with db:
                db.execute("BEGIN IMMEDIATE")
                # In the order of the keys: else each row is put at another place of the tree.
                keys = keys_of(digests)
                order = sorted(range(len(keys)), key=keys.__getitem__)
                rows = ((keys[number], holding, number) for number in order)
                db.executemany("INSERT OR IGNORE INTO chunk VALUES (?, ?, ?)", rows)
                found = ((part.raw, holding, number) for part, number in parts)
                db.executemany("INSERT OR IGNORE INTO part VALUES (?, ?, ?)", found)
                blobs = ((key_of(blob.raw), holding) for blob in needed)
                db.executemany("INSERT OR IGNORE INTO needed VALUES (?, ?)", blobs)
                db.execute("UPDATE holding SET chunked = 1 WHERE id = ?", (holding,))

        self._do(record)

    def drop_chunks(self, holding: int, digests: bytes) -> None:
        """Forget the chunks of a holding that is to go, some at a time: between them others get their turn."""
        rows = ((key, holding, number) for number, key in enumerate(keys_of(digests)))
        while some := list(islice(rows, ROWS_AT_ONCE)):
            self._do(lambda db, some=some: _delete_chunks(db, some))  # type: ignore[misc]

    def find_chunk(self, digest: bytes) -> list[tuple[int, int]]:
        """Return (holding, number) of chunks that may have this digest, of the newest holdings."""
        query = f"SELECT holding, number FROM chunk WHERE key = ? ORDER BY holding DESC LIMIT {PLACES_TOLD_MAX}"
        key = (key_of(digest),)
        return self._do(lambda db: db.execute(query, key).fetchall())

    def has_chunks(self) -> bool:
        """Whether any chunk is known."""
        return self._do(lambda db: db.execute("SELECT 1 FROM chunk LIMIT 1").fetchone()) is not None

    def parts(self, holding: int) -> list[Digest]:
        """Return the files alone that a holding has."""
        query = "SELECT part FROM part WHERE holding = ? ORDER BY number"
        return [Digest(part) for (part,) in self._do(lambda db: db.execute(query, (holding,)).fetchall())]

    def with_part(self, part: Digest) -> list[tuple[int, int]]:
        """Return (holding, number of the file) of each place where a file alone is, of the newest holdings first."""
        query = f"SELECT holding, number FROM part WHERE part = ? ORDER BY holding DESC LIMIT {PLACES_TOLD_MAX}"
        return self._do(lambda db: db.execute(query, (part.raw,)).fetchall())

    # --- what was hashed -------------------------------------------------------------------------------------------

    def note_hashed(self, rows: Sequence[tuple[bytes, Fingerprint, bytes]]) -> None:
        """Remember (place, fingerprint, packed entry) of files that were hashed. Durable on return."""

        def record(db: sqlite3.Connection) -> None:
            with db:
                db.execute("BEGIN IMMEDIATE")
                db.executemany("INSERT OR REPLACE INTO hashed VALUES (?, ?, ?)", rows)

        self._do(record)

    def hashed(self, place: bytes) -> tuple[Fingerprint, bytes] | None:
        """Return (fingerprint, packed entry) of what was noted of a file."""
        query = "SELECT fingerprint, entry FROM hashed WHERE place = ?"
        row = self._do(lambda db: db.execute(query, (place,)).fetchone())
        return None if row is None else (Fingerprint.unpacked(row[0]), row[1])

    def has_hashed(self) -> bool:
        """Whether anything is noted of any file."""
        return self._do(lambda db: db.execute("SELECT 1 FROM hashed LIMIT 1").fetchone()) is not None

    def hashed_places(self) -> list[bytes]:
        return [place for (place,) in self._do(lambda db: db.execute("SELECT place FROM hashed").fetchall())]

    def forget_hashed(self, places: Iterable[bytes]) -> None:
        gone = [(place,) for place in places]
        self._do(lambda db: db.executemany("DELETE FROM hashed WHERE place = ?", gone))

    def doubt(self, holding: int, file: int) -> None:
        query = "UPDATE file SET standing = ? WHERE holding = ? AND number = ?"
        self._do(lambda db: db.execute(query, (DOUBTED, holding, file)))

    def release(self, manifest: Digest, folder: Path | None) -> None:
        """Forget what `folder` holds of `manifest`, or (None) what all do."""
        query = "DELETE FROM holding WHERE manifest = ?1 AND (?2 IS NULL OR folder = ?2)"
        where = (manifest.raw, None if folder is None else os.fsencode(folder))
        self._do(lambda db: db.execute(query, where))


def _values(known: Fingerprint | None) -> tuple[int | None, ...]:
    if known is None:
        return (None,) * 5
    device, inode, size, mtime_ns, ctime_ns = known.values()
    return (_signed(device), _signed(inode), size, mtime_ns, ctime_ns)


def _fingerprint(
    device: int | None, inode: int | None, size: int | None, mtime_ns: int | None, ctime_ns: int | None
) -> Fingerprint | None:
    if device is None or inode is None or size is None or mtime_ns is None or ctime_ns is None:
        return None
    try:
        return Fingerprint(device % 2**64, inode % 2**64, size, mtime_ns, ctime_ns)
    except (struct.error, TypeError):  # No numbers that a file can have: whoever wrote them, they tell nothing.
        return None


def _origin(text: object) -> Origin:
    try:
        return Origin(text)
    except ValueError:  # Of nothing that we know may be done what is done to our own.
        return Origin.PUBLISHED


def _delete_chunks(db: sqlite3.Connection, rows: Sequence[tuple[int, int, int]]) -> None:
    with db:
        db.execute("BEGIN IMMEDIATE")
        db.executemany("DELETE FROM chunk WHERE key = ? AND holding = ? AND number = ?", rows)


def key_of(digest: bytes) -> int:
    """Return the first eight bytes of a digest as the index has them."""
    return int.from_bytes(digest[:8], "big", signed=True)


def keys_of(digests: bytes) -> list[int]:
    """Return the same of packed digests: a terabyte has a million."""
    return [key for (key,) in _KEY.iter_unpack(digests)]


def _signed(number: int) -> int:
    """SQLite's integers are signed; device and inode numbers are not."""
    return number - 2**64 if number >= 2**63 else number
