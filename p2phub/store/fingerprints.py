"""What tells of a file, or of the million of a folder, that it is still what it was: 40 bytes each."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

from p2phub import limits

_FINGERPRINT = Struct(">QQQqq")
_BYTES = _FINGERPRINT.size


class Fingerprint(bytes):
    """What tells that a file is still what it was, without reading it: device, inode, size, mtime_ns, ctime_ns.

    Packed, because a folder may have a million files, and five integers each take more than all else about them.
    """

    __slots__ = ()

    def __new__(cls, device: int, inode: int, size: int, mtime_ns: int, ctime_ns: int) -> Fingerprint:
        return super().__new__(cls, _FINGERPRINT.pack(device, inode, size, mtime_ns, ctime_ns))

    @classmethod
    def unpacked(cls, packed: bytes) -> Fingerprint:
        """Return the fingerprint that these bytes are."""
        return super().__new__(cls, packed)

    @property
    def device(self) -> int:
        return self.values()[0]

    @property
    def inode(self) -> int:
        return self.values()[1]

    @property
    def size(self) -> int:
        return self.values()[2]

    @property
    def mtime_ns(self) -> int:
        return self.values()[3]

    @property
    def ctime_ns(self) -> int:
        return self.values()[4]

    def values(self) -> tuple[int, int, int, int, int]:
        """All five, in the order in which `Fingerprint` takes them."""
        device, inode, size, mtime_ns, ctime_ns = _FINGERPRINT.unpack(self)
        return device, inode, size, mtime_ns, ctime_ns

    def but_ctime(self) -> bytes:
        """Return what of it a rename leaves alone, packed: all but ctime_ns."""
        return self[:-8]

    def __repr__(self) -> str:
        return f"Fingerprint{self.values()}"

    def settled(self, now_ns: int) -> bool:
        """Whether the file had been left alone for RACY_FINGERPRINT_S at `now_ns` (wall clock, when this was taken).

        If not, it may be written again within the same tick of the file system's clock, and look the same.
        """
        _, _, _, mtime_ns, ctime_ns = _FINGERPRINT.unpack(self)
        untouched_ns: int = now_ns - max(mtime_ns, ctime_ns)
        return untouched_ns >= limits.RACY_FINGERPRINT_S * 1e9


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
