"""`state.log`: what cannot be rebuilt, as an append-only log of settings and removals; the newest of a key holds.

Several processes append: each takes the lock of `state.lock`, reads what others added, appends one checksummed record
and syncs it. Where dead records outweigh living ones the log is written anew and renamed over the old one, if there is
room for that: else it stays as it is, and says the same.

The log that was read stays open, so that its inode is no other file's meanwhile: by that, its length and its last time
of change it is told whether there is anything new. Whether it goes on where we were, its last record that we know says.

A log that ends in a torn record lost power while that record was written; nobody was told it was durable, so it is cut
off (and kept beside, as `state.log.torn`, if there is room). A bad record with good ones after it is damage: refused,
since what it said (a highest sequence, perhaps) must not be forgotten unseen. `salvage` goes on without it when the
user says so.
Source: docs/design/store.md.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec

from p2phub.content import pack
from p2phub.errors import Damaged
from p2phub.store.disk import FOLDER_FLAGS, READ_FLAGS, WRITE_FLAGS, Disk, disk_errors, make_folder, need_ours
from p2phub.store.records import RECORD_EXTRA_BYTES, decode_records, encode_record, next_record

LOG = "state.log"
LOCK = "state.lock"
_NEW = "state.log.new"
_TORN = "state.log.torn"
_DAMAGED = "state.log.damaged"
COMPACT_ABOVE_BYTES = 256 << 10

_DECODE_SETTING = msgspec.msgpack.Decoder(tuple[str, tuple[str, ...], list[object]]).decode
_DECODE_REMOVAL = msgspec.msgpack.Decoder(tuple[str, tuple[str, ...]]).decode

Key = tuple[str, ...]
Value = list[object]
Stamp = tuple[int, int, int, int]
"""Which file the log is, its length, and when it was changed last."""


def open_home(disk: Disk, home: Path) -> int:
    """Open the home's folder, made 0700 if it is not there, durably. Raises OSError."""
    make_folder(disk, home, 0o700)
    # Its last part may be a link that the user made; from here on it is a descriptor.
    return os.open(home, FOLDER_FLAGS & ~os.O_NOFOLLOW)


