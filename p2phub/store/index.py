"""What the index knows (`index.sqlite`): which manifests stand in which folders, each file's fingerprint when hashed,
and what was hashed, wholly or in part, that no holding has yet.

One method a question. Which chunks are where: `index_content`. How the database is opened, and begun again when it is
damaged: `database`.
"""

from __future__ import annotations

import os
import sqlite3
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from p2phub.content import DIGEST_BYTES, Digest
from p2phub.store.database import DOUBTED, HELD, TRUSTED, Begun, Database
from p2phub.store.fingerprints import Fingerprint
from p2phub.store.holding import Origin

PART_NOTE_EXTRA_BYTES = 512  # That a note of a file being hashed is longer than the digests of its chunks: some 250.
_BOUNDED = f"length(note) <= {PART_NOTE_EXTRA_BYTES} + {DIGEST_BYTES} * chunks"
_PARTS_AT_ONCE = 64
_KEY = struct.Struct(f">q{DIGEST_BYTES - 8}x")
UNHELD = "NOT EXISTS (SELECT 1 FROM file WHERE file.root = content.root)"
ROWS_AT_ONCE = 4096  # What a reader of many rows holds in memory; between two pages others get their turn.


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


class FileState(NamedTuple):
    """What is recorded of a file: how it stands, its fingerprint, its place, as `FileRow` has them; and the key of its
    root (`key_of`), None where it has no bytes."""

    standing: int
    fingerprint: Fingerprint | None
    place: bytes | None
    root: int | None


class PartRow(NamedTuple):
    """How far a file is hashed: so many chunks; `first`: there is none before it, and none of another pass shall be."""

    place: bytes
    chunks: int
    note: bytes
    first: bool


