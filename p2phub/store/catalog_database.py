"""The catalog's index on a disk: `catalog.sqlite` (WAL), opened, begun anew where it is damaged, and closed.

What stands in it tells `catalog_rows`, how it is asked `catalog_finding`.

All of it can be told again: what is damaged, or of another schema, is removed and begun anew. One connection reads and
one writes, so nobody who searches waits for what is written. It tells of private releases, so it is for its user alone.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from p2phub import limits
from p2phub.catalog import (
    Entry,
    Query,
)
from p2phub.errors import DiskError
from p2phub.store.catalog import Told
from p2phub.store.catalog_finding import count, find
from p2phub.store.catalog_rows import SCHEMA, entry_of, make, marks, own, put, remove, trim
from p2phub.store.database import disk_error, is_damage
from p2phub.store.disk import disk_errors, need_ours

CATALOG = "catalog.sqlite"
_SUFFIXES = ("", "-wal", "-shm")
_BUSY_S = 10.0
_WAL_BYTES = 16 * limits.MIB  # Kept of a log that was longer.
_CACHE_KIB = 16 * 1024  # Of each connection.
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
        self._write(lambda db: put(db, told))

    def remove(self, keys: Iterable[bytes]) -> None:
        gone = tuple(keys)
        self._write(lambda db: remove(db, gone))

    def trim(self, seen_max: int) -> int:
        return self._write(lambda db: trim(db, seen_max))

    # --- asking it -------------------------------------------------------------------------------------------------

    def own(self) -> Mapping[bytes, bytes]:
        return self._read(own)

    def marks(self, keys: Iterable[bytes]) -> Mapping[bytes, bytes]:
        asked = tuple(keys)
        return self._read(lambda db: marks(db, asked))

    def entry(self, key: bytes) -> Entry | None:
        return self._read(lambda db: entry_of(db, key))

    def find(self, query: Query, first: int, count: int) -> list[Entry]:
        return self._read(lambda db: find(db, query, first, count))

    def count(self, query: Query) -> int:
        return self._read(lambda db: count(db, query))

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
                    make(self._writer)
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
