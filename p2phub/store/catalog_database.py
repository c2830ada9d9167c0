"""The catalog's index on a disk (`catalog.sqlite`, WAL): entries in the order of their positions, their words in FTS5.

    entry    position (from what comes first) | key | mark | seen | packed
    lists    FTS5, its rowid the position; holds which entries have a word and nothing else (`content=''`, no places
             within a text, no lengths)
    vocabulary  word | how many entries have it
A word's list of positions is ascending, so the first that have two words are found by going along two lists until that
many are together, however many there are (docs/decisions/0110). A word that is only begun stands for the most common
ones that begin so: FTS5 would read the lists of all of them to their end before it told of the first. What a list was
made of is not kept: to take an entry out its words are made again, so a change of `catalog.index_words` takes a new
SCHEMA.

All of it can be told again: what is damaged, or of another schema, is removed and begun anew. One connection reads and
one writes, so nobody who searches waits for what is written. It tells of private releases, so it is for its user alone.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from p2phub import limits
from p2phub.catalog import (
    NAMED,
    SEEN,
    SLOT_BITS,
    Entry,
    Query,
    first_position,
    index_words,
    kind_word,
    last_resort,
    page,
    position_of,
    whole_word,
)
from p2phub.errors import DiskError
from p2phub.store.catalog import Told
from p2phub.store.database import disk_error, is_damage
from p2phub.store.disk import disk_errors, need_ours

CATALOG = "catalog.sqlite"
SCHEMA = 1
_SUFFIXES = ("", "-wal", "-shm")
_BUSY_S = 10.0
_TRIM_AT_ONCE = 2000
_SLOTS = 1 << SLOT_BITS
_BEGUN_READ = 20_000  # Of the words that begin with one letter, so many are looked at.
_WAL_BYTES = 16 * limits.MIB  # Kept of a log that was longer.
_CACHE_KIB = 16 * 1024  # Of each connection.
_HOURS_TRIED = 20  # Each twice as far away as the one before: all hours there are.

_FIRST_SEEN, _FIRST_NAMED = first_position(SEEN), first_position(NAMED)
_TABLES = (
    "CREATE TABLE entry (position INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, mark BLOB NOT NULL,"
    " seen INTEGER NOT NULL, packed BLOB NOT NULL)",
    f"CREATE INDEX entry_seen ON entry (seen) WHERE position >= {_FIRST_SEEN}",
    # Words come as `catalog` cut them, each separated by a space: letters and digits, beyond ASCII all is one, and the
    # marks of whole names and kinds.
    "CREATE VIRTUAL TABLE lists USING fts5 (words, content='', columnsize=0, detail=none,"
    " tokenize=\"ascii tokenchars '=#'\")",
    # What a word that is only begun may become, and how many entries have it.
    "CREATE TABLE vocabulary (word TEXT PRIMARY KEY, entries INTEGER NOT NULL) WITHOUT ROWID",
    f"PRAGMA user_version = {SCHEMA}",
)

_PACK = msgspec.msgpack.Encoder().encode
_UNPACK = msgspec.msgpack.Decoder(Entry).decode
T = TypeVar("T")


class CatalogDatabase:
    """The `CatalogIndex` of `home`. Opened when it is first asked for something."""

    def __init__(self, home: Path) -> None:
        self._path = home / CATALOG
        self._opening = threading.RLock()
        self._reading = threading.Lock()
        self._writing = threading.Lock()
        self._reader: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None
        self._generation = 1

    @property
    def generation(self) -> int:
        def look() -> int:
            with self._opening:
                self._opened()  # Which may find that it has to be begun anew.
                return self._generation

        return self._do(look)

    # --- telling it ------------------------------------------------------------------------------------------------

    def put(self, told: Sequence[Told]) -> None:
        self._write(lambda db: _put(db, told))

    def remove(self, keys: Iterable[bytes]) -> None:
        gone = tuple(keys)

        self._write(lambda db: _remove(db, gone))

    def trim(self, seen_max: int) -> int:
        def write(db: sqlite3.Connection) -> int:
            (seen,) = db.execute(f"SELECT count(*) FROM entry WHERE position >= {_FIRST_SEEN}").fetchone()
            over = min(seen - seen_max, _TRIM_AT_ONCE)
            if over <= 0:
                return 0
            query = f"SELECT key FROM entry WHERE position >= {_FIRST_SEEN} ORDER BY seen LIMIT ?"
            _remove(db, [key for (key,) in db.execute(query, (over,)).fetchall()])
            return int(over)

        return self._write(write)

    # --- asking it -------------------------------------------------------------------------------------------------

    def own(self) -> Mapping[bytes, bytes]:
        query = f"SELECT key, mark FROM entry WHERE position < {_FIRST_SEEN}"
        return self._read(lambda db: dict(db.execute(query).fetchall()))

    def marks(self, keys: Iterable[bytes]) -> Mapping[bytes, bytes]:
        asked = tuple(keys)

        def read(db: sqlite3.Connection) -> dict[bytes, bytes]:
            rows = (db.execute("SELECT key, mark FROM entry WHERE key = ?", (key,)).fetchone() for key in asked)
            return dict(row for row in rows if row is not None)

        return self._read(read)

    def entry(self, key: bytes) -> Entry | None:
        query = "SELECT packed FROM entry WHERE key = ?"
        row = self._read(lambda db: db.execute(query, (key,)).fetchone())
        return None if row is None else _UNPACK(row[0])

    def find(self, query: Query, first: int, count: int) -> list[Entry]:
        def read(db: sqlite3.Connection) -> list[Entry]:
            asked = _asked(db, query)
            if asked is None:
                return []
            but = f"({asked}) NOT {_quoted(whole_word(list(query.whole)))}" if query.whole else asked
            return page(
                query,
                first,
                count,
                called=lambda count: _first(db, _called(query), query.held, 0, count),
                others=lambda first, count: _first(db, but, query.held, first, count),
            )

        return self._read(read)

    def count(self, query: Query) -> int:
        below = f"< {_FIRST_NAMED}" if query.held else "IS NOT NULL"

        def read(db: sqlite3.Connection) -> int:
            asked = _asked(db, query)
            if asked is None:
                return 0
            if asked:
                sql = f"SELECT count(*) FROM lists WHERE lists MATCH ? AND rowid {below}"
                (count,) = db.execute(sql, (asked,)).fetchone()
            else:
                (count,) = db.execute(f"SELECT count(*) FROM entry WHERE position {below}").fetchone()
            return int(count)

        return self._read(read)

    def close(self) -> None:
        with self._opening:
            for connection in (self._reader, self._writer):
                if connection is not None:
                    connection.close()
            self._reader = self._writer = None

    # --- the file --------------------------------------------------------------------------------------------------

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def read() -> T:
            with self._reading:
                return work(self._opened()[0])

        return self._do(read)

    def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def write() -> T:
            with self._writing:
                db = self._opened()[1]
                with db:
                    db.execute("BEGIN IMMEDIATE")
                    return work(db)

        return self._do(write)

    def _do(self, work: Callable[[], T]) -> T:
        """Do `work`, and once more on an index begun anew if this one is damaged. Raises DiskError."""
        generation = self._generation
        try:
            return work()
        except (sqlite3.Error, msgspec.MsgspecError) as exc:
            if isinstance(exc, sqlite3.Error) and not is_damage(exc):
                raise disk_error(exc, self._path) from exc
        with self._reading, self._writing, self._opening:
            if self._generation == generation:  # Else another thread was faster.
                self._begin_anew()
        try:
            return work()
        except (sqlite3.Error, msgspec.MsgspecError) as exc:
            raise DiskError(f"{self._path} was damaged, and a new one cannot be made: {exc}") from exc

    def _opened(self) -> tuple[sqlite3.Connection, sqlite3.Connection]:
        with self._opening:
            if self._reader is None or self._writer is None:
                self._writer = self._connect()
                (version,) = self._writer.execute("PRAGMA user_version").fetchone()
                if version != SCHEMA:
                    if version or self._writer.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
                        self._begin_anew()
                        return self._opened()
                    _make(self._writer)
                self._reader = self._connect()
            return self._reader, self._writer

    def _connect(self) -> sqlite3.Connection:
        with disk_errors(f"use {self._path}"), contextlib.suppress(FileExistsError):
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(self._path, flags, 0o600))
        for suffix in _SUFFIXES:  # Else another user reads there what is private, or says what is here.
            with contextlib.suppress(FileNotFoundError):
                need_ours(os.lstat(f"{self._path}{suffix}"), f"{self._path}{suffix}")
        connection = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA journal_mode = WAL")
            # A power cut may take the last writes, which are told again, and never leaves half of one.
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _begin_anew(self) -> None:
        self.close()
        self._generation += 1
        with disk_errors(f"remove the damaged {self._path}"):
            for suffix in _SUFFIXES:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{self._path}{suffix}")


def _make(db: sqlite3.Connection) -> None:
    with db:
        db.execute("BEGIN IMMEDIATE")
        if db.execute("PRAGMA user_version").fetchone() != (SCHEMA,):  # Else another process was faster.
            for statement in _TABLES:
                db.execute(statement)


# --- rows ----------------------------------------------------------------------------------------------------------


class _Coming(NamedTuple):
    """An entry to be taken in: at the first position that is free from `base` on."""

    base: int
    key: bytes
    told: Told
    words: list[str]


def _put(db: sqlite3.Connection, told: Iterable[Told]) -> None:
    gone: list[tuple[int, list[str]]] = []
    come: list[_Coming] = []
    for key, each in {each.entry.key: each for each in told}.items():
        entry, base = each.entry, position_of(each.entry)
        words = index_words(entry)
        row = db.execute("SELECT position, packed FROM entry WHERE key = ?", (key,)).fetchone()
        if row is not None:
            was = index_words(_UNPACK(row[1]))
            if base <= row[0] < base + _SLOTS and was == words:
                update = "UPDATE entry SET mark = ?, seen = ?, packed = ? WHERE position = ?"
                db.execute(update, (each.mark, entry.seen, _PACK(entry), row[0]))
                continue
            gone.append((row[0], was))
        come.append(_Coming(base, key, each, words))
    _take_out(db, gone)
    _take_in(db, come)


def _remove(db: sqlite3.Connection, keys: Iterable[bytes]) -> None:
    found = (db.execute("SELECT position, packed FROM entry WHERE key = ?", (key,)).fetchone() for key in keys)
    _take_out(db, [(row[0], index_words(_UNPACK(row[1]))) for row in found if row is not None])


def _take_in(db: sqlite3.Connection, come: Sequence[_Coming]) -> None:
    entries: list[tuple[int, bytes, bytes, int, bytes]] = []
    lists: list[tuple[int, str]] = []
    places = _Places(db)
    for each in come:
        position = places.take(each.base)
        entries.append((position, each.key, each.told.mark, each.told.entry.seen, _PACK(each.told.entry)))
        lists.append((position, " ".join(each.words)))
    db.executemany("INSERT INTO entry (position, key, mark, seen, packed) VALUES (?, ?, ?, ?, ?)", entries)
    # Ascending, as lists are: for a smaller one than the last FTS5 writes down all that it had gathered.
    db.executemany("INSERT INTO lists (rowid, words) VALUES (?, ?)", sorted(lists))
    _note_words(db, Counter(word for each in come for word in each.words))


def _take_out(db: sqlite3.Connection, gone: Sequence[tuple[int, list[str]]]) -> None:
    db.executemany("DELETE FROM entry WHERE position = ?", ((position,) for position, _ in gone))
    rows = sorted((position, " ".join(words)) for position, words in gone)
    db.executemany("INSERT INTO lists (lists, rowid, words) VALUES ('delete', ?, ?)", rows)
    fewer: Counter[str] = Counter()
    for _, words in gone:
        fewer.subtract(words)
    _note_words(db, fewer)


def _note_words(db: sqlite3.Connection, changed: Mapping[str, int]) -> None:
    """Note how many entries more, or fewer, have each word."""
    counts = sorted((word, count) for word, count in changed.items() if word[0] not in "=#")
    upsert = "INSERT INTO vocabulary VALUES (?1, ?2) ON CONFLICT (word) DO UPDATE SET entries = entries + ?2"
    db.executemany(upsert, counts)
    gone = ((word,) for word, count in counts if count < 0)
    db.executemany("DELETE FROM vocabulary WHERE word = ? AND entries <= 0", gone)


class _Places:
    """Positions that are free, for entries that are not in the table before all of them are."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._free: dict[int, int] = {}  # The first of each hour, by where that begins.

    def take(self, base: int) -> int:
        """Return one in the hour that begins at `base` or, where that is full, in some later one.

        Strangers say when a release was made, and may say the same of a hundred thousand, so that all hours that are
        tried are full: then it is one at the end of its class."""
        hours = [base + later * _SLOTS for later in (0, *(1 << number for number in range(_HOURS_TRIED)))]
        for start, stop in (*((start, start + _SLOTS) for start in hours), last_resort(base)):
            free = self._free.get(start)
            if free is None:
                query = "SELECT max(position) FROM entry WHERE position >= ? AND position < ?"
                (last,) = self._db.execute(query, (start, stop)).fetchone()
                free = start if last is None else last + 1
            if free < stop:
                self._free[start] = free + 1
                return free
            self._free[start] = free
        raise sqlite3.DatabaseError("there is no room for an entry")


