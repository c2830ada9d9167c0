"""The index's database (`index.sqlite`, WAL): its tables, how it is opened, and begun again when it is damaged.

What is asked of it stands in `index`. All of it can be made again from `state.log` (which folders), the blobs (what
should be there) and the files (whether it is), so a damaged index is moved aside and a new one begun. One of a newer
p2phub is refused, one of an earlier schema gets what is new. One connection, one thread at a time; other processes wait
up to BUSY_S for each other. Whoever has the index open while another process moves it aside would go on in that file,
and what it records would be lost: so each piece of work is done again, in the index that stands there by now, unless
the file that it was done in still does.
It names private folders, so it is for its user alone, whatever the home's own mode and the umask.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path
from typing import TypeVar

import msgspec

from p2phub.content import Digest
from p2phub.errors import DiskError, DiskFull
from p2phub.store.ballast import is_full, make_room
from p2phub.store.disk import need_ours
from p2phub.store.holding import Origin

SCHEMA = 4
BUSY_S = 10.0
INDEX = "index.sqlite"
LOCK = "index.lock"
DOUBTED, HELD, TRUSTED = range(3)
"""How a file stands: not known to be what was hashed; it is; it is, and its fingerprint alone will tell next time."""

NOT_NOTED, BLOBS_NOTED, ALL_NOTED = range(3)
"""What is noted of a holding beside its files (`holding.chunked`): nothing yet; its parts and the blobs it needs; its
chunks, too."""

_OF_2 = (
    # Files alone (manifest.alone) that are in what is held.
    "CREATE TABLE part (part BLOB NOT NULL, holding INTEGER NOT NULL REFERENCES holding ON DELETE CASCADE,"
    " number INTEGER NOT NULL, PRIMARY KEY (part, holding, number)) WITHOUT ROWID",
    "CREATE INDEX part_of ON part (holding)",
    # What files were when they were hashed that no holding has yet, by their path.
    "CREATE TABLE hashed (place BLOB PRIMARY KEY, fingerprint BLOB NOT NULL, entry BLOB NOT NULL) WITHOUT ROWID",
    # Adopted files by where they stand: few files have a place of their own.
    "CREATE INDEX file_at ON file (place) WHERE place IS NOT NULL",
    # Which blobs a holding needs, by the first eight bytes of their digest: a collision only keeps one too many.
    "CREATE TABLE needed (key INTEGER NOT NULL, holding INTEGER NOT NULL REFERENCES holding ON DELETE CASCADE,"
    " PRIMARY KEY (key, holding)) WITHOUT ROWID",
    "CREATE INDEX needed_of ON needed (holding)",
    # When what lies in the home's own store was last used (Unix seconds), and by how many others it was held then.
    "CREATE TABLE used (holding INTEGER PRIMARY KEY REFERENCES holding ON DELETE CASCADE, at INTEGER NOT NULL,"
    " others INTEGER)",
    # Holdings that are forgotten, whose rows in the other tables are still to be removed, some at a time.
    "CREATE TABLE gone (holding INTEGER PRIMARY KEY, manifest BLOB NOT NULL)",
)
_OF_3 = (
    # Which files of holdings have the content that a root names.
    "CREATE INDEX file_of ON file (root) WHERE root IS NOT NULL",
    # Files of several chunks, once each, however many holdings have them; `root`: the first eight bytes of `digest`,
    # as `file.root` has them. `noted`: all rows of its chunks are there; if not, they are being written or removed.
    "CREATE TABLE content (root INTEGER PRIMARY KEY, digest BLOB NOT NULL, size INTEGER NOT NULL,"
    " chunks INTEGER NOT NULL, noted INTEGER NOT NULL)",
    "CREATE INDEX content_unfinished ON content (root) WHERE noted = 0",
    # Their chunks: `key`, the first eight bytes of the digest, by which they are found; whoever finds one so compares
    # the rest. `number` counts in the file. A file of one chunk has no row: its root is that chunk's digest.
    "CREATE TABLE chunk (key INTEGER NOT NULL, root INTEGER NOT NULL, number INTEGER NOT NULL,"
    " PRIMARY KEY (key, root, number)) WITHOUT ROWID",
)
_OF_4 = (
    # How far files were hashed that no read pass is at the end of yet, by their path: a row each time that was noted,
    # of what came since the one before. `chunks`: how many of the file are hashed with it.
    "CREATE TABLE hashing (place BLOB NOT NULL, chunks INTEGER NOT NULL, note BLOB NOT NULL,"
    " PRIMARY KEY (place, chunks))",
    f"PRAGMA user_version = {SCHEMA}",
)
_TABLES = (
    "CREATE TABLE holding (id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " manifest BLOB NOT NULL, folder BLOB NOT NULL, origin TEXT NOT NULL DEFAULT 'published', source BLOB,"
    " chunked INTEGER NOT NULL DEFAULT 0, UNIQUE (manifest, folder))",
    # `root`: the first eight bytes of the digest that names the file's content; NULL if it has none, or that was not
    # noted yet.
    "CREATE TABLE file (holding INTEGER NOT NULL REFERENCES holding ON DELETE CASCADE, number INTEGER NOT NULL,"
    " standing INTEGER NOT NULL, device INTEGER, inode INTEGER, size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER,"
    " place BLOB, root INTEGER, PRIMARY KEY (holding, number)) WITHOUT ROWID",
    *_OF_2,
    *_OF_3,
    *_OF_4,
)
_FROM_1_TO_2 = (
    # Of what was held before nobody knows whose it is: the user's, then.
    "ALTER TABLE holding ADD COLUMN origin TEXT NOT NULL DEFAULT 'published'",
    "ALTER TABLE holding ADD COLUMN source BLOB",
    "ALTER TABLE holding ADD COLUMN chunked INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE file ADD COLUMN place BLOB",
    "CREATE TABLE chunk (key INTEGER)",  # As there is one in an index of the second schema, to go in the next step.
    *_OF_2,
)
_FROM_2_TO_3 = (
    # Chunks were noted for each holding. No row is taken over, nor any holding looked at: what `chunked` says of all is
    # from here on that blobs were noted, and chunks are noted anew when they are next asked for.
    "DROP TABLE chunk",
    "ALTER TABLE file ADD COLUMN root INTEGER",
    *_OF_3,
)
_STEPS = {1: (*_FROM_1_TO_2, *_FROM_2_TO_3, *_OF_4), 2: (*_FROM_2_TO_3, *_OF_4), 3: _OF_4}
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}
_TRIES_MAX = 4  # To open an index, or work in one, that another process is putting another in the place of.
_FIRST_ID_MAX = 1 << 22  # Each row of a file has the id: up to 2 ** 23 it is three bytes there.
_SHORT_READ = 522  # SQLITE_IOERR_SHORT_READ: a truncated file.

_MAKING = threading.Lock()
"""To close any descriptor of a file drops all locks that this process has on it (fcntl(2)), SQLite's too: so while one
thread makes the index, no other opens it. For the same reason one that is there is never opened but by SQLite."""

T = TypeVar("T")


class Begun(msgspec.Struct, frozen=True):
    """A holding that a new index begins with; all of its `files` are in doubt."""

    manifest: Digest
    folder: Path
    files: int
    origin: Origin
    source: bytes | None


class Damage(Exception):
    """The index is not a database any more, or not ours."""


class Database:
    """The index of one home. Thread-safe. `begin_again` says what a new index begins with."""

    def __init__(self, home: Path, begin_again: Callable[[], Iterable[Begun]]) -> None:
        self._home = home
        self._path = home / INDEX
        self._place = os.fspath(self._path)
        self._begin_again = begin_again
        self._mutex = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._opened: tuple[int, int] | None = None  # Device and inode of the file that is, or was, connected to.
        self.generation = 0  # How often it was opened: ids and states of one connection tell nothing of the next.
        self.mended: list[str] = []

    def get_ready(self) -> None:
        """Open it, made if there is none. Raises DiskError; Damaged if what it is made of is."""
        self.do(lambda db: None)

    def check(self) -> None:
        """Read the whole index for damage; begin it again if there is any."""

        def look(db: sqlite3.Connection) -> None:
            found = db.execute("PRAGMA quick_check").fetchone()
            if found != ("ok",):
                raise Damage(str(found))

        self.do(look)

    def add(self, holdings: Iterable[Begun]) -> None:
        """Add these holdings, all of them in doubt, but those that are there."""
        missing = list(holdings)

        def record(db: sqlite3.Connection) -> None:
            with db:
                db.execute("BEGIN IMMEDIATE")
                query = "SELECT 1 FROM holding WHERE manifest = ? AND folder = ?"
                for each in missing:
                    if db.execute(query, (each.manifest.raw, os.fsencode(each.folder))).fetchone() is None:
                        _add(db, each)

        self.do(record)

    def close(self) -> None:
        with self._mutex:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    # --- opening, and beginning again ------------------------------------------------------------------------------

    def do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` on the index, anew if this one is damaged, or was put aside meanwhile. Raises DiskError."""
        with self._mutex:
            try:
                return self._done(work)
            except Damage:
                pass
            except sqlite3.Error as exc:
                if not is_damage(exc):
                    raise disk_error(exc, self._path) from exc
            self._move_aside()
            try:
                return self._done(work)
            except (sqlite3.Error, Damage) as exc:
                raise DiskError(f"{self._path} was damaged, and a new one cannot be made: {exc}") from exc

    def _done(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` on the index that stands at its place when it is done."""
        for _ in range(_TRIES_MAX):
            done = work(self._connected())
            if self._is_in_place():
                return done
            self._disconnect()
        raise self._is_replaced()

    def _is_in_place(self) -> bool:
        return self._identity() == self._opened

    def _is_replaced(self) -> DiskError:
        return DiskError(f"{self._path} is replaced again and again", hint="see which process does that")

    def _connected(self) -> sqlite3.Connection:
        if self._connection is not None:
            return self._connection
        for _ in range(_TRIES_MAX):
            connection = self._connect()
            try:
                self._set_up(connection)
            except BaseException:
                connection.close()
                raise
            if self._is_in_place():
                self.generation += 1
                self._connection = connection
                return connection
            connection.close()  # SQLite may have opened either.
        raise self._is_replaced()

    def _disconnect(self) -> None:
        # SQLite removes the log beside it only if this file still stands there: it may be the new one's.
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _connect(self) -> sqlite3.Connection:
        try:
            make_room(self._home)
        except OSError as exc:
            raise DiskError(f"cannot use {self._path}: {exc.strerror}") from exc
        self._make_private()
        self._opened = self._identity()
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
        if status.st_uid != os.geteuid():
            need_ours(status, path)
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
            if version in _STEPS:
                _bring_up_to_date(db, _STEPS[version])
                return
            if version != 0 or db.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
                raise Damage(f"schema {version}")
            for statement in _TABLES:
                db.execute(statement)
            # Whoever knows a holding by its id in the index before this one must not note anything of another.
            first = 1 + secrets.randbelow(_FIRST_ID_MAX)
            for number, begun in enumerate(self._begin_again()):
                _add(db, begun, number=first + number)

    def _move_aside(self) -> None:
        """Put the damaged index aside, once, however many processes notice."""
        self._disconnect()
        lock = None
        try:
            lock = os.open(self._home / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self._identity() != self._opened:
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
            if lock is not None:
                os.close(lock)

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self._place)
        except OSError:
            return None
        return status.st_dev, status.st_ino


def _add(db: sqlite3.Connection, begun: Begun, *, number: int | None = None) -> None:
    """Add a holding, all of it in doubt. `number`: its id, if it is not to be the next."""
    values = (number, begun.manifest.raw, os.fsencode(begun.folder), begun.origin.value, begun.source)
    insert = "INSERT INTO holding (id, manifest, folder, origin, source) VALUES (?, ?, ?, ?, ?)"
    made = db.execute(insert, values).lastrowid
    rows = ((made, file, DOUBTED) for file in range(begun.files))
    db.executemany("INSERT INTO file (holding, number, standing) VALUES (?, ?, ?)", rows)


def _bring_up_to_date(db: sqlite3.Connection, steps: Iterable[str]) -> None:
    """Give an index of an earlier schema what is new. Raises Damage if it was none."""
    for statement in steps:
        try:
            db.execute(statement)
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode == sqlite3.SQLITE_ERROR:  # No such table, or a column twice.
                raise Damage(str(exc)) from exc
            raise


def is_damage(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    return code & 0xFF in _DAMAGE or code == _SHORT_READ or str(error).startswith("no such ")


def disk_error(error: sqlite3.Error, path: Path) -> DiskError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    # What should have told that a disk is full is often a failure to read or write: of its shared memory, say.
    if code == sqlite3.SQLITE_FULL or (
        code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN) and is_full(path.parent)
    ):
        return DiskFull(f"cannot write {path}: no space left", hint="make room, then run the same command")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return DiskError(f"{path} was in use by another process for more than {BUSY_S:.0f} s")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return DiskError(f"cannot write {path}: {error}", hint="check who owns the home, or use another --home")
    return DiskError(f"cannot use {path}: {error}")
