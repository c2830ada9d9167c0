"""The members of zip and tar archives: names and where their bytes begin. Nothing is unpacked.

Not by the standard library's modules, which load a whole directory, however large it says it is: here one member at a
time is read, and no more of them than MEMBERS_MAX. Only what a reader may come upon counts, not whether the archive is
well made: sizes and checksums that contradict each other do not keep a loader from opening what it finds.
Source: PKWARE's APPNOTE 6.3 §4.3; POSIX.1-2017 `pax`, ustar.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator

import msgspec

Read = Callable[[int, int], bytes]

MEMBERS_MAX = 1 << 18
_END = struct.Struct("<4s4H2LH")  # Magic, disks, counts, size and place of the directory, length of a comment.
_END_MAGIC, _END_64_MAGIC, _LOCATOR_MAGIC = b"PK\5\6", b"PK\6\6", b"PK\6\7"
_LOCATOR = struct.Struct("<4sLQL")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s4B4H3L5H2L")
_ENTRY_MAGIC = b"PK\1\2"
_LOCAL = struct.Struct("<4s2B4HL2L2H")
_LOCAL_MAGIC = b"PK\3\4"
_COMMENT_BYTES_MAX = 0xFFFF
_UNKNOWN = 0xFFFF_FFFF
_STORED, _DEFLATED = 0, 8
_BLOCK_BYTES = 512
_TAR_GLOBAL, _TAR_SPARSE = b"g", b"S"
_TAR_EXTENDED = (b"x", b"X", _TAR_GLOBAL)
_TAR_LONG_NAMES = (b"L", b"K")
_TAR_EMPTY = (b"1", b"2", b"3", b"4", b"5", b"6")  # Links, devices, folders, pipes: readers skip no content of these.
_TAR_EXTENDED_BYTES_MAX = 1 << 20
_TAR_RECORD = re.compile(rb"([0-9]+) ([^=]+)=")


class Unreadable(Exception):
    """An archive that a loader may read otherwise than we do, or not at all. For `danger` alone."""


class Member(msgspec.Struct, frozen=True):
    """`stored_bytes` from `start` on, packed by deflate if `deflated`."""

    name: str
    start: int
    stored_bytes: int
    deflated: bool


def looks_like_zip(size: int, read: Read) -> bool:
    """Whether a zip reader would open it: they look for the end of a directory, whatever stands before."""
    return _end_of_directory(size, read) is not None


def looks_like_tar(first: bytes) -> bool:
    """Whether a file that begins with `first` (512 bytes) might be one: by its magic, which the oldest do without, or
    by the checksum of its header, which is what readers go by."""
    header = first[:_BLOCK_BYTES]
    return header[257:262] == b"ustar" or (len(header) == _BLOCK_BYTES and _checksum_holds(header))


def members_of_zip(size: int, read: Read) -> Iterator[Member]:
    """Yield the members that the directory names. Raises Unreadable where it cannot be followed."""
    end = _end_of_directory(size, read)
    if end is None:
        raise Unreadable("it has no directory")
    at, stop = end
    for _ in range(MEMBERS_MAX):
        if at + _ENTRY.size > stop:
            return
        entry = _ENTRY.unpack(read(at, _ENTRY.size))
        if entry[0] != _ENTRY_MAGIC:
            return  # A reader goes by the magic, too.
        method, packed, name_bytes, extra_bytes, comment_bytes, local = (
            entry[6], entry[10], entry[12], entry[13], entry[14], entry[18],
        )  # fmt: skip
        names = read(at + _ENTRY.size, min(name_bytes + extra_bytes, stop - at - _ENTRY.size))
        name, extra = names[:name_bytes].decode("utf-8", "replace"), names[name_bytes:]
        packed, local = _long_values(extra, entry[11], packed, local)
        yield _member_at(local, name, packed, method, size, read)
        at += _ENTRY.size + name_bytes + extra_bytes + comment_bytes
    raise Unreadable(f"more than {MEMBERS_MAX} members")


def members_of_tar(size: int, read: Read) -> Iterator[Member]:
    """Yield the members, one header after the other. Raises Unreadable where they cannot be followed, or where readers
    would not all find the next one at the same place."""
    at, told = 0, None
    for _ in range(MEMBERS_MAX):
        if at + _BLOCK_BYTES > size:
            return
        header = read(at, _BLOCK_BYTES)
        if not any(header):
            return
        name = header[:100].split(b"\0", 1)[0].decode("utf-8", "replace")
        length = _tar_number(header[124:136])
        start = at + _BLOCK_BYTES
        kind = header[156:157]
        if kind in _TAR_EXTENDED:
            if length > _TAR_EXTENDED_BYTES_MAX:
                raise Unreadable("a header that goes on for too long")
            more = _told_length(read(start, max(0, min(length, size - start))))
            if more is not None and (told is not None or kind == _TAR_GLOBAL):
                raise Unreadable("a length told for several members, or several for one")
            told = told if more is None else more
        elif kind not in _TAR_LONG_NAMES:  # These stand between an extended header and its member.
            is_folder = kind == b"\0" and name.endswith("/")
            length, told = length if told is None else told, None
            if kind == _TAR_SPARSE or (length and (is_folder or kind in _TAR_EMPTY)):
                raise Unreadable(f"a length of {name[:80]!r}, which has none")
        yield Member(name, start, max(0, min(length, size - start)), deflated=False)
        at = start + -(-length // _BLOCK_BYTES) * _BLOCK_BYTES
    raise Unreadable(f"more than {MEMBERS_MAX} members")


def _checksum_holds(header: bytes) -> bool:
    """Whether the checksum of a tar's header is right, as readers of it see that: by signed or unsigned bytes."""
    field = header[148:156]
    try:
        if field[0] in (0x80, 0xFF):
            said = int.from_bytes(field[1:], "big")
        else:
            said = int(field.split(b"\0", 1)[0].decode("ascii").strip() or "0", 8)  # As Python's own does: `0o17` too.
    except ValueError:
        return False
    rest = header[:148] + header[156:]
    unsigned = 8 * 32 + sum(rest)
    return said in (unsigned, unsigned - 256 * sum(byte > 127 for byte in rest))


