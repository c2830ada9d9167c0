"""What stands in `catalog.sqlite`: entries in the order of their positions, their words in FTS5; put in, and taken out.

    entry    position (from what comes first) | key | mark | seen | packed
    lists    FTS5, its rowid the position; holds which entries have a word and nothing else (`content=''`, no places
             within a text, no lengths)
    vocabulary  word | how many entries have it
What a list was made of is not kept: to take an entry out its words are made again, so a change of
`catalog.index_words` takes a new SCHEMA.
Source: docs/decisions/0110-search.md.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from p2phub.catalog import (
    NAMED,
    SEEN,
    SLOT_BITS,
    Entry,
    first_position,
    index_words,
    last_resort,
    position_of,
)
from p2phub.store.catalog import Told

SCHEMA = 1
_SLOTS = 1 << SLOT_BITS
_HOURS_TRIED = 20  # Each twice as far away as the one before: all hours there are.
_TRIM_AT_ONCE = 2000
_FIRST_SEEN, FIRST_NAMED = first_position(SEEN), first_position(NAMED)
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
UNPACK = msgspec.msgpack.Decoder(Entry).decode


def make(db: sqlite3.Connection) -> None:
    """Make the tables."""
    with db:
        db.execute("BEGIN IMMEDIATE")
        if db.execute("PRAGMA user_version").fetchone() != (SCHEMA,):  # Else another process was faster.
            for statement in _TABLES:
                db.execute(statement)


class _Coming(NamedTuple):
    """An entry to be taken in: at the first position that is free from `base` on."""

    base: int
    key: bytes
    told: Told
    words: list[str]


def put(db: sqlite3.Connection, told: Iterable[Told]) -> None:
    """Put entries in, in the place of those with the same keys."""
    gone: list[tuple[int, list[str]]] = []
    come: list[_Coming] = []
    for key, each in {each.entry.key: each for each in told}.items():
        entry, base = each.entry, position_of(each.entry)
        words = index_words(entry)
        row = db.execute("SELECT position, packed FROM entry WHERE key = ?", (key,)).fetchone()
        if row is not None:
            was = index_words(UNPACK(row[1]))
            if base <= row[0] < base + _SLOTS and was == words:
                update = "UPDATE entry SET mark = ?, seen = ?, packed = ? WHERE position = ?"
                db.execute(update, (each.mark, entry.seen, _PACK(entry), row[0]))
                continue
            gone.append((row[0], was))
        come.append(_Coming(base, key, each, words))
    _take_out(db, gone)
    _take_in(db, come)


def remove(db: sqlite3.Connection, keys: Iterable[bytes]) -> None:
    found = (db.execute("SELECT position, packed FROM entry WHERE key = ?", (key,)).fetchone() for key in keys)
    _take_out(db, [(row[0], index_words(UNPACK(row[1]))) for row in found if row is not None])


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


def trim(db: sqlite3.Connection, seen_max: int) -> int:
    """Take out those of what was only seen that were so longest ago, some at a time; return how many."""
    (seen,) = db.execute(f"SELECT count(*) FROM entry WHERE position >= {_FIRST_SEEN}").fetchone()
    over = min(seen - seen_max, _TRIM_AT_ONCE)
    if over <= 0:
        return 0
    query = f"SELECT key FROM entry WHERE position >= {_FIRST_SEEN} ORDER BY seen LIMIT ?"
    remove(db, [key for (key,) in db.execute(query, (over,)).fetchall()])
    return int(over)


def own(db: sqlite3.Connection) -> dict[bytes, bytes]:
    """Return the marks of all that is not only seen, by key."""
    return dict(db.execute(f"SELECT key, mark FROM entry WHERE position < {_FIRST_SEEN}").fetchall())


def marks(db: sqlite3.Connection, keys: Iterable[bytes]) -> dict[bytes, bytes]:
    """Return those of entries that are there, by key."""
    rows = (db.execute("SELECT key, mark FROM entry WHERE key = ?", (key,)).fetchone() for key in keys)
    return dict(row for row in rows if row is not None)


def entry_of(db: sqlite3.Connection, key: bytes) -> Entry | None:
    """Return the entry with that key, None if there is none."""
    row = db.execute("SELECT packed FROM entry WHERE key = ?", (key,)).fetchone()
    return None if row is None else UNPACK(row[0])
