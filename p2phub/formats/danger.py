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
import re
from collections.abc import Iterator, Sequence
from functools import partial

from p2phub import limits
from p2phub.errors import Unsafe
from p2phub.formats.archives import (
    Member,
    Read,
    Unreadable,
    looks_like_tar,
    looks_like_zip,
    members_of_tar,
    members_of_zip,
)
from p2phub.formats.packed import BEGINNING_BYTES, beginnings_of, inflated

_LOOK_BYTES = 64 * limits.KIB
"""How much of a beginning is looked at."""

_INSIDE_BYTES = BEGINNING_BYTES  # The same of each member of an archive.
_TAIL_BYTES = 256 * limits.KIB  # Where the directory of a zip of some thousand members begins, seen from the end.
_OPCODES_MAX = 256  # What is no pickle has a wrong one long before; each takes a microsecond.
_OPCODES_OF_ALL_MAX = 4096  # Of a small file whose end may come first.
_PADDED_BYTES = limits.MIB  # Looked at of what begins with nothing but opcodes that do nothing.
# What pushes something without an argument, then whatever has no argument and calls nothing. A loader fails at the
# first of these that finds less on its stack than it takes.
_PADDING = re.compile(rb"[N(\])}\x88\x89\x8f][N(\])}\x88\x89\x8f012adelstu\x85-\x87\x90\x91\x94]*")
BEGINNINGS = b"()BCFGIJKLMNPSTUVX]ci}\x80\x82\x83\x84\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x95\x96\x97\x98"
"""What a pickle may begin with: every opcode is among it that needs nothing on a stack or in a memo."""
_MARKS = re.compile(rb"[()\x85-\x87]")
_PACKED_BYTES_MAX = 64 * limits.MIB  # Read of members of one archive out of which too little came for far too long.
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
    found = _of_file(first, size, read)
    if found is not None:
        return found
    try:
        found = _of_packed(size, read)
        if found is not None:
            return found
    except Unreadable as error:
        return f"packed so that it cannot be looked into: {error}"
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


def _of_file(first: bytes, size: int, read: Read) -> str | None:
    if len(first) < size and _padding_of(first) == len(first):
        first = read(0, min(size, _PADDED_BYTES))
    return _of_bytes(first, whole=len(first) == size)


def _of_bytes(first: bytes, *, whole: bool) -> str | None:
    """Judge what begins with `first`; `whole`: that is all of it."""
    if first.startswith(_NUMPY):
        return "a NumPy file of pickled objects" if _has_objects(_numpy_header(first)) else None
    return _PICKLE if _is_pickle(first, whole=whole) else None


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


def _padding_of(first: bytes) -> int:
    """Return how many bytes at its beginning do nothing in an old pickle; 0 if it is none, or a newer one."""
    found = _PADDING.match(first)
    return 0 if found is None else found.end()


def _is_pickle(first: bytes, *, whole: bool) -> bool:
    """Whether `first` begins a pickle, or is one if it is `whole`. One of the oldest protocols has no magic: it has to
    call what it names, or to go on without a wrong opcode for longer than anything else does. Opcodes that do nothing
    count for nothing, since many files are made of one byte; but they must come to an end. Of what has the magic by
    chance there is a wrong one."""
    has_magic = len(first) > 2 and first[0] == 0x80 and first[1] in (2, 3, 4, 5)
    if not first or first[0] not in BEGINNINGS:
        return False
    padding = _padding_of(first)
    if padding == len(first):
        return not whole  # A loader finds its end before it has called anything.
    from pickletools import genops  # Most files are no pickle by their first byte.

    named, marked = False, _MARKS.search(first, 0, padding) is not None
    try:
        for count, (opcode, argument, _) in enumerate(genops(first[padding:])):
            if count == (_OPCODES_OF_ALL_MAX if whole and not has_magic else _OPCODES_MAX):
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


def _of_packed(size: int, read: Read) -> str | None:
    """Look at the beginning of what is packed, as joblib writes pickles. Raises Unreadable."""
    for data, whole in beginnings_of(size, read):
        found = _of_bytes(data, whole=whole)
        if found is not None:
            return f"compressed: {found}"
    return None


def _of_members(kind: str, members: Iterator[Member], read: Read) -> str | None:
    """Look at each member of an archive: its name, and where it is stored as it is or deflated, its beginning."""
    headers = deep = 0
    for member in members:

        def read_packed(offset: int, length: int, start: int = member.start) -> bytes:
            nonlocal deep
            deep += length if offset >= 2 * BEGINNING_BYTES else 0
            if deep > _PACKED_BYTES_MAX:
                raise Unreadable("too little comes out of too many of its members")
            return read(start + offset, length)

        if member.deflated:
            inside, whole = inflated(member.stored_bytes, read_packed)
        else:
            inside = read(member.start, min(member.stored_bytes, _INSIDE_BYTES))
            whole = member.stored_bytes == len(inside)
        if inside.startswith(_NUMPY) and _MAY_NAME_OBJECTS.search(header := _numpy_header(inside) or b""):
            headers += len(header)
            if headers > _HEADERS_BYTES_MAX:
                raise Unreadable("too many NumPy files of records")
        found = _of_bytes(inside, whole=whole) or (_PICKLE if member.name.lower().endswith(_PICKLE_NAMES) else None)
        if found is not None:
            return f"a {kind} with {member.name[:80]!r} in it: {found}"
    return None