# --- questions -----------------------------------------------------------------------------------------------------


def _first(db: sqlite3.Connection, asked: str, held: bool, first: int, count: int) -> list[Entry]:
    """Return the entries that answer `asked`, in FTS5's language (nothing: all), by position."""
    below = f"< {_FIRST_NAMED}" if held else "IS NOT NULL"
    if asked:
        # The word lists first, whatever the planner thinks: they are in order, and end it early.
        sql = (
            "SELECT packed FROM lists CROSS JOIN entry ON position = lists.rowid"
            f" WHERE lists MATCH ? AND lists.rowid {below} ORDER BY lists.rowid LIMIT ? OFFSET ?"
        )
        rows: Iterator[tuple[bytes]] = db.execute(sql, (asked, count, first))
    else:
        sql = f"SELECT packed FROM entry WHERE position {below} ORDER BY position LIMIT ? OFFSET ?"
        rows = db.execute(sql, (count, first))
    return [_UNPACK(packed) for (packed,) in rows]


def _asked(db: sqlite3.Connection, query: Query) -> str | None:
    """Return what FTS5 is asked for all words of a query; None if no entry can have them."""
    # Words are letters and digits alone (catalog.words), so nothing in them ends the quotes.
    asked = [_quoted(word) for word in query.words]
    if query.prefix is not None:
        begun = _begun(db, query.prefix)
        if not begun:
            return None
        asked.append(f"({' OR '.join(map(_quoted, begun))})")
    if query.kind is not None:
        asked.append(_quoted(kind_word(query.kind)))
    return " AND ".join(asked)


def _begun(db: sqlite3.Connection, prefix: str) -> list[str]:
    """Return the most common words that begin so, that itself among them if it is one."""
    where = f"SELECT word, entries FROM vocabulary WHERE word >= ?1 AND word < ?2 LIMIT {_BEGUN_READ}"
    sql = f"SELECT word FROM ({where}) ORDER BY word = ?1 DESC, entries DESC LIMIT {limits.SEARCH_BEGUN_MAX}"
    return [word for (word,) in db.execute(sql, (prefix, f"{prefix}\U0010ffff")).fetchall()]


def _called(query: Query) -> str:
    kind = [] if query.kind is None else [kind_word(query.kind)]
    return " AND ".join(map(_quoted, (whole_word(list(query.whole)), *kind)))


def _quoted(word: str) -> str:
    return f'"{word}"'