class Index:
    """The index of one home. Thread-safe. `begin_again` says what a new one begins with. Methods raise DiskError."""

    def __init__(self, home: Path, begin_again: Callable[[], Iterable[Begun]]) -> None:
        self.database = Database(home, begin_again)
        self._do = self.database.do
        self._rows: tuple[object, tuple[HoldingRow, ...]] = None, ()  # All holdings, and of what state of the index.

    # --- what it knows ---------------------------------------------------------------------------------------------

    def holdings(self, manifest: Digest | None = None) -> list[HoldingRow]:
        """Return all holdings, or those of one manifest, newest first."""
        # Two queries: with one for both, a manifest would be looked for among all.
        if manifest is not None:
            return self._holdings("WHERE manifest = ?", (manifest.raw,))
        # Kept while nothing changes: to make the paths of ten thousand takes longer than all else about them.
        state, rows = self._rows
        now = self._state()
        if state != now:
            rows = tuple(self._holdings("", ()))
            self._rows = now, rows
        return list(rows)

    def _state(self) -> object:
        """Return what is another when anything in the index was changed, by us or by another process."""
        return self._do(
            lambda db: (self.database.generation, db.total_changes, db.execute("PRAGMA data_version").fetchone())
        )

    def manifests(self) -> list[tuple[int, Digest]]:
        """Return (id, manifest) of all holdings: to make their paths takes longer than all else about them."""
        query = "SELECT id, manifest FROM holding"
        return [(number, Digest(manifest)) for number, manifest in self._do(lambda db: db.execute(query).fetchall())]

    def in_folder(self, folder: Path) -> list[HoldingRow]:
        """Return what a folder holds, newest first."""
        return self._holdings("WHERE folder = ?", (os.fsencode(folder),))

    def _holdings(self, where: str, values: tuple[bytes, ...]) -> list[HoldingRow]:
        query = f"SELECT id, manifest, folder, origin, source FROM holding {where} ORDER BY id DESC"
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
            for row in rows:
                yield file_row(*row)

    def trusted(self, holding: int, *, bytes_least: int) -> Iterator[FileRow]:
        """Yield those of them that stand below the folder, of so many bytes and more, whose fingerprint alone tells
        that they are what was hashed."""
        columns = "number, standing, place, device, inode, size, mtime_ns, ctime_ns"
        query = (
            f"SELECT {columns} FROM file WHERE holding = ? AND number >= ? AND standing = {TRUSTED} AND place IS NULL"
            f" AND size >= {bytes_least} ORDER BY number LIMIT {ROWS_AT_ONCE}"
        )
        for rows in self._pages(query, holding):
            for row in rows:
                yield file_row(*row)

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

    def at_place(self, place: bytes) -> list[tuple[int, int]]:
        """Return (holding, number) of each file that stands there, and not below its own folder."""
        query = "SELECT holding, number FROM file WHERE place = ?"
        return self._do(lambda db: db.execute(query, (place,)).fetchall())

    def hold(
        self,
        manifest: Digest,
        folder: Path,
        files: Callable[[], Iterable[FileState]],
        *,
        origin: Origin,
        source: bytes | None = None,
    ) -> int:
        """Record that `folder` has the files of `manifest`, which `files` yields, anew if the index turns out to be
        damaged. Returns its id. Durable on return; what is needed for it and its chunks are still to be noted."""

        def record(db: sqlite3.Connection) -> int:
            with db:
                db.execute("BEGIN IMMEDIATE")
                where = (manifest.raw, os.fsencode(folder))
                # A new row, not the old one again: the newest holding of a folder is asked first.
                db.execute("DELETE FROM holding WHERE manifest = ? AND folder = ?", where)
                insert = "INSERT INTO holding (manifest, folder, origin, source) VALUES (?, ?, ?, ?)"
                made = db.execute(insert, (*where, origin.value, source)).lastrowid
                db.executemany(
                    "INSERT INTO file VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        (made, number, standing, *fingerprint_values(known), place, root)
                        for number, (standing, known, place, root) in enumerate(files())
                    ),
                )
            assert made is not None
            return made

        return self._do(record)

    def stand(self, holding: int, file: int, row: FileRow) -> None:
        """Record how one file stands now."""
        query = (
            "UPDATE file SET standing = ?, device = ?, inode = ?, size = ?, mtime_ns = ?, ctime_ns = ?, place = ?"
            " WHERE holding = ? AND number = ?"
        )
        self._do(
            lambda db: db.execute(query, (row.standing, *fingerprint_values(row.fingerprint), row.place, holding, file))
        )

    def is_adopted(self, device: int, inode: int) -> bool:
        """Whether a file is held as one that another program owns, under any name."""
        query = (
            "SELECT 1 FROM file JOIN holding ON holding.id = file.holding"
            " WHERE holding.origin = ? AND inode = ? AND device = ? LIMIT 1"
        )
        where = (Origin.ADOPTED.value, _signed(inode), _signed(device))
        return self._do(lambda db: db.execute(query, where).fetchone()) is not None

    def renew(
        self, files: Iterable[tuple[int | None, Fingerprint, Fingerprint]], *, empty_of: Digest | None = None
    ) -> None:
        """Of (root, as it was, as it is) of files that got or lost a name: note wherever such a file is held that only
        its ctime is another. It is not trusted any more: it is too young. An empty one, which has no root, is looked
        for in what holds the manifest `empty_of` alone."""
        renewed = f"UPDATE file SET ctime_ns = ?, standing = min(standing, {HELD})"
        same = "device = ? AND inode = ? AND size = ? AND mtime_ns = ? AND ctime_ns = ?"
        anywhere = f"{renewed} WHERE root = ? AND {same}"
        of_it = "holding IN (SELECT id FROM holding WHERE manifest = ?) AND root IS NULL"
        here = f"{renewed} WHERE {of_it} AND {same}"
        known = [(root, now.values()[4], fingerprint_values(was)) for root, was, now in files]

        def record(db: sqlite3.Connection) -> None:
            with db:
                db.execute("BEGIN IMMEDIATE")
                db.executemany(anywhere, ((at, root, *was) for root, at, was in known if root is not None))
                if empty_of is not None:
                    db.executemany(here, ((at, empty_of.raw, *was) for root, at, was in known if root is None))

        if known:
            self._do(record)

    # --- what was hashed -------------------------------------------------------------------------------------------

    def note_hashed(self, rows: Sequence[tuple[bytes, Fingerprint, bytes]]) -> None:
        """Remember (place, fingerprint, packed entry) of files that were hashed, and no more how far they were. Durable
        on return."""

        def record(db: sqlite3.Connection) -> None:
            with db:
                db.execute("BEGIN IMMEDIATE")
                db.executemany("INSERT OR REPLACE INTO hashed VALUES (?, ?, ?)", rows)
                db.executemany("DELETE FROM hashing WHERE place = ?", ((place,) for place, _, _ in rows))

        self._do(record)

    def hashed(self, place: bytes) -> tuple[Fingerprint, bytes] | None:
        """Return (fingerprint, packed entry) of what was noted of a file."""
        query = "SELECT fingerprint, entry FROM hashed WHERE place = ?"
        row = self._do(lambda db: db.execute(query, (place,)).fetchone())
        return None if row is None else (Fingerprint.unpacked(row[0]), row[1])

    def has_hashed(self) -> bool:
        """Whether anything is noted of any file, or of a part of one."""
        query = "SELECT EXISTS (SELECT 1 FROM hashed) OR EXISTS (SELECT 1 FROM hashing)"
        return self._do(lambda db: bool(db.execute(query).fetchone()[0]))

    def hashed_places(self) -> list[bytes]:
        """Return of which files that is."""
        query = "SELECT place FROM hashed UNION SELECT place FROM hashing"
        return [place for (place,) in self._do(lambda db: db.execute(query).fetchall())]

    def forget_hashed(self, places: Iterable[bytes]) -> None:
        """Forget what is noted of files, and of parts of them."""
        gone = [(place,) for place in places]

        def forget(db: sqlite3.Connection) -> None:
            with db:
                db.execute("BEGIN IMMEDIATE")
                for table in ("hashed", "hashing"):
                    db.executemany(f"DELETE FROM {table} WHERE place = ?", gone)

        self._do(forget)

    def note_parts(self, rows: Sequence[PartRow]) -> None:
        """Add rows of files that are being hashed. Durable on return."""

        def record(db: sqlite3.Connection) -> None:
            with db:
                db.execute("BEGIN IMMEDIATE")
                for row in rows:
                    if row.first:
                        db.execute("DELETE FROM hashing WHERE place = ?", (row.place,))
                    db.execute("INSERT OR REPLACE INTO hashing VALUES (?, ?, ?)", (row.place, row.chunks, row.note))

        self._do(record)

    def last_part(self, place: bytes) -> tuple[object, object] | None:
        """Return (chunks, note) of the last row of a file that is being hashed, of whatever type they are."""
        query = f"SELECT chunks, note FROM hashing WHERE place = ? AND {_BOUNDED} ORDER BY chunks DESC LIMIT 1"
        row: tuple[object, object] | None = self._do(lambda db: db.execute(query, (place,)).fetchone())
        return row

    def next_parts(self, place: bytes, after: int) -> list[tuple[object, object]]:
        """Return the same of the first rows with more chunks than `after`, in order; none: there are no more."""
        where = f"place = ? AND chunks > ? AND {_BOUNDED}"
        query = f"SELECT chunks, note FROM hashing WHERE {where} ORDER BY chunks LIMIT {_PARTS_AT_ONCE}"
        return self._do(lambda db: db.execute(query, (place, after)).fetchall())

    def forget_parts(self, place: bytes, after: int) -> None:
        """Remove the rows of a file with more chunks than `after`."""
        query = "DELETE FROM hashing WHERE place = ? AND chunks > ?"
        self._do(lambda db: db.execute(query, (place, after)))

    def doubt(self, holding: int, file: int) -> None:
        query = "UPDATE file SET standing = ? WHERE holding = ? AND number = ?"
        self._do(lambda db: db.execute(query, (DOUBTED, holding, file)))

    def release(self, manifest: Digest, folder: Path | None) -> None:
        """Forget what `folder` holds of `manifest`, or (None) what all do. The rows of contents that nothing has any
        more are still there: `ContentIndex.unheld`."""
        where = "FROM holding WHERE manifest = ?1 AND (?2 IS NULL OR folder = ?2)"
        values = (manifest.raw, None if folder is None else os.fsencode(folder))

        def forget(db: sqlite3.Connection) -> None:
            with db:
                db.execute("BEGIN IMMEDIATE")
                roots: set[int] = set()
                for (holding,) in db.execute(f"SELECT id {where}", values).fetchall():
                    roots.update(contents_of(db, holding))
                db.execute(f"DELETE {where}", values)
                give_up_unheld(db, roots)

        self._do(forget)


