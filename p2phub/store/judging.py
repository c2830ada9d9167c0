"""Whole files of one fetch that may not be put in their place, because loading them may run code; and the rest.

What is dangerous is decided elsewhere, by the judge that an arrival is given (`formats.danger_of`; none: everything is
allowed). Each file is looked at once, when it is whole and before it gets the name that a tool would find it by. One
that is refused stays where it arrived, verified, so that whoever allows it later need not fetch it again.
Source: docs/decisions/0092.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from p2phub.formats import REFUSED_NAMED_MAX, refusal
from p2phub.store.interface import Judge


class Judging:
    """The files that one arrival refused; `path_of` is told their numbers. One thread at a time."""

    def __init__(self, judge: Judge | None, path_of: Callable[[int], str]) -> None:
        self._judge = judge
        self._path_of = path_of
        self._first: list[tuple[str, str]] = []  # Path and why: there may be a million.
        self._count = 0

    @property
    def allows_all(self) -> bool:
        return self._judge is None

    def allows(self, file: int, size: int, descriptor: int) -> bool:
        """Whether a whole file of `size` bytes, open for reading, may be put in its place. Raises OSError."""
        if self._judge is None:
            return True

        def read(offset: int, length: int) -> bytes:
            data = os.pread(descriptor, length, offset)
            if len(data) != length:
                raise OSError(f"{self._path_of(file)} became shorter")
            return data

        why = self._judge(size, read)
        if why is None:
            return True
        self._count += 1
        if len(self._first) < REFUSED_NAMED_MAX:
            self._first.append((self._path_of(file), why))
        return False

    def tell(self) -> None:
        """Raise Unsafe if a file was refused."""
        if self._count:
            raise refusal(self._first, self._count)
