"""What LZ4 frames hold, as Xet's clients compress chunks: a decoder that believes nothing.

Checksums are not looked at: whoever calls compares a digest of the whole. A frame says how long its parts are; here the
caller says how long the content must be, and nothing is written beyond it. Blocks are decoded by the system's liblz4
where there is one (Debian's package tools bring it), else here, at some 2 MB/s: enough for what is not a large model.
Source: the LZ4 block and frame formats (lz4/doc/lz4_Block_format.md, lz4_Frame_format.md), version 1.6.
"""

from __future__ import annotations

import ctypes
import functools
import struct
from collections.abc import Callable

_MAGIC = 0x184D2204
_U32 = struct.Struct("<I")
_UNCOMPRESSED = 1 << 31
_CHECKSUM_BYTES = 4
_RUN_MORE = 15
_MATCH_LEAST = 4
_TOKEN_BYTES_MAX = 255
_RATIO_MAX = 255  # No byte of a block stands for more.


class NotLz4(Exception):
    """The bytes are no frame of that length."""


def decode_frame(data: memoryview, length: int) -> bytearray:
    """Return the `length` bytes that a frame holds. Raises NotLz4."""
    try:
        return _decode_frame(data, length)
    except (IndexError, struct.error) as exc:
        raise NotLz4("it ends early") from exc


def _decode_frame(data: memoryview, length: int) -> bytearray:
    if _U32.unpack_from(data)[0] != _MAGIC or data[4] >> 6 != 1:
        raise NotLz4("it does not begin as a frame")
    flags, at = data[4], 7
    at += 8 if flags & 8 else 0  # The content's length,
    at += 4 if flags & 1 else 0  # a dictionary's number: without one, what refers to it is refused below.
    out, native = bytearray(), _native()
    while True:
        size = _U32.unpack_from(data, at)[0]
        at += 4
        if not size:
            break
        stop = at + (size & ~_UNCOMPRESSED)
        if stop > len(data):
            raise NotLz4("a block ends early")
        # Blocks may refer to what those before them hold.
        if size & _UNCOMPRESSED:
            out += data[at:stop]
        elif native is not None:
            native(bytes(data[at:stop]), out, length)
        else:
            _decode_block(bytes(data[at:stop]), out, length)
        if len(out) > length:
            raise NotLz4("it is longer than was said")
        at = stop + (_CHECKSUM_BYTES if flags & 16 else 0)
    if len(out) != length:
        raise NotLz4("it is shorter than was said")
    return out


@functools.cache
def _native() -> Callable[[bytes, bytearray, int], None] | None:
    """Return the same as `_decode_block` by liblz4; None where there is none."""
    try:
        library = ctypes.CDLL("liblz4.so.1")
        decode = library.LZ4_decompress_safe_usingDict
    except (OSError, AttributeError):
        return None
    decode.argtypes = [ctypes.c_void_p, ctypes.c_void_p, *(ctypes.c_int,) * 2, ctypes.c_void_p, ctypes.c_int]
    decode.restype = ctypes.c_int

    def decode_block(data: bytes, out: bytearray, most: int) -> None:
        before = len(out)
        # No more room than it can need: a frame of tiny blocks would have all of it made for each.
        more = min(most - before, _RATIO_MAX * len(data))
        out.extend(bytes(more))
        room = (ctypes.c_char * len(out)).from_buffer(out)
        start = ctypes.addressof(room)
        made = decode(data, start + before, len(data), more, start, before)
        del room  # Or the buffer could not be made shorter.
        if made < 0:
            raise NotLz4("a block that holds something else")
        del out[before + made :]

    return decode_block


def _decode_block(data: bytes, out: bytearray, most: int) -> None:
    """Append what a block holds to `out`, which may have `most` bytes."""
    at, end = 0, len(data)
    while at < end:
        token = data[at]
        at += 1
        count = token >> 4
        if count == _RUN_MORE:
            while True:
                more = data[at]
                at += 1
                count += more
                if more != _TOKEN_BYTES_MAX:
                    break
        if count:
            if at + count > end or len(out) + count > most:
                raise NotLz4("more literal bytes than there are")
            out += data[at : at + count]
            at += count
        if at == end:  # The last sequence has no match.
            return
        back = data[at] | data[at + 1] << 8
        at += 2
        count = (token & 15) + _MATCH_LEAST
        if count == _RUN_MORE + _MATCH_LEAST:
            while True:
                more = data[at]
                at += 1
                count += more
                if more != _TOKEN_BYTES_MAX:
                    break
        start = len(out) - back
        if not back or start < 0 or len(out) + count > most:
            raise NotLz4("a match leads nowhere, or too far")
        if back >= count:
            out += out[start : start + count]
        else:  # It overlaps what it makes: the last `back` bytes again and again.
            whole, rest = divmod(count, back)
            pattern = out[start:]
            out += pattern * whole + pattern[:rest]
