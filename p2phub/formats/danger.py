"""Whether loading a file with the usual tools may run code that the file brings. Nothing is unpickled or run here.

Told by content, since a name costs nothing: pickles of every protocol, bare, compressed (joblib), or in an archive
(torch); NumPy files with pickled objects; archives that cannot be looked into (7z). What is not found may be harmful
all the same: a template, code beside the weights (`is_code`), a parser's fault.
Source: `pickletools`; NumPy's NEP 1; docs/threat-model.md, T31 and T32.
"""

from __future__ import annotations

import ast
import bz2
import lzma
import pickletools
import re
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol

from p2phub import limits
from p2phub.formats.archives import Member, Unreadable, looks_like_tar, looks_like_zip, members_of_tar, members_of_zip

Read = Callable[[int, int], bytes]

_LOOK_BYTES = 64 * limits.KIB
"""How much of a beginning is looked at."""

_INSIDE_BYTES = 4 * limits.KIB  # The same of each member of an archive.
_INFLATED_BYTES = 4 * limits.KIB  # The same of what is compressed.
_LZMA_MEMORY_BYTES = 64 * limits.MIB
_PICKLE = "a pickle, which can run any code when it is loaded"
_PICKLE_NAMES = (".pkl", ".pickle", ".joblib")
_CODE_NAMES = (".py", ".pyc", ".so", ".dll", ".dylib", ".sh", ".bat", ".ps1", ".exe", ".ipynb")
_IDENTIFIERS = re.compile(r"[A-Za-z_][\w.]* [A-Za-z_][\w.]*")


def danger_of(size: int, read: Read) -> str | None:
    """Return why loading a file of `size` bytes may run code, in a few words, or None if nothing was found.

    `read(offset, length)` returns exactly those bytes, or raises; its errors pass through.
    """
    first = read(0, min(size, _LOOK_BYTES))
    if size <= len(first):  # All that there is: not asked for again.
        read = partial(_part_of, first)
    if first.startswith(b"7z\xbc\xaf\x27\x1c"):
        return "a 7z archive, which cannot be looked into"
    found = _of_bytes(first) or _of_compressed(first)
    if found is not None:
        return found
    try:
        if looks_like_zip(size, read):  # Whatever stands before it.
            return _of_members("zip", members_of_zip(size, read), read)
        if looks_like_tar(first):
            return _of_members("tar", members_of_tar(size, read), read)
    except Unreadable as error:
        return f"an archive that cannot be looked into: {error}"
    return None


def _part_of(data: bytes, offset: int, length: int) -> bytes:
    return data[offset : offset + length]


def is_code(path: str) -> bool:
    """Whether a file is a program by its name: never run here, but perhaps by what opens the folder."""
    return path.lower().endswith(_CODE_NAMES)


def _of_bytes(first: bytes) -> str | None:
    if first.startswith(b"\x93NUMPY"):
        return "a NumPy file of pickled objects" if _has_objects(first) else None
    has_magic = len(first) > 2 and first[0] == 0x80 and first[1] in (2, 3, 4, 5)
    return _PICKLE if has_magic or _calls_something(first) else None


def _has_objects(first: bytes) -> bool:
    """Whether the header of a NumPy file, a Python literal, has a type that is kept as a pickle."""
    at = 10 if first[6:7] == b"\1" else 12  # After a length of two bytes, or of four.
    end = at + int.from_bytes(first[8:at], "little")
    if end > len(first):
        return True  # It is not looked into as far as that, and no honest one is so long.
    try:
        descr = ast.literal_eval(first[at:end].decode("latin-1").strip())["descr"]
    except (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError):
        return False  # NumPy does not read it either.
    return _is_object_type(descr)


def _is_object_type(descr: object) -> bool:
    if isinstance(descr, str):
        return "O" in descr
    fields = descr if isinstance(descr, list) else []
    return any(_is_object_type(field[1]) for field in fields if isinstance(field, tuple) and len(field) > 1)


def _calls_something(first: bytes) -> bool:
    """Whether `first` begins a pickle of the oldest protocols, which have no magic, and calls what it names."""
    named = marked = False
    try:
        for opcode, argument, _ in pickletools.genops(first):
            if opcode.name in ("GLOBAL", "INST"):
                if not _IDENTIFIERS.fullmatch(str(argument)):
                    return False  # Any text that begins with c or i reads like one.
                if opcode.name == "INST":
                    return marked
                named = True
            elif opcode.name == "STACK_GLOBAL":
                named = True
            elif opcode.name in ("MARK", "EMPTY_TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"):
                marked = True
            elif opcode.name in ("REDUCE", "OBJ", "NEWOBJ", "NEWOBJ_EX", "BUILD"):
                return named and marked
    except Exception:  # noqa: BLE001  # It raises many kinds for what is no pickle, or ends in the middle of one.
        return False
    return False


class _Decompressor(Protocol):
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


_COMPRESSED: tuple[tuple[bytes, Callable[[], _Decompressor]], ...] = (
    (b"\x1f\x8b", lambda: zlib.decompressobj(zlib.MAX_WBITS | 16)),
    (b"\x78", zlib.decompressobj),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ\0", lambda: lzma.LZMADecompressor(memlimit=_LZMA_MEMORY_BYTES)),
    (b"\x5d\0\0", lambda: lzma.LZMADecompressor(memlimit=_LZMA_MEMORY_BYTES)),
)


def _of_compressed(first: bytes) -> str | None:
    """Look at the beginning of what is compressed, as joblib writes pickles."""
    for magic, make in _COMPRESSED:
        if first.startswith(magic):
            try:
                inside = make().decompress(first, _INFLATED_BYTES)
            except (zlib.error, lzma.LZMAError, OSError, ValueError, EOFError):
                continue  # It only looked like it.
            found = _of_bytes(inside)
            if found is not None:
                return f"compressed: {found}"
    return None


def _of_members(kind: str, members: Iterator[Member], read: Read) -> str | None:
    """Look at each member of an archive: its name, and where it is stored as it is or deflated, its beginning."""
    for member in members:
        inside = read(member.start, min(member.stored_bytes, _INSIDE_BYTES))
        if member.deflated:
            try:
                inside = zlib.decompressobj(-zlib.MAX_WBITS).decompress(inside, _INFLATED_BYTES)
            except zlib.error:
                inside = b""
        found = _of_bytes(inside) or (_PICKLE if member.name.lower().endswith(_PICKLE_NAMES) else None)
        if found is not None:
            return f"a {kind} with {member.name[:80]!r} in it: {found}"
    return None
