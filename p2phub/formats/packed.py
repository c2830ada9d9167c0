"""The beginning of what is packed: by gzip, zlib, bzip2, xz or lzma, or deflated within a zip.

A loader reads on until it has what it wants: past a long name, past blocks and members with nothing in them. So whoever
looks at so many packed bytes can be shown nothing; here it is read on until so many unpacked ones came out. What yields
fewer out of all that is looked at is Unreadable. Loaders read in pieces, and use what came out before an error: so
does this, which is why a piece with an error in it is gone through again byte by byte.
Only what a loader would find counts, as in `archives`. Pure, and bounded in bytes, members and memory.
Source: RFC 1950 to 1952; the .xz and .lzma formats of XZ Utils; Python's `gzip`, `bz2`, `lzma`; joblib's `compressor`.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

import msgspec

from p2phub import limits
from p2phub.formats.archives import Read, Unreadable

BEGINNING_BYTES = 4 * limits.KIB
"""So much of what is packed is unpacked."""

_PIECE_BYTES = 4 * limits.KIB
_LOOK_BYTES = 64 * limits.KIB  # Of what is packed. An honest deflate or lzma stream has far more to show by then.
_BLOCK_BYTES = limits.MIB  # The same of bzip2, whose first byte comes out when a block of 900 kB is read.
_MEMBERS_MAX = 256  # An honest file has a few in its first 4 KiB, if it is made of very small ones.
_XZ_MEMORY_BYTES = 80 * limits.MIB  # `xz -9` takes 65. It is reserved, and hardly touched by the first 4 KiB.
_LZMA_DICTIONARY = (1 << 16).to_bytes(4, "little")  # Enough to unpack 4 KiB, whatever a header says.
_LZMA_DICTIONARY_AT = slice(1, 5)
_XZ_MAGIC = b"\xfd7zXZ\0"
_ERRORS = (zlib.error, lzma.LZMAError, OSError, ValueError, EOFError)


class Beginning(NamedTuple):
    """`data`: up to BEGINNING_BYTES of what comes out; `whole`: whether that is all."""

    data: bytes
    whole: bool


class _Unpacker(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Form(msgspec.Struct, frozen=True):
    """A way to pack. `make` is given how a member begins; `again` says whether another one begins so. So many
    `zeros_between` members mean nothing, nor does any multiple of that; 0: none do."""

    make: Callable[[bytes], _Unpacker]
    again: Callable[[bytes], bool]
    look_bytes: int = _LOOK_BYTES
    zeros_between: int = 0


class _OldLzma:
    """Unpacks the older format with a dictionary of 64 KiB, whatever its header says: that may be 4 GiB, or no size
    that any packer writes, and loaders obey."""

    def __init__(self) -> None:
        self._real = lzma.LZMADecompressor(lzma.FORMAT_ALONE)
        self._seen = 0

    @property
    def eof(self) -> bool:
        return self._real.eof

    @property
    def unused_data(self) -> bytes:
        return self._real.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        if self._seen < _LZMA_DICTIONARY_AT.stop:
            changed = bytearray(data)
            for at in range(max(self._seen, _LZMA_DICTIONARY_AT.start), _LZMA_DICTIONARY_AT.stop):
                if at - self._seen < len(changed):
                    changed[at - self._seen] = _LZMA_DICTIONARY[at - _LZMA_DICTIONARY_AT.start]
            data = bytes(changed)
        self._seen += len(data)
        return self._real.decompress(data, max_length)


def _make_lzma(begins: bytes) -> _Unpacker:
    if begins.startswith(_XZ_MAGIC):
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES)
    return _OldLzma()


def _is_zlib(begins: bytes) -> bool:
    return len(begins) > 1 and begins[0] & 0x0F == 8 and int.from_bytes(begins[:2], "big") % 31 == 0


_GZIP = _Form(
    lambda _: zlib.decompressobj(zlib.MAX_WBITS | 16), lambda begins: begins.startswith(b"\x1f\x8b"), zeros_between=1
)
_ZLIB = _Form(lambda _: zlib.decompressobj(), _is_zlib)
_BZIP2 = _Form(lambda _: bz2.BZ2Decompressor(), lambda begins: begins.startswith(b"BZh"), _BLOCK_BYTES)
_LZMA = _Form(
    _make_lzma,
    lambda begins: True,  # Of either format, whatever the first was of.
    zeros_between=18,  # A member of the older format, with nothing in it; many files are full of them.
)
_DEFLATE = _Form(lambda _: zlib.decompressobj(-zlib.MAX_WBITS), lambda begins: False)

# Magics as joblib tells them. Before 0.10 it wrote "ZF", a length in 19 digits, and perhaps a space.
_FORMS = (
    (b"\x1f\x8b", _GZIP, 0),
    (b"\x78", _ZLIB, 0),
    (b"BZh", _BZIP2, 0),
    (_XZ_MAGIC, _LZMA, 0),
    (b"\x5d\0", _LZMA, 0),
    (b"ZF", _ZLIB, 21),
    (b"ZF", _ZLIB, 22),
)


def beginnings_of(size: int, read: Read) -> list[Beginning]:
    """Return how what is packed in a file of `size` bytes begins, by each way in which it might be packed, by how it
    begins itself. Raises Unreadable."""
    magic = read(0, min(size, len(_XZ_MAGIC)))
    return [
        _unpack(form, size - at, _from(at, read))
        for begins, form, at in _FORMS
        if magic.startswith(begins) and size > at
    ]


def _from(start: int, read: Read) -> Read:
    return lambda offset, length: read(start + offset, length)


def inflated(size: int, read: Read) -> Beginning:
    """Return how `size` deflated bytes begin, which have no header: a member of a zip. Raises Unreadable."""
    return _unpack(_DEFLATE, size, read)


class _Packed:
    """Packed bytes, read as far as they are wanted. Raises Unreadable once that is further than anybody looks."""

    def __init__(self, size: int, read: Read, most: int) -> None:
        self._size, self._read, self._most = size, read, most
        self.data = bytearray()

    def more(self) -> bool:
        """Read on; False at the end."""
        if len(self.data) == self._size:
            return False
        if len(self.data) >= self._most:
            raise Unreadable(f"less than {BEGINNING_BYTES} bytes come out of its first {len(self.data)}")
        self.data += self._read(len(self.data), min(_PIECE_BYTES, self._size - len(self.data)))
        return True

    def at(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes at `offset`, as many as there are."""
        while len(self.data) < offset + length and self.more():
            pass
        return bytes(self.data[offset : offset + length])


