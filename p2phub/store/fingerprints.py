"""The fingerprints of many files, 40 bytes each: a folder may have a million."""

from __future__ import annotations

from collections.abc import Iterator

from p2phub.store.interface import Fingerprint

_BYTES = len(Fingerprint(0, 0, 0, 0, 0))


class Fingerprints:
    """A growing list of fingerprints, packed one after the other."""

    def __init__(self) -> None:
        self._packed = bytearray()

    def append(self, fingerprint: Fingerprint) -> None:
        self._packed += fingerprint

    def __len__(self) -> int:
        return len(self._packed) // _BYTES

    def __getitem__(self, number: int) -> Fingerprint:
        if not 0 <= number < len(self):
            raise IndexError(number)
        return Fingerprint.unpacked(bytes(self._packed[number * _BYTES : (number + 1) * _BYTES]))

    def __iter__(self) -> Iterator[Fingerprint]:
        return map(self.__getitem__, range(len(self)))
