"""How far files were hashed by read passes that are not at their end: whoever is stopped in the middle of a large one
goes on from there.

A file is known by its path and believed by its fingerprint, as in `hashed`. Each time it is noted there is one row more
in the index, with the digests that came since the row before: a terabyte has a million of them. A row begins with a
checksum over that of the row before, so none is believed without all that it stands on. A damaged one, and all behind
it, is forgotten: less is known then, and nothing wrong.

    note = checksum (32) | canonical msgpack of [fingerprint, cuts, offset, state, digests]
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

from blake3 import blake3

from p2phub import limits
from p2phub.content import DIGEST_BYTES, pack, unpack
from p2phub.errors import Malformed
from p2phub.store.fingerprints import Fingerprint
from p2phub.store.index import PART_NOTE_EXTRA_BYTES, Index, PartRow
from p2phub.store.interface import PartHashed

_SUM_BYTES = 32
_CHUNKS = struct.Struct(">Q")


def note_parts(parts: Mapping[Path, PartHashed], index: Index) -> None:
    """Remember how far files are, durably, by their absolute path. Raises DiskError."""
    rows = [_row(os.fsencode(place), part, index) for place, part in parts.items()]
    new = [row for row in rows if row is not None]
    if new:
        index.note_parts(new)


def part_hashed(place: Path, index: Index) -> PartHashed | None:
    """Return how far a file is as far as that is noted without a break; forget what is behind one. Raises DiskError."""
    key = os.fsencode(place)
    known: PartHashed | None = None
    checksum, digests, chunks = b"", bytearray(), 0
    for found in _rows(key, index):
        row = _read(found)
        if row is None or row[0] != chunks + row[2].chunks or row[1] != _checksum(checksum, key, row[0], row[2]):
            index.forget_parts(key, chunks)
            break
        chunks, checksum, known = row
        digests += known.digests
    if known is None:
        return None
    return PartHashed(known.fingerprint, known.cuts, known.offset, bytes(digests), known.state)


def _rows(place: bytes, index: Index) -> Iterator[tuple[object, object]]:
    after: object = 0
    while isinstance(after, int) and (rows := index.next_parts(place, after)):
        yield from rows
        after = rows[-1][0]


def _row(place: bytes, part: PartHashed, index: Index) -> PartRow | None:
    """Return what is to be added for a file; None if it is noted so far already."""
    found = index.last_part(place)
    last = None if found is None else _read(found)
    before, checksum = 0, b""
    if last is not None and (last[2].fingerprint, last[2].cuts) == (part.fingerprint, part.cuts):
        if last[0] == part.chunks:
            return None
        if last[0] < part.chunks:
            before, checksum = last[0], last[1]
    new = PartHashed(part.fingerprint, part.cuts, part.offset, part.digests[before * DIGEST_BYTES :], part.state)
    note = _checksum(checksum, place, part.chunks, new) + _packed(new)
    assert len(note) <= PART_NOTE_EXTRA_BYTES + DIGEST_BYTES * part.chunks
    return PartRow(place, part.chunks, note, first=before == 0)


def _checksum(before: bytes, place: bytes, chunks: int, part: PartHashed) -> bytes:
    return blake3(before + _CHUNKS.pack(chunks) + _CHUNKS.pack(len(place)) + place + _packed(part)).digest(_SUM_BYTES)


def _packed(part: PartHashed) -> bytes:
    return pack([bytes(part.fingerprint), part.cuts, part.offset, part.state, part.digests])


def _read(row: tuple[object, object]) -> tuple[int, bytes, PartHashed] | None:
    """Return (chunks, checksum, what it says) of a row that is of the right form; whether it is right is not seen."""
    match row:
        case (int(chunks), bytes(note)) if 0 < chunks <= limits.CHUNKS_PER_FILE_MAX:
            try:
                value = unpack(note[_SUM_BYTES:])
            except Malformed:
                return None
        case _:
            return None
    match value:
        case [bytes(fingerprint), bytes(cuts), int(offset), bytes(state), bytes(digests)] if (
            len(fingerprint) == len(Fingerprint(0, 0, 0, 0, 0)) and not len(digests) % DIGEST_BYTES
        ):
            return (
                chunks,
                note[:_SUM_BYTES],
                PartHashed(Fingerprint.unpacked(fingerprint), cuts, offset, digests, state),
            )
        case _:
            return None