def _unpack(form: _Form, size: int, read: Read) -> Beginning:
    packed = _Packed(size, read, form.look_bytes)
    out = bytearray()
    at = 0
    for _ in range(_MEMBERS_MAX):
        stop = _unpack_member(form, packed, at, out)
        if stop is None:
            return Beginning(bytes(out), len(out) < BEGINNING_BYTES)
        if form.zeros_between:
            zeros = _zeros_at(packed, stop)
            stop += zeros - zeros % form.zeros_between
        begins = packed.at(stop, len(_XZ_MAGIC))
        if not begins or not form.again(begins):
            return Beginning(bytes(out), True)
        at = stop
    raise Unreadable(f"more than {_MEMBERS_MAX} members in its beginning")


def _zeros_at(packed: _Packed, start: int) -> int:
    """Return how many bytes from `start` on are zeros."""
    at, rest = start, b""
    while not rest and (piece := packed.at(at, _PIECE_BYTES)):
        rest = piece.lstrip(b"\0")
        at += len(piece) - len(rest)
    return at - start


def _unpack_member(form: _Form, packed: _Packed, start: int, out: bytearray) -> int | None:
    """Add to `out` what comes out of the member that begins at `start`; return where it ends, None where nothing comes
    after it: the end, an error, or that it was enough."""
    make = partial(form.make, packed.at(start, len(_XZ_MAGIC)))
    unpacker, fed, had = make(), start, len(out)
    while True:
        piece = bytes(packed.data[fed:])
        try:
            out += unpacker.decompress(piece, BEGINNING_BYTES - len(out))
        except _ERRORS as error:
            if "Memory usage limit" in str(error):  # As the lzma module says it.
                raise Unreadable("unpacking it takes too much memory") from None
            del out[had:]
            out += _until_error(make(), bytes(packed.data[start:fed]), piece, BEGINNING_BYTES - had)
            return None
        if len(out) >= BEGINNING_BYTES:
            return None
        fed += len(piece)
        if unpacker.eof:
            return fed - len(unpacker.unused_data)
        if not packed.more():
            return None


def _until_error(unpacker: _Unpacker, before: bytes, piece: bytes, most: int) -> bytes:
    """Return what comes out of `before`, in which nothing is wrong, and of `piece` up to where something is."""
    out = unpacker.decompress(before, most) if before else b""
    try:
        for at in range(len(piece)):
            if len(out) >= most:
                break
            out += unpacker.decompress(piece[at : at + 1], most - len(out))
    except _ERRORS:
        pass
    return out