def _told_length(records: bytes) -> int | None:
    """Return the length of the next member that an extended header tells, None if it tells none."""
    if b"GNU.sparse" in records:
        raise Unreadable("a file with holes")
    told = None
    at = 0
    while found := _TAR_RECORD.match(records, at):
        stop = at + _decimal(found[1])
        if stop <= at:
            raise Unreadable("a record of no length")
        if found[2] == b"size":
            told = _decimal(records[found.end() : stop - 1])
        at = stop
    return told


def _decimal(digits: bytes) -> int:
    if not digits.isdigit() or len(digits) > 20:
        raise Unreadable("a length that is no number")
    return int(digits)


def _tar_number(field: bytes) -> int:
    """Read octal digits, or the binary form of GNU tar for what does not fit in them."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.split(b"\0", 1)[0].strip()
    if not all(48 <= digit < 56 for digit in digits):
        raise Unreadable("a length that is no number")
    return int(digits or b"0", 8)


def _end_of_directory(size: int, read: Read) -> tuple[int, int] | None:
    """Return where a zip's directory begins and ends; None if this is no zip.

    Raises Unreadable if something stands before the archive: readers then disagree about where the directory is, so
    that one of them may be shown another than we are.
    """
    length = min(size, _END.size + _COMMENT_BYTES_MAX)
    tail = read(size - length, length)
    at = tail.rfind(_END_MAGIC, 0, max(0, len(tail) - _END.size + len(_END_MAGIC)))
    if at < 0:
        return None
    stop = size - length + at
    *_, directory_bytes, start, _ = _END.unpack_from(tail, at)
    if _UNKNOWN in (directory_bytes, start) and stop >= _LOCATOR.size:
        locator = _LOCATOR.unpack(read(stop - _LOCATOR.size, _LOCATOR.size))
        if locator[0] == _LOCATOR_MAGIC and locator[2] + _END_64.size <= stop:
            large = _END_64.unpack(read(locator[2], _END_64.size))
            if large[0] == _END_64_MAGIC:
                directory_bytes, start, stop = large[8], large[9], locator[2]
    begins = {begin for begin in (stop - directory_bytes, start) if _is_entry(begin, stop, read)}
    if begins and begins != {stop - directory_bytes}:
        raise Unreadable("something stands before it")
    return (stop - directory_bytes, stop) if begins else None


def _is_entry(at: int, stop: int, read: Read) -> bool:
    return 0 <= at <= stop - _ENTRY.size and read(at, len(_ENTRY_MAGIC)) == _ENTRY_MAGIC


def _long_values(extra: bytes, unpacked: int, packed: int, local: int) -> tuple[int, int]:
    """Return packed length and place, from the extra field where they do not fit in 32 bits."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            values = iter(struct.unpack_from(f"<{min(length, len(extra) - at - 4) // 8}Q", extra, at + 4))
            if unpacked == _UNKNOWN:
                next(values, None)
            packed = next(values, packed) if packed == _UNKNOWN else packed
            local = next(values, local) if local == _UNKNOWN else local
            break
        at += 4 + length
    return packed, local


def _member_at(at: int, name: str, packed: int, method: int, size: int, read: Read) -> Member:
    """Return the member whose local header stands at `at`."""
    if not 0 <= at <= size - _LOCAL.size:
        raise Unreadable(f"{name[:80]!r} begins outside of the file")
    local = _LOCAL.unpack(read(at, _LOCAL.size))
    if local[0] != _LOCAL_MAGIC:
        raise Unreadable(f"{name[:80]!r} does not begin where it should")
    start = at + _LOCAL.size + local[-2] + local[-1]
    if method not in (_STORED, _DEFLATED):
        raise Unreadable(f"{name[:80]!r} is packed in a way that is not known here ({method})")
    return Member(name, start, max(0, min(packed, size - start)), deflated=method == _DEFLATED)
