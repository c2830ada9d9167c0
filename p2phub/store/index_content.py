"""Which content the index knows, and in which files of which holdings it is: chunks, and large files alone.

What a file has is noted once, by its root, however many holdings have that file: a new version of a repository adds
rows for new files alone. Rows follow from the content, so whoever writes them a second time writes the same; those of
a content are all there where it is `noted`. One that no file has any more loses its rows some at a time, and whoever
holds it meanwhile keeps them: each step looks. Source: docs/decisions/0096-rows-by-file.md.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

import msgspec

from p2phub.content import DIGEST_BYTES, Digest
from p2phub.store.database import ALL_NOTED, BLOBS_NOTED, Database
from p2phub.store.index import ROWS_AT_ONCE, UNHELD, key_of, keys_of

PLACES_TOLD_MAX = 16  # Of one chunk, which may be in many versions of a model: one that can be read is enough.
CHUNKS_AT_ONCE = 1 << 17  # Written in one step, half a second: another process waits for the index at most BUSY_S.
PARTS = 1024  # Of the keys of chunks, which are spread evenly: 10 million rows are 10,000 a part.
_KEY_MIN, _KEYS = -(1 << 63), 1 << 64
_GOES = f"noted = 0 AND {UNHELD}"


Roots = Sequence[int | None]
"""What the files of a holding have, by number; None: nothing."""


_NEWEST = f"ORDER BY holding DESC LIMIT {PLACES_TOLD_MAX}"
_FIND = (
    # Files of one chunk, which that is all of; and files of contents that have it. In one statement: each costs 10 us.
    f"SELECT * FROM (SELECT holding, number, 0 FROM file WHERE root = ?1 {_NEWEST})"
    " UNION ALL SELECT * FROM (SELECT file.holding, file.number, each.number"
    f" FROM (SELECT root, number FROM chunk WHERE key = ?1 LIMIT {PLACES_TOLD_MAX}) AS each"
    f" JOIN file ON file.root = each.root {_NEWEST})"
)


class Content(msgspec.Struct, frozen=True):
    """What a file of several chunks has: the digest that is its root, its bytes, how many chunks."""

    digest: Digest
    size: int
    chunks: int

    @property
    def root(self) -> int:
        """What the index knows it by."""
        return key_of(self.digest.raw)


class Place(msgspec.Struct, frozen=True):
    """Where a chunk may be: in file number `file` of a holding, the chunk `number` of that file."""

    holding: int
    file: int
    number: int


class ContentIndex:
    """Asks `database`, as `index.Index` does. Thread-safe. Methods raise DiskError."""

    def __init__(self, database: Database) -> None:
        self._do = database.do

    # --- what is there ---------------------------------------------------------------------------------------------

    def find_chunk(self, digest: bytes) -> list[Place]:
        """Return where a chunk of this digest may be, the newest holdings first."""
        found = self._do(lambda db: db.execute(_FIND, (key_of(digest),)).fetchall())
        if len(found) > 1:
            found.sort(key=lambda place: -place[0])
        return [Place(*place) for place in found[:PLACES_TOLD_MAX]]

    def files_with(self, root: Digest) -> list[tuple[int, int]]:
        """Return (holding, number) of files that may be what `root` is of, the newest holdings first."""
        query = f"SELECT holding, number FROM file WHERE root = ? ORDER BY holding DESC LIMIT {PLACES_TOLD_MAX}"
        return self._do(lambda db: db.execute(query, (key_of(root.raw),)).fetchall())

    def has_chunks(self) -> bool:
        """Whether any chunk is known."""
        query = "SELECT 1 FROM file WHERE root IS NOT NULL LIMIT 1"
        return self._do(lambda db: db.execute(query).fetchone()) is not None

    def parts(self, holding: int) -> list[Digest]:
        """Return the files alone that a holding has."""
        query = "SELECT part FROM part WHERE holding = ? ORDER BY number"
        return [Digest(part) for (part,) in self._do(lambda db: db.execute(query, (holding,)).fetchall())]

    def with_part(self, part: Digest) -> list[tuple[int, int]]:
        """Return (holding, number of the file) of each place where a file alone is, of the newest holdings first."""
        query = f"SELECT holding, number FROM part WHERE part = ? ORDER BY holding DESC LIMIT {PLACES_TOLD_MAX}"
        return self._do(lambda db: db.execute(query, (part.raw,)).fetchall())

    # --- noting it -------------------------------------------------------------------------------------------------

    def without_chunks(self) -> list[int]:
        """Return the ids of the holdings whose chunks are not noted yet, the newest first."""
        return self._below(ALL_NOTED)

    def without_blobs(self) -> list[int]:
        """Return the ids of those of which it is not even noted which blobs they need."""
        return self._below(BLOBS_NOTED)

    def _below(self, noted: int) -> list[int]:
        query = "SELECT id FROM holding WHERE chunked < ? ORDER BY id DESC"
        return [number for (number,) in self._do(lambda db: db.execute(query, (noted,)).fetchall())]

    def note_blobs(self, holding: int, parts: Sequence[tuple[Digest, int]], needed: Iterable[Digest]) -> None:
        """Note the `parts` of a holding (file alone, number of the file), and which blobs it needs."""
        blobs = [(key_of(blob.raw), holding) for blob in needed]

        def record(db: sqlite3.Connection) -> None:
            with db:
                db.execute("BEGIN IMMEDIATE")
                if db.execute("SELECT 1 FROM holding WHERE id = ?", (holding,)).fetchone() is None:
                    return  # Forgotten meanwhile.
                found = ((part.raw, holding, number) for part, number in parts)
                db.executemany("INSERT OR IGNORE INTO part VALUES (?, ?, ?)", found)
                db.executemany("INSERT OR IGNORE INTO needed VALUES (?, ?)", blobs)
                _set_noted(db, holding, BLOBS_NOTED)

        self._do(record)

    def not_noted(self, roots: Iterable[int]) -> set[int]:
        """Return those of these contents whose chunks are not noted."""
        query = "SELECT 1 FROM content WHERE root = ? AND noted = 1"
        return self._do(lambda db: {root for root in roots if db.execute(query, (root,)).fetchone() is None})

    def note_chunks(self, holdings: Mapping[int, Roots], contents: Iterable[tuple[Content, bytes]]) -> None:
        """Note what the files of `holdings` have (their roots, by number), where that is not known yet, and the chunks
        of `contents` that are not noted: (content, the digests of its chunks, packed) each. Then all of these holdings
        is noted. Of several at once, because rows that are written in the order of their keys share pages."""
        waiting = _Step()
        for step in _steps(contents):
            self._write(holdings, waiting)
            waiting = step
        self._write(holdings, waiting, is_last=True)

    def _write(self, holdings: Mapping[int, Roots], step: _Step, *, is_last: bool = False) -> None:
        if not holdings or not (step.pieces or is_last):
            return

        def record(db: sqlite3.Connection) -> None:
            with db:
                db.execute("BEGIN IMMEDIATE")
                for holding, roots in holdings.items():  # First: what no file has is not noted.
                    _set_roots(db, holding, roots)
                # With each step: if it was released and removed meanwhile, what is written now is still found.
                values = [(each.root, each.digest.raw, each.size, each.chunks) for each in step.contents]
                db.executemany("INSERT OR IGNORE INTO content VALUES (?, ?, ?, ?, 0)", values)
                db.executemany("INSERT OR IGNORE INTO chunk VALUES (?, ?, ?)", _rows_of(step.pieces))
                # Not if nobody has it by now: it would stay for ever.
                ended = [(each.root,) for each in step.ended]
                db.executemany(f"UPDATE content SET noted = 1 WHERE root = ? AND NOT {UNHELD}", ended)
                for holding in holdings if is_last else ():
                    _set_noted(db, holding, ALL_NOTED)

        self._do(record)

    # --- forgetting it ---------------------------------------------------------------------------------------------

    def unheld(self) -> list[Content]:
        """Return the contents that no file has any more, whose rows are still to be removed."""
        query = f"SELECT digest, size, chunks FROM content WHERE {_GOES}"
        return [Content(Digest(digest), *rest) for digest, *rest in self._do(lambda db: db.execute(query).fetchall())]

    def forget(self, content: Content, digests: bytes) -> None:
        """Remove the rows of a content that no file has (the digests of its chunks, packed), some at a time: between
        them others get their turn. Of one that is held again by now they stay, or are noted anew."""
        rows = ((key, content.root, number) for number, key in enumerate(keys_of(digests)))
        query = "DELETE FROM chunk WHERE key = ? AND root = ? AND number = ?"
        going = True
        while going and (some := list(islice(rows, ROWS_AT_ONCE))):

            def remove(db: sqlite3.Connection, some: list[tuple[int, int, int]] = some) -> bool:
                with db:
                    db.execute("BEGIN IMMEDIATE")
                    if not _goes(db, content.root):
                        return False
                    db.executemany(query, some)
                    return True

            going = self._do(remove)
        self._do(lambda db: db.execute(f"DELETE FROM content WHERE root = ? AND {_GOES}", (content.root,)))

    def forget_unknown(self, contents: Sequence[Content]) -> None:
        """The same of contents of which nobody knows any more which their chunks are. Reads all rows."""
        for first, last in self.parts_of_keys():

            def remove(db: sqlite3.Connection, first: int = first, last: int = last) -> None:
                with db:
                    db.execute("BEGIN IMMEDIATE")
                    roots = ", ".join(str(each.root) for each in contents if _goes(db, each.root))
                    db.execute(f"DELETE FROM chunk WHERE key BETWEEN ? AND ? AND root IN ({roots})", (first, last))

            self._do(remove)
        query = f"DELETE FROM content WHERE root = ? AND {_GOES}"
        self._do(lambda db: db.executemany(query, [(each.root,) for each in contents]))

    def parts_of_keys(self) -> Iterator[tuple[int, int]]:
        """Yield the first and last key of each part of all keys; of few rows there is one."""
        query = f"SELECT 1 FROM chunk LIMIT 1 OFFSET {ROWS_AT_ONCE}"
        parts = 1 if self._do(lambda db: db.execute(query).fetchone()) is None else PARTS
        step = _KEYS // parts
        for part in range(parts):
            first = _KEY_MIN + part * step
            yield first, first + step - 1


_Piece = tuple[int, int, bytes]
"""The root of a content, the number of the first of some of its chunks, and their digests."""


class _Step(msgspec.Struct):
    """What is written at once: `pieces` of `contents`; of those in `ended` they are the last."""

    pieces: list[_Piece] = msgspec.field(default_factory=list)
    contents: list[Content] = msgspec.field(default_factory=list)
    ended: list[Content] = msgspec.field(default_factory=list)
    chunks: int = 0


def _steps(contents: Iterable[tuple[Content, bytes]]) -> Iterator[_Step]:
    step = _Step()
    for content, digests in contents:
        at = 0
        while at < content.chunks:
            if step.chunks == CHUNKS_AT_ONCE:
                yield step
                step = _Step()
            step.contents.append(content)
            count = min(CHUNKS_AT_ONCE - step.chunks, content.chunks - at)
            step.pieces.append((content.root, at, digests[at * DIGEST_BYTES : (at + count) * DIGEST_BYTES]))
            at += count
            step.chunks += count
        step.ended.append(content)
    if step.pieces:
        yield step


def _rows_of(piece: Sequence[_Piece]) -> Iterator[tuple[int, int, int]]:
    """Yield the rows of some chunks in the order of the keys: else each is put at another page of the tree."""
    keys = keys_of(b"".join(digests for _, _, digests in piece))
    roots: list[int] = []
    numbers: list[int] = []
    for root, first, digests in piece:
        count = len(digests) // DIGEST_BYTES
        roots += [root] * count
        numbers += range(first, first + count)
    return ((keys[at], roots[at], numbers[at]) for at in sorted(range(len(keys)), key=keys.__getitem__))


def _goes(db: sqlite3.Connection, root: int) -> bool:
    return db.execute(f"SELECT 1 FROM content WHERE root = ? AND {_GOES}", (root,)).fetchone() is not None


def _set_roots(db: sqlite3.Connection, holding: int, roots: Roots) -> None:
    """Note what the files of a holding have, unless `Index.hold` was told: the index was lost, or is of an earlier
    p2phub."""
    if db.execute("SELECT 1 FROM file WHERE holding = ? AND root IS NOT NULL LIMIT 1", (holding,)).fetchone() is None:
        known = ((root, holding, number) for number, root in enumerate(roots) if root is not None)
        db.executemany("UPDATE file SET root = ? WHERE holding = ? AND number = ?", known)


def _set_noted(db: sqlite3.Connection, holding: int, noted: int) -> None:
    db.execute("UPDATE holding SET chunked = ? WHERE id = ? AND chunked < ?", (noted, holding, noted))
