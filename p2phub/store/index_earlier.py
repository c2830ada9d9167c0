"""What the index is asked of the earlier versions of a folder: which of their files are not what stands there now.

One question for some holdings at a time, answered by fingerprints and roots: a folder may be published a thousand
times, and of nearly all files of all versions nothing is to be said. What comes of the answers: `earlier`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence

from p2phub.store.database import DOUBTED, Database
from p2phub.store.holding import Origin
from p2phub.store.index import FileRow, FileState, file_row, fingerprint_values, give_up_unheld

HOLDINGS_AT_ONCE = 16  # Looked through in one step, so that whoever serves meanwhile waits for a moment at most.

_KNOWN = "device, inode, size, mtime_ns, ctime_ns"
_SAME = f"ifnull(root, 0), {_KNOWN}"
_NOT_AS_IN_THE_NEWEST = (
    f"SELECT holding, number, standing, place, {_KNOWN} FROM file WHERE holding IN ({{ids}}) AND ("
    f"size IS NOT NULL AND ({_SAME}) NOT IN (SELECT {_SAME} FROM file WHERE holding = ?1 AND size IS NOT NULL)"
    f" OR standing = {DOUBTED} AND root IN"
    f" (SELECT root FROM file WHERE holding = ?1 AND root IS NOT NULL AND standing <> {DOUBTED})"
    ") ORDER BY holding, number"
)


class EarlierIndex:
    """Asks `database`, as `index.Index` does. Thread-safe. Methods raise DiskError."""

    def __init__(self, database: Database) -> None:
        self._do = database.do

    def not_as_in(self, newest: int, holdings: Sequence[int]) -> Iterator[tuple[int, list[FileRow]]]:
        """Yield of these holdings, where there are any, the files that the holding `newest` does not have just as they
        were hashed; of those in doubt the ones whose content it has."""
        for at in range(0, len(holdings), HOLDINGS_AT_ONCE):
            query = _NOT_AS_IN_THE_NEWEST.format(ids=", ".join(map(str, holdings[at : at + HOLDINGS_AT_ONCE])))
            found: dict[int, list[FileRow]] = {}
            for holding, *row in self._do(lambda db, query=query: db.execute(query, (newest,)).fetchall()):  # type: ignore[misc]
                found.setdefault(holding, []).append(file_row(*row))
            yield from found.items()

    def with_content(self, root: int, *, most: int) -> list[tuple[int, int]]:
        """Return (holding, number) of files that have the content of a root and are not in doubt, where the user, or
        another program, has them."""
        origins = ", ".join(f"'{each.value}'" for each in (Origin.PUBLISHED, Origin.FETCHED, Origin.ADOPTED))
        query = (
            "SELECT file.holding, number FROM file JOIN holding ON holding.id = file.holding"
            f" WHERE root = ? AND standing <> {DOUBTED} AND origin IN ({origins}) ORDER BY holding DESC LIMIT {most}"
        )
        return self._do(lambda db: db.execute(query, (root,)).fetchall())

    def settle(self, holding: int, files: Mapping[int, FileState], source: bytes | None) -> None:
        """Record how files of a holding stand now, by number, and what it is from. Durable on return. Rows of contents
        that nothing has any more are still there: `ContentIndex.unheld`."""
        update = (
            "UPDATE file SET standing = ?, device = ?, inode = ?, size = ?, mtime_ns = ?, ctime_ns = ?, place = ?,"
            " root = ? WHERE holding = ? AND number = ?"
        )

        def record(db: sqlite3.Connection) -> None:
            with db:
                db.execute("BEGIN IMMEDIATE")
                was = "SELECT root FROM file WHERE holding = ? AND number = ? AND root IS NOT NULL"
                before = [root for number in files for (root,) in db.execute(was, (holding, number)).fetchall()]
                db.executemany(
                    update,
                    (
                        (standing, *fingerprint_values(known), place, root, holding, number)
                        for number, (standing, known, place, root) in files.items()
                    ),
                )
                db.execute("UPDATE holding SET source = ? WHERE id = ?", (source, holding))
                give_up_unheld(db, before)

        self._do(record)
