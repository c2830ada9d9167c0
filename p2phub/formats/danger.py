"""Whether loading a file with the usual tools may run code that the file brings. Nothing is unpickled or run here.

Told by content, since a name costs nothing: pickles of every protocol, bare, compressed (joblib), or in an archive
(torch); NumPy files with pickled objects; archives that cannot be looked into (7z). What is not found may be harmful
all the same: a template, code beside the weights (`is_code`), a parser's fault.
The bytes are a stranger's: how much of them is looked at, and for how long, is bounded, and what is beyond that counts
as dangerous.
Source: `pickletools`; NumPy's NEP 1; docs/threat-model.md, T31 and T32; docs/decisions/0092.
"""

from __future__ import annotations

import ast
import bz2
import lzma
import pickletools
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Protocol

from p2phub import limits
from p2phub.errors import Unsafe
from p2phub.formats.archives import Member, Unreadable, looks_like_tar, looks_like_zip, members_of_tar, members_of_zip

Read = Callable[[int, int], bytes]

_LOOK_BYTES = 64 * limits.KIB
"""How much of a beginning is looked at."""

_INSIDE_BYTES = 4 * limits.KIB  # The same of each member of an archive.
_INFLATED_BYTES = 4 * limits.KIB  # The same of what is compressed.
_TAIL_BYTES = 256 * limits.KIB  # Where the directory of a zip of some thousand members begins, seen from the end.
_LZMA_MEMORY_BYTES = 64 * limits.MIB
_OPCODES_MAX = 256  # What is no pickle has a wrong one long before; each takes a microsecond.
_HEADERS_BYTES_MAX = 2 * limits.MIB  # Of NumPy files in one archive that have to be parsed: some seconds.
_NUMPY = b"\x93NUMPY"
_PICKLE = "a pickle, which can run any code when it is loaded"
_PICKLE_NAMES = (".pkl", ".pickle", ".joblib")
_CODE_NAMES = (".py", ".pyc", ".so", ".dll", ".dylib", ".sh", ".bat", ".ps1", ".exe", ".ipynb")
_IDENTIFIERS = re.compile(r"[A-Za-z_][\w.]* [A-Za-z_][\w.]*")
_WRONG_OPCODE = re.compile(r"at position \d+, opcode .+ unknown")  # As `pickletools` says it, of nothing else.
_MAY_NAME_OBJECTS = re.compile(rb"O|bject|\\")
_SUSPECTS = frozenset(
    (*_PICKLE_NAMES, ".dill", ".pt", ".pth", ".ckpt", ".bin", ".npy", ".npz", ".keras", ".zip", ".tar", ".7z")
)
REFUSED_NAMED_MAX = 3
"""Of files that are refused so many are named in the error."""


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


def is_code(path: str) -> bool:
    """Whether a file is a program by its name: never run here, but perhaps by what opens the folder."""
    return path.lower().endswith(_CODE_NAMES)


def suspect(path: str) -> str | None:
    """Return the ending of `path` if files that end so are often dangerous, else None: where to look first, no more."""
    ending = path[path.rfind(".") :].lower()
    return ending if ending in _SUSPECTS else None


