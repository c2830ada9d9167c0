"""The shape that every structured blob has: what it is, which version, and named fields.

    record = [kind text, version integer, {field text: value}]      in canonical msgpack

The kind comes first, so bytes of one kind cannot pass for another. An extension that a reader must not overlook has its
name in the field `critical`; a reader that does not know the name refuses the record by it. Any other field that a
reader does not know changes nothing for it: it is passed on with the bytes, which are never encoded anew by a reader.
Source: proto/identifiers.md §9.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import TypeVar

from p2phub.content.codec import pack, unpack
from p2phub.errors import Malformed

CRITICAL_MAX = 16
_UNSIGNED_MAX = (1 << 64) - 1
_Kind = TypeVar("_Kind")


class Fields:
    """The fields of a record or of an inner map, read by type. `owner` is what messages call it.

    What is not asked for is never looked at. Malformed names the rules as the specification of records calls them
    (field-missing, field-type, field-range); who reads other maps has names of its own.
    """

    __slots__ = ("_owner", "_values")

    def __init__(self, values: Mapping[str, object], owner: str) -> None:
        self._values = values
        self._owner = owner

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def unsigned(self, name: str, *, least: int = 0, most: int = _UNSIGNED_MAX) -> int:
        """Return an integer of `least` ..= `most`. Raises Malformed: field-missing, field-type, field-range."""
        value = self._get(name, int)
        if not least <= value <= most:
            raise self._out_of_range(f"{name} is {value}, not {least} to {most}")
        return value

    def flag(self, name: str) -> bool:
        """Return a bool. Raises Malformed: field-missing, field-type."""
        return self._get(name, bool)

    def text(self, name: str, *, most: int) -> str:
        """Return text of 1 ..= `most` bytes without control characters. Raises Malformed as `unsigned` does,
        and text-control."""
        value = self._get(name, str)
        if not 1 <= len(value.encode()) <= most:
            raise self._out_of_range(f"{name} has {len(value.encode())} bytes")
        if has_controls(value):
            raise Malformed("text-control", f"{self._owner}: {name} has control characters")
        return value

    def binary(self, name: str, *, least: int, most: int) -> bytes:
        """Return `least` ..= `most` bytes. Raises Malformed as `unsigned` does."""
        value = self._get(name, bytes)
        if not least <= len(value) <= most:
            raise self._out_of_range(f"{name} has {len(value)} bytes, not {least} to {most}")
        return value

    def array(self, name: str, *, most: int, least: int = 0) -> list[object]:
        """Return an array of `least` ..= `most` elements. Raises Malformed as `unsigned` does."""
        value: list[object] = self._get(name, list)
        if not least <= len(value) <= most:
            raise self._out_of_range(f"{name} has {len(value)} elements, not {least} to {most}")
        return value

    def _get(self, name: str, kind: type[_Kind]) -> _Kind:
        value = self._values.get(name)
        if value is None:  # The codec knows no nil.
            raise self._missing(f"no field {name}")
        if type(value) is not kind:  # Exactly: True is no number here.
            raise self._of_another_type(f"{name} is of another type")
        return value

    def _missing(self, what: str) -> Malformed:
        return Malformed("field-missing", f"{self._owner}: {what}")

    def _of_another_type(self, what: str) -> Malformed:
        return Malformed("field-type", f"{self._owner}: {what}")

    def _out_of_range(self, what: str) -> Malformed:
        return Malformed("field-range", f"{self._owner}: {what}")


def pack_record(kind: str, version: int, fields: Mapping[str, object]) -> bytes:
    """Return the record's bytes. Raises as `pack` does."""
    return pack([kind, version, dict(fields)])


def unpack_record(data: bytes, kind: str, version: int) -> Fields:
    """Return the fields of the record of `kind` and `version` that `data` is. The caller bounds `data`.

    Raises Malformed: as `unpack` does; record-kind, record-version, record-critical.
    """
    value = unpack(data)
    if not (isinstance(value, list) and len(value) == 3 and value[0] == kind and isinstance(value[2], dict)):
        raise Malformed("record-kind", f"not a {kind} record")
    if type(value[1]) is not int or value[1] != version:
        raise Malformed("record-version", f"a {kind} record of version {str(value[1])[:20]}; this is {version}")
    fields = Fields(value[2], kind)
    if "critical" in fields:
        names = fields.array("critical", least=1, most=CRITICAL_MAX)
        # This version knows no extension, so whichever is named first is one too many.
        raise Malformed("record-critical", f"a {kind} record needs the extension {str(names[0])[:80]!r}")
    return fields


def has_controls(text: str) -> bool:
    """Whether `text` holds what is no text: control characters, line separators, lone surrogates, direction overrides.

    Joiners (U+200C, U+200D) are part of how some scripts and emoji are written, and allowed.
    """
    if text.isascii():
        return not text.isprintable()
    return any(
        letter in _DIRECTION or unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp")
        for letter in text
        if not letter.isalnum()
    )


_DIRECTION = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
