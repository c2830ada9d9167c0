"""The index (`index.sqlite`, WAL): which manifests stand in which folders, and each file's fingerprint when hashed.

All of it can be made again from `state.log` (which folders), the blobs (what should be there) and the files (whether it
is), so a damaged index is moved aside and a new one begun. One of a newer p2phub is refused, one of an older is
treated as damaged. One connection, one thread at a time; other processes wait up to BUSY_S for each other.
It names private folders, so it is for its user alone, whatever the home's own mode and the umask.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sqlite3
import stat
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from p2phub.content import Digest
from p2phub.errors import DiskError, DiskFull
from p2phub.store.interface import Fingerprint

SCHEMA = 1
BUSY_S = 10.0
INDEX = "index.sqlite"
LOCK = "index.lock"
ROWS_AT_ONCE = 4096  # What a reader of many rows holds in memory; between two pages others get their turn.
DOUBTED, HELD, TRUSTED = range(3)
"""How a file stands: not known to be what was hashed; it is; it is, and its fingerprint alone will tell next time."""

_TABLES = (
    "CREATE TABLE holding (id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " manifest BLOB NOT NULL, folder BLOB NOT NULL, UNIQUE (manifest, folder))",
    "CREATE TABLE file (holding INTEGER NOT NULL REFERENCES holding ON DELETE CASCADE, number INTEGER NOT NULL,"
    " standing INTEGER NOT NULL, device INTEGER, inode INTEGER, size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER,"
    " PRIMARY KEY (holding, number)) WITHOUT ROWID",
    f"PRAGMA user_version = {SCHEMA}",
)
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}
_SHORT_READ = 522  # SQLITE_IOERR_SHORT_READ: a truncated file.

_MAKING = threading.Lock()
"""To close any descriptor of a file drops all locks that this process has on it (fcntl(2)), SQLite's too: so while one
thread makes the index, no other opens it. For the same reason one that is there is never opened but by SQLite."""

T = TypeVar("T")


class FileRow(msgspec.Struct, frozen=True):
    """One file of a holding: `fingerprint` is that of when it was hashed, None if it never was by this index."""

    number: int
    standing: int
    fingerprint: Fingerprint | None


class HoldingRow(msgspec.Struct, frozen=True):
    id: int
    manifest: Digest
    folder: Path


class Damage(Exception):
    """The index is not a database any more, or not ours."""


class Database:
    """The index of one home. Thread-safe. `begin_again` gives a new index its (manifest, folder, files)."""

    def __init__(self, home: Path, begin_again: Callable[[], Iterable[tuple[Digest, Path, int]]]) -> None:
        self._home = home
        self._path = home / INDEX
        self._begin_again = begin_again
        self._mutex = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self.mended: list[str] = []

    # --- what it knows ---------------------------------------------------------------------------------------------

    def holdings(self) -> list[HoldingRow]:
        """Return all holdings, newest first."""
        rows = self._do(lambda db: db.execute("SELECT id, manifest, folder FROM holding ORDER BY id DESC").fetchall())
        return [HoldingRow(number, Digest(manifest), Path(os.fsdecode(folder))) for number, manifest, folder in rows]

    def files(self, holding: int) -> Iterator[FileRow]:
        """Yield the files of a holding, by number, a page at a time: a change made meanwhile may be told or not."""
        columns = "number, standing, device, inode, size, mtime_ns, ctime_ns"
        query = f"SELECT {columns} FROM file WHERE holding = ? AND number >= ? ORDER BY number LIMIT {ROWS_AT_ONCE}"
        for rows in self._pages(query, holding):
            for number, standing, *values in rows:
                yield FileRow(number, standing, _fingerprint(*values))

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
        query = "SELECT standing, device, inode, size, mtime_ns, ctime_ns FROM file WHERE holding = ? AND number = ?"
        row = self._do(lambda db: db.execute(query, (holding, number)).fetchone())
        return None if row is None else FileRow(number, row[0], _fingerprint(*row[1:]))

    def hold(
        self, manifest: Digest, folder: Path, files: Callable[[], Iterable[tuple[int, Fingerprint | None]]]
    ) -> None:
        """Record that `folder` has the files of `manifest`: (standing, fingerprint) each, which `files` yields, anew if
        the index turns out to be damaged. Durable on return."""

        def record(db: sqlite3.Connection) -> None:
            with db:
                db.execute("BEGIN IMMEDIATE")
                where = (manifest.raw, os.fsencode(folder))
                # A new row, not the old one again: the newest holding of a folder is asked first.
                db.execute("DELETE FROM holding WHERE manifest = ? AND folder = ?", where)
                made = db.execute("INSERT INTO holding (manifest, folder) VALUES (?, ?)", where).lastrowid
                db.executemany(
                    "INSERT INTO file VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    ((made, number, standing, *_values(known)) for number, (standing, known) in enumerate(files())),
                )

        self._do(record)

    def stand(self, holding: int, file: int, standing: int, known: Fingerprint | None) -> None:
        """Record how one file stands now."""
        query = (
            "UPDATE file SET standing = ?, device = ?, inode = ?, size = ?, mtime_ns = ?, ctime_ns = ?"
            " WHERE holding = ? AND number = ?"
        )
        self._do(lambda db: db.execute(query, (standing, *_values(known), holding, file)))

    def doubt(self, holding: int, file: int) -> None:
        query = "UPDATE file SET standing = ? WHERE holding = ? AND number = ?"
        self._do(lambda db: db.execute(query, (DOUBTED, holding, file)))

    def release(self, manifest: Digest, folder: Path | None) -> None:
        """Forget what `folder` holds of `manifest`, or (None) what all do."""
        query = "DELETE FROM holding WHERE manifest = ?1 AND (?2 IS NULL OR folder = ?2)"
        where = (manifest.raw, None if folder is None else os.fsencode(folder))
        self._do(lambda db: db.execute(query, where))

    def check(self) -> None:
        """Read the whole index for damage; begin it again if there is any."""

        def look(db: sqlite3.Connection) -> None:
            found = db.execute("PRAGMA quick_check").fetchone()
            if found != ("ok",):
                raise Damage(str(found))

        self._do(look)

    def close(self) -> None:
        with self._mutex:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    # --- opening, and beginning again ------------------------------------------------------------------------------

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` on the index, on a new one if this one is damaged. Raises DiskError."""
        with self._mutex:
            try:
                return work(self._connected())
            except Damage:
                pass
            except sqlite3.Error as exc:
                if not _is_damage(exc):
                    raise _disk_error(exc, self._path) from exc
            self._move_aside()
            try:
                return work(self._connected())
            except (sqlite3.Error, Damage) as exc:
                raise DiskError(f"{self._path} was damaged, and a new one cannot be made: {exc}") from exc

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            connection = self._connect()
            try:
                self._set_up(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        self._make_private()
        connection = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        # The file may be anyone's: nothing in its schema may run code.
        connection.execute("PRAGMA trusted_schema = OFF")
        return connection

    def _make_private(self) -> None:
        """Make the index 0600 before SQLite opens it, which gives its other files the same mode. Raises DiskError."""
        try:
            with _MAKING, contextlib.suppress(FileExistsError):
                flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                fd = os.open(self._path, flags, 0o600)
                try:
                    with contextlib.suppress(PermissionError):
                        os.fchmod(fd, 0o600)  # A umask may have taken even from this.
                finally:
                    os.close(fd)
            for suffix in ("", "-wal", "-shm"):  # Those of an earlier p2phub had the umask's mode.
                with contextlib.suppress(FileNotFoundError):
                    self._close_to_others(f"{self._path}{suffix}")
        except OSError as exc:
            if exc.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFull(f"cannot make {self._path}: no space left", hint="make room") from exc
            hint = "check who owns the home, or use another --home"
            raise DiskError(f"cannot use {self._path}: {exc.strerror}", hint=hint) from exc

    def _close_to_others(self, path: str) -> None:
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode):
            raise DiskError(f"{path} is a link or no file", hint="remove it: the index can be made again")
        if status.st_mode & 0o077 and status.st_uid == os.geteuid():
            with contextlib.suppress(PermissionError):  # A file system without modes; the home is what closes it then.
                os.chmod(path, 0o600)

    def _set_up(self, db: sqlite3.Connection) -> None:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA:
            raise DiskError(
                f"{self._path} was written by a newer p2phub (schema {version}, this one knows {SCHEMA})",
                hint="update p2phub, or use another --home",
            )
        db.execute("PRAGMA journal_mode = WAL")
        # A holding that was reported as recorded should outlive a power cut; they are rare, so this is cheap.
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        if version == SCHEMA:
            return
        with db:  # All or nothing: a new index without what it begins with would look like one that knows nothing.
            db.execute("BEGIN IMMEDIATE")
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version == SCHEMA:
                return  # Another process was faster.
            if version != 0 or db.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
                raise Damage(f"schema {version}")
            for statement in _TABLES:
                db.execute(statement)
            for manifest, folder, files in self._begin_again():
                where = (manifest.raw, os.fsencode(folder))
                made = db.execute("INSERT INTO holding (manifest, folder) VALUES (?, ?)", where).lastrowid
                rows = ((made, number, DOUBTED) for number in range(files))
                db.executemany("INSERT INTO file (holding, number, standing) VALUES (?, ?, ?)", rows)

    def _move_aside(self) -> None:
        """Put the damaged index aside, once, however many processes notice."""
        damaged = self._identity()
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None
        lock = os.open(self._home / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self._identity() != damaged:
                return  # Another process was faster.
            aside = next(path for n in count(1) if not (path := self._path.with_suffix(f".damaged-{n}")).exists())
            for suffix in ("-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{self._path}{suffix}")
            with contextlib.suppress(FileNotFoundError):
                os.rename(self._path, aside)
                self.mended.append(f"the index was damaged and begun again; the damaged one is {aside}")
        except OSError as exc:
            raise DiskError(f"cannot move the damaged index {self._path} aside: {exc.strerror}") from exc
        finally:
            os.close(lock)

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self._path)
        except OSError:
            return None
        return status.st_dev, status.st_ino


def _is_damage(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    return code & 0xFF in _DAMAGE or code == _SHORT_READ or str(error).startswith("no such ")


def _disk_error(error: sqlite3.Error, path: Path) -> DiskError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return DiskFull(f"cannot write {path}: no space left", hint="make room, then run the same command")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return DiskError(f"{path} was in use by another process for more than {BUSY_S:.0f} s")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return DiskError(f"cannot write {path}: {error}", hint="check who owns the home, or use another --home")
    return DiskError(f"cannot use {path}: {error}")


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


def _signed(number: int) -> int:
    """SQLite's integers are signed; device and inode numbers are not."""
    return number - 2**64 if number >= 2**63 else number