def telling_spans(size: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return from where to where the beginning and the end reach that nearly always tell what `danger_of` says."""
    return (0, min(size, _LOOK_BYTES)), (max(0, size - _TAIL_BYTES), size)


def refusal(found: Sequence[tuple[str, str]], count: int) -> Unsafe:
    """Return the error for `count` files that nobody allowed to be dangerous; `found`: path and why of some of them."""
    named = "; ".join(f"{path} ({why})" for path, why in found[:REFUSED_NAMED_MAX])
    more = f"; and {count - REFUSED_NAMED_MAX} more" if count > REFUSED_NAMED_MAX else ""
    return Unsafe(
        f"refused, because loading may run code: {named}{more}",
        hint="if you trust the publisher, run the same command with --allow-unsafe: what is here already is not "
        "fetched again; or do without such files: fetch with --exclude PATTERN",
    )


def _part_of(data: bytes, offset: int, length: int) -> bytes:
    return data[offset : offset + length]


def _of_bytes(first: bytes) -> str | None:
    if first.startswith(_NUMPY):
        return "a NumPy file of pickled objects" if _has_objects(_numpy_header(first)) else None
    return _PICKLE if _is_pickle(first) else None


def _numpy_header(first: bytes) -> bytes | None:
    """Return the header of the NumPy file that `first` begins, None where it is longer than that."""
    at = 10 if first[6:7] == b"\1" else 12  # After a length of two bytes, or of four.
    end = at + int.from_bytes(first[8:at], "little")
    return first[at:end] if end <= len(first) else None


def _has_objects(header: bytes | None) -> bool:
    """Whether the header of a NumPy file, a Python literal, has a type that is kept as a pickle."""
    if header is None:
        return True  # It is not looked into as far as that, and no honest one is so long.
    if not _MAY_NAME_OBJECTS.search(header):
        return False  # As of nearly all that there are: parsing takes long.
    try:
        descr = ast.literal_eval(header.decode("latin-1").strip())["descr"]
    except (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError):
        return True  # NumPy may mend it, as it does what Python 2 wrote.
    return _is_object_type(descr)


def _is_object_type(descr: object) -> bool:
    if isinstance(descr, str):
        return "O" in descr or "object" in descr.lower()
    if isinstance(descr, tuple):  # A type, and the shape of each element.
        return bool(descr) and _is_object_type(descr[0])
    fields = descr if isinstance(descr, list) else []
    return any(_is_object_type(field[1]) for field in fields if isinstance(field, tuple) and len(field) > 1)


def _is_pickle(first: bytes) -> bool:
    """Whether `first` begins a pickle. One of the oldest protocols has no magic: it has to call what it names, or to go
    on without a wrong opcode for longer than anything else does. Of what has the magic by chance there is a wrong one.
    """
    has_magic = len(first) > 2 and first[0] == 0x80 and first[1] in (2, 3, 4, 5)
    named = marked = False
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(first)):
            if count == _OPCODES_MAX:
                return True
            if opcode.name in ("GLOBAL", "INST"):
                if not _IDENTIFIERS.fullmatch(str(argument)):
                    return has_magic  # Any text that begins with c or i reads like one.
                if opcode.name == "INST":
                    return has_magic or marked
                named = True
            elif opcode.name == "STACK_GLOBAL" and count >= 2:  # Of two texts.
                named = True
            elif opcode.name in ("MARK", "EMPTY_TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"):
                marked = True
            elif opcode.name in ("REDUCE", "OBJ", "NEWOBJ", "NEWOBJ_EX", "BUILD") and named:
                return has_magic or marked
    except ValueError as error:  # A loader stops at a wrong opcode; what else is wrong it may read otherwise.
        return has_magic and (named or not _WRONG_OPCODE.fullmatch(str(error)))
    except Exception:  # noqa: BLE001  # It raises many kinds for what is no pickle, or ends in the middle of one.
        return has_magic
    return has_magic


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
    headers = 0
    for member in members:
        inside = read(member.start, min(member.stored_bytes, _INSIDE_BYTES))
        if member.deflated:
            try:
                inside = zlib.decompressobj(-zlib.MAX_WBITS).decompress(inside, _INFLATED_BYTES)
            except zlib.error:
                inside = b""
        if inside.startswith(_NUMPY) and _MAY_NAME_OBJECTS.search(header := _numpy_header(inside) or b""):
            headers += len(header)
            if headers > _HEADERS_BYTES_MAX:
                raise Unreadable("too many NumPy files of records")
        found = _of_bytes(inside) or (_PICKLE if member.name.lower().endswith(_PICKLE_NAMES) else None)
        if found is not None:
            return f"a {kind} with {member.name[:80]!r} in it: {found}"
    return None