class StateLog:
    """The settings of one home: kind -> key -> value. Thread-safe; reads see what other processes appended."""

    def __init__(self, home: Path, disk: Disk | None = None) -> None:
        self._disk = disk or Disk()
        self._path = home / LOG
        self._mutex = threading.RLock()
        self._state: dict[str, dict[Key, Value]] = {}
        self._not_ours: list[bytes] = []  # Records of a form that a newer version has, to be kept as they are.
        self._living = 0  # About the bytes of the records that hold: `_state`, as it would be written.
        self._end = 0  # How much of the file is in `_state`; what follows it is torn or not read yet.
        self._last = 0, b""  # The last record before that: where it begins, and its head.
        self._file = -1  # A descriptor of the log that was read, or is not: -1.
        self._seen: Stamp | None = None  # How that file was when it was last read.
        self._named = -1  # The inode whose name is known to be durable.
        self._compact_above = COMPACT_ABOVE_BYTES
        self._open = True
        self._locked = False
        self._changes: dict[str, int] = {}  # By kind, the number of its last change.
        self._change = 0  # The number of the last of all.
        with disk_errors(f"use {home}", option="--home"):
            self._home = open_home(self._disk, home)

    def all(self, kind: str) -> dict[Key, Value]:
        """Return the values of `kind` by key. Raises DiskError, Damaged."""
        with self._mutex, disk_errors(f"read {self._path}", option="--home"):
            self._refresh()
            return dict(self._state.get(kind, {}))

    def version(self, kind: str) -> int:
        """Return what is another number when anything of `kind` changed: whoever made something of it can keep that.
        Raises DiskError, Damaged."""
        with self._mutex, disk_errors(f"read {self._path}", option="--home"):
            self._refresh()
            return self._changes.get(kind, 0)

    def get(self, kind: str, key: Key) -> Value | None:
        with self._mutex, disk_errors(f"read {self._path}", option="--home"):
            self._refresh()
            return self._state.get(kind, {}).get(key)

    def stamp(self) -> Stamp | None:
        """Return what tells that nothing was appended; None if there is no log yet. Raises DiskError."""
        with disk_errors(f"read {self._path}", option="--home"):
            try:
                return _stamp(os.stat(LOG, dir_fd=self._home, follow_symlinks=False))
            except FileNotFoundError:
                return None

    @contextlib.contextmanager
    def changing(self) -> Iterator[StateLog]:
        """Within, no other process or thread changes anything: read, decide, then `set` or `remove`."""
        with self._mutex, disk_errors(f"write {self._path}", option="--home"):
            if self._locked:  # Already within: a second descriptor would wait for the first for ever.
                yield self
                return
            lock = self._disk.open(LOCK, WRITE_FLAGS | os.O_CREAT, 0o600, dir_fd=self._home)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._locked = True
                self._refresh()
                yield self
            finally:
                self._locked = False
                os.close(lock)

    def set(self, kind: str, key: Key, value: Value) -> None:
        """Durable on return. Raises DiskError; then it does not hold."""
        with self.changing():
            if self._state.get(kind, {}).get(key) != value:
                self._append([kind, list(key), value])

    def remove(self, kind: str, key: Key) -> None:
        with self.changing():
            if key in self._state.get(kind, {}):
                self._append([kind, list(key)])

    def close(self) -> None:
        with self._mutex:
            if self._open:
                self._open = False
                self._let_go()
                os.close(self._home)

    # --- reading ---------------------------------------------------------------------------------------------------

    def _refresh(self) -> None:
        try:
            status = os.stat(LOG, dir_fd=self._home, follow_symlinks=False)
            if _stamp(status) == self._seen:
                return
            if self._file < 0 or not os.path.samestat(status, os.fstat(self._file)):
                self._read_on_in(self._opened())  # Another process wrote it anew.
        except FileNotFoundError:
            self._let_go()
            self._forget()
            return
        seen = _stamp(os.fstat(self._file))  # Before it is read: what comes meanwhile is read next time.
        data = _read(self._file)
        at, head = self._last
        if self._seen is None or len(data) < self._end or not data.startswith(head, at):
            self._forget()  # What was read is not what stands there.
        bodies, end = decode_records(data, self._end)
        if next_record(data, end) is not None:
            raise Damaged(
                f"{self._path} is damaged at byte {end}: what it said there is lost",
                hint="restore it from a backup, or go on without that record: p2phub doctor --salvage",
            )
        for body in bodies:
            self._take(body)
        if bodies:
            self._note_last(end, bodies[-1], data)
        self._end, self._seen = end, seen

    def _opened(self) -> int:
        file = os.open(LOG, READ_FLAGS, dir_fd=self._home)
        try:
            need_ours(os.fstat(file), self._path)
        except BaseException:
            os.close(file)
            raise
        return file

    def _read_on_in(self, file: int) -> None:
        """Have another file for the log; nothing of it is known yet."""
        self._let_go()
        self._file = file

    def _let_go(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file, self._seen, self._named = -1, None, -1

    def _note_last(self, end: int, body: bytes, data: bytes) -> None:
        at = end - len(body) - RECORD_EXTRA_BYTES
        self._last = at, data[at : at + RECORD_EXTRA_BYTES]

    def _forget(self) -> None:
        self._state, self._living, self._end, self._last = {}, 0, 0, (0, b"")
        self._not_ours = []
        self._change += 1
        self._changes = dict.fromkeys(self._changes, self._change)

    def _take(self, body: bytes) -> None:
        # Hundreds of thousands of times where a home holds much: what nearly all are is tried first.
        value: Value | None
        try:
            kind, name, value = _DECODE_SETTING(body)  # What we wrote, and the checksum holds: its form is looked at.
        except msgspec.ValidationError:
            try:
                kind, name = _DECODE_REMOVAL(body)
            except msgspec.ValidationError:
                self._not_ours.append(body)  # A newer version's: kept in the file, not understood here.
                self._living += len(body) + RECORD_EXTRA_BYTES
                return
            value = None
        except msgspec.DecodeError as exc:
            raise Damaged(f"{self._path} has a record that is none") from exc
        self._change += 1
        self._changes[kind] = self._change
        known = self._state.get(kind)
        if known is None:
            known = self._state[kind] = {}
        if name in known:
            self._living -= len(pack([kind, list(name), known.pop(name)])) + RECORD_EXTRA_BYTES
        if value is not None:
            known[name] = value
            self._living += len(body) + RECORD_EXTRA_BYTES

    # --- writing, under the lock -----------------------------------------------------------------------------------

    def _append(self, record: list[object]) -> None:
        body = pack(record)
        fd = self._disk.open(LOG, WRITE_FLAGS | os.O_CREAT, 0o600, dir_fd=self._home)
        try:
            status = os.fstat(fd)
            need_ours(status, self._path)
            if status.st_size > self._end:
                self._cut_torn(fd, status.st_size)
            framed = encode_record(body, self._end)
            try:
                self._disk.pwrite(fd, framed, self._end)
                self._disk.fdatasync(fd)
                if status.st_ino != self._named:  # Whoever made it, or wrote it anew, may have failed to.
                    self._disk.fsync(self._home)
                    self._named = status.st_ino
            except OSError:
                # It may or may not be on the disk; the caller is told that it does not hold, so take it back.
                with contextlib.suppress(OSError):
                    self._disk.truncate(fd, self._end)
                self._seen = None
                raise
            self._take(body)
            self._last = self._end, framed[:RECORD_EXTRA_BYTES]
            self._end += len(framed)
            if self._file < 0:
                self._file, fd = fd, -1
            self._seen = _stamp(os.fstat(self._file))
        finally:
            if fd >= 0:
                os.close(fd)
        self._compact_if_worth()

    def _cut_torn(self, fd: int, length: int) -> None:
        torn = os.pread(fd, length - self._end, self._end)
        try:
            _write_whole(self._disk, self._home, _TORN, torn)
        except OSError:  # Nobody was told that it holds. On a full disk it must not keep `gc` from making room.
            with contextlib.suppress(OSError):
                self._disk.unlink(_TORN, dir_fd=self._home)
        self._disk.truncate(fd, self._end)

    def _compact_if_worth(self) -> None:
        """Write the log anew if most of it is dead. It says the same either way: what fails here fails nobody."""
        if self._end < self._compact_above or 2 * self._living > self._end:
            return
        ours = [pack([kind, list(key), value]) for kind, known in self._state.items() for key, value in known.items()]
        bodies = self._not_ours + ours
        data = _framed(bodies)
        try:
            _write_whole(self._disk, self._home, _NEW, data)
            file = os.open(_NEW, READ_FLAGS, dir_fd=self._home)
            try:
                self._disk.replace(_NEW, LOG, source_fd=self._home, target_fd=self._home)
            except BaseException:
                os.close(file)
                raise
        except OSError:  # A full disk, say. To try it at each record would take longer than all else.
            with contextlib.suppress(OSError):
                self._disk.unlink(_NEW, dir_fd=self._home)
            self._compact_above = self._end + COMPACT_ABOVE_BYTES
            return
        self._read_on_in(file)
        status = os.fstat(file)
        self._end, self._seen = len(data), _stamp(status)
        if bodies:
            self._note_last(self._end, bodies[-1], data)
        self._compact_above = COMPACT_ABOVE_BYTES
        with contextlib.suppress(OSError):  # Until that is durable the old one is there. Who appends sees to it first.
            self._disk.fsync(self._home)
            self._named = status.st_ino


def salvage(home: Path, disk: Disk | None = None) -> tuple[str, ...]:
    """Keep every record of a damaged log that can be read, the damaged one beside it. Returns what was done, in words.

    Only on the user's word: a name's highest sequence may be among what is lost. Raises DiskError.
    """
    disk = disk or Disk()
    with disk_errors(f"mend {home / LOG}"):
        home_fd = open_home(disk, home)
        try:
            lock = disk.open(LOCK, WRITE_FLAGS | os.O_CREAT, 0o600, dir_fd=home_fd)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                return _salvage(disk, home, home_fd)
            finally:
                os.close(lock)
        finally:
            os.close(home_fd)


def _salvage(disk: Disk, home: Path, home_fd: int) -> tuple[str, ...]:
    data = _read_log(home_fd)
    kept: list[bytes] = []
    lost = 0
    at: int | None = 0
    while at is not None:
        bodies, end = decode_records(data, at)
        kept += bodies
        at = next_record(data, end)
        lost += (len(data) if at is None else at) - end
    if not lost:
        return ()
    # A copy is kept, and the log replaced in one step: at no moment is there none, which would mean an empty home.
    _write_whole(disk, home_fd, _DAMAGED, data)
    disk.fsync(home_fd)
    _write_whole(disk, home_fd, _NEW, _framed(kept))
    disk.replace(_NEW, LOG, source_fd=home_fd, target_fd=home_fd)
    disk.fsync(home_fd)
    return (f"{home / LOG}: kept {len(kept)} records, lost {lost} bytes; the damaged log is {home / _DAMAGED}",)


def _write_whole(disk: Disk, home_fd: int, name: str, data: bytes) -> None:
    fd = disk.open(name, WRITE_FLAGS | os.O_CREAT, 0o600, dir_fd=home_fd)
    try:
        disk.truncate(fd, 0)
        disk.pwrite(fd, data, 0)
        disk.fdatasync(fd)
    finally:
        os.close(fd)


def _framed(bodies: list[bytes]) -> bytes:
    data = bytearray()
    for body in bodies:
        data += encode_record(body, len(data))
    return bytes(data)


def _read_log(home_fd: int) -> bytes:
    try:
        fd = os.open(LOG, READ_FLAGS, dir_fd=home_fd)
    except FileNotFoundError:
        return b""
    try:
        return _read(fd)
    finally:
        os.close(fd)


def _read(fd: int) -> bytes:
    with open(fd, "rb", closefd=False) as file:
        file.seek(0)
        return file.read()


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