def file_row(number: int, standing: int, place: bytes | None, *known: int | None) -> FileRow:
    """Return a row of the index as what it says of a file. `known`: the five numbers of its fingerprint."""
    return FileRow(number, standing, _fingerprint(*known), place)


def contents_of(db: sqlite3.Connection, holding: int, *, count: int = -1) -> list[int]:
    """Return the roots of the contents that are noted of files of a holding: of all, or of its first `count`."""
    files = f"SELECT root FROM file WHERE holding = ? ORDER BY number LIMIT {count}"
    query = f"SELECT root FROM content WHERE root IN ({files})"
    return [root for (root,) in db.execute(query, (holding,)).fetchall()]


def give_up_unheld(db: sqlite3.Connection, roots: Iterable[int]) -> None:
    """Mark those of these contents that no file has any more: their rows go, some at a time."""
    query = f"UPDATE content SET noted = 0 WHERE root = ? AND {UNHELD}"
    db.executemany(query, ((root,) for root in roots))


def fingerprint_values(known: Fingerprint | None) -> tuple[int | None, ...]:
    """Return the five numbers of a fingerprint as the index has them."""
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


def key_of(digest: bytes) -> int:
    """Return the first eight bytes of a digest as the index has them."""
    return int.from_bytes(digest[:8], "big", signed=True)


def keys_of(digests: bytes) -> list[int]:
    """Return the same of packed digests: a terabyte has a million."""
    return [key for (key,) in _KEY.iter_unpack(digests)]


def _signed(number: int) -> int:
    """SQLite's integers are signed; device and inode numbers are not."""
    return number - 2**64 if number >= 2**63 else number
