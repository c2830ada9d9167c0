"""What answers a question in `catalog.sqlite`: the first entries that have its words, by position.

A word's list of positions is ascending, so the first that have two words are found by going along two lists until that
many are together, however many there are. A word that is only begun stands for the most common ones that begin so: FTS5
would read the lists of all of them to their end before it told of the first.
Source: docs/decisions/0110-search.md.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from p2phub import limits
from p2phub.catalog import Entry, Query, kind_word, page, whole_word
from p2phub.store.catalog_rows import FIRST_NAMED, UNPACK

_BEGUN_READ = 20_000  # Of the words that begin with one letter, so many are looked at.


def find(db: sqlite3.Connection, query: Query, first: int, count: int) -> list[Entry]:
    """Return the answers from number `first` on: who is called so before all others."""
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


def count(db: sqlite3.Connection, query: Query) -> int:
    """Return how many answers there are."""
    below = f"< {FIRST_NAMED}" if query.held else "IS NOT NULL"
    asked = _asked(db, query)
    if asked is None:
        return 0
    if asked:
        sql = f"SELECT count(*) FROM lists WHERE lists MATCH ? AND rowid {below}"
        (found,) = db.execute(sql, (asked,)).fetchone()
    else:
        (found,) = db.execute(f"SELECT count(*) FROM entry WHERE position {below}").fetchone()
    return int(found)


def _first(db: sqlite3.Connection, asked: str, held: bool, first: int, count: int) -> list[Entry]:
    """Return the entries that answer `asked`, in FTS5's language (nothing: all), by position."""
    below = f"< {FIRST_NAMED}" if held else "IS NOT NULL"
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
    return [UNPACK(packed) for (packed,) in rows]


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
