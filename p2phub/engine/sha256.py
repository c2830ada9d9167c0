"""A SHA-256 that can be written down half-way and gone on with, by another process, too. hashlib's cannot.

It is OpenSSL's own, SHA256_Init, SHA256_Update and SHA256_Final on a SHA256_CTX whose fields are public, in the library
that hashlib is linked with: the same code, as fast (docs/decisions/0099-half-a-file.md). Nobody promises that a Python
has that library at hand, or that this one has that struct: so before the first use it is compared with hashlib, and
where anything is otherwise `begin` and `resume` return None and whoever asked goes on with hashlib.

    state = eight words, big-endian (32) | the bytes since the last whole block of 64, fewer than 64
"""

from __future__ import annotations

import functools
import hashlib
import struct
from typing import Any, NamedTuple

_BLOCK_BYTES = 64
_WORDS = struct.Struct(">8I")
_CONTEXT = struct.Struct("@8I2I64s2I")
"""SHA256_CTX (openssl/sha.h): the words, how many bits so far (low half, high half), the bytes of the block begun, how
many those are, and how long the digest is."""

_ROOM = 1024  # For a context: where the struct is another one, longer, it overwrites nothing while that is found out.
_DIGEST_BYTES = 32


class _Library(NamedTuple):
    """The functions, and of ctypes what passes a buffer to them; of no type that could be named before it is loaded."""

    init: Any
    update: Any
    final: Any
    byref: Any
    char: Any
    room: Any


class Sha256:
    """One digest under way; one thread's at a time. `update` frees the GIL."""

    __slots__ = ("_context", "_library")

    def __init__(self, library: _Library, context: bytes | None = None) -> None:
        self._library = library
        self._context = library.room(context or b"", _ROOM)
        if context is None:
            library.init(self._context)

    def update(self, data: bytes | memoryview) -> None:
        """A view must be writable and of bytes: read-only ones have no address that Python would tell."""
        if not len(data):
            return
        library = self._library
        at = data if isinstance(data, bytes) else library.byref(library.char.from_buffer(data))
        library.update(self._context, at, len(data))

    def digest(self) -> bytes:
        """Return the digest of all so far; more may come after it."""
        copy, found = self._library.room(self._context.raw, _ROOM), self._library.room(b"", _DIGEST_BYTES)
        self._library.final(found, copy)
        return bytes(found)

    def snapshot(self) -> bytes:
        """Return what `state_of` makes the state of: only a copy, since few of a thousand are ever kept."""
        return bytes(self._context)

    def state(self) -> bytes:
        """Return what `resume` goes on from."""
        return state_of(self.snapshot())


def state_of(snapshot: bytes) -> bytes:
    """Return what `resume` goes on from."""
    *words, _, _, begun, count, _ = _CONTEXT.unpack_from(snapshot)
    return _WORDS.pack(*words) + bytes(begun[:count])


def begin() -> Sha256 | None:
    """Return one of no bytes yet; None if there is none here that can be written down."""
    library = _library()
    return None if library is None else Sha256(library)


def resume(state: bytes, length: int) -> Sha256 | None:
    """Return one of `length` bytes, whose `state` was saved; None if it is of no such length, or there is none here.

    That the state is right cannot be seen: whoever kept it vouches for it.
    """
    library = _library()
    return None if library is None else _resumed(library, state, length)


def _resumed(library: _Library, state: bytes, length: int) -> Sha256 | None:
    if length < 0 or len(state) != _WORDS.size + length % _BLOCK_BYTES:
        return None  # Also what keeps the C code within its block: it believes what it is told of `count`.
    words, begun, bits = _WORDS.unpack_from(state), state[_WORDS.size :], 8 * length % (1 << 64)
    context = _CONTEXT.pack(*words, bits % (1 << 32), bits >> 32, begun, len(begun), _DIGEST_BYTES)
    return Sha256(library, context)


@functools.cache
def _library() -> _Library | None:
    """Return the functions if they are there and right."""
    library = _found()
    return library if library is not None and _is_right(library) else None


def _found() -> _Library | None:
    try:
        import _hashlib
        import ctypes

        if _hashlib.get_fips_mode():  # There some builds end a process that asks for these.
            return None
        # The functions are in what it is linked with; a Python that has it built in has no such file.
        loaded = ctypes.CDLL(_hashlib.__file__)
        init, update, final = loaded.SHA256_Init, loaded.SHA256_Update, loaded.SHA256_Final
    except (ImportError, AttributeError, OSError, ValueError):
        return None
    pointer = ctypes.c_void_p
    init.argtypes, update.argtypes, final.argtypes = [pointer], [pointer, pointer, ctypes.c_size_t], [pointer, pointer]
    return _Library(init, update, final, ctypes.byref, ctypes.c_char, ctypes.create_string_buffer)


def _is_right(library: _Library) -> bool:
    """Whether digests are hashlib's, also when saved and gone on with on either side of where blocks and their padding
    begin; whether the struct ends where it should; and whether the count of bits goes over into its second half."""
    data = bytes(range(256))
    for length in (0, 3, 55, 56, 63, 64, 65, 119, 120, 128, 129, 255):
        for at in (0, 1, 55, 63, 64, 65, 127, 128, 200):
            first = Sha256(library)
            first.update(data[: min(at, length)])
            resumed = _resumed(library, first.state(), min(at, length))
            if resumed is None:
                return False
            resumed.update(memoryview(bytearray(data[min(at, length) : length])))
            if resumed.digest() != hashlib.sha256(data[:length]).digest():
                return False
            if any(any(each._context.raw[_CONTEXT.size :]) for each in (first, resumed)):
                return False
    far = _resumed(library, bytes(_WORDS.size), (1 << 29) - _BLOCK_BYTES)
    if far is None:
        return False
    far.update(data[:_BLOCK_BYTES])
    return _CONTEXT.unpack_from(far._context)[8:10] == (0, 1)
