"""How a child comes by the files that it serves: in folders that the parent opened, or opened by the parent one by one.

The parent walks to a folder (no link on the way is followed) and hands over its descriptor, with the names of some
hundreds of files in it and what the status of each must say; opening them is one call each, here. What is not found
there just so, and every file of a plan that has no folders, is the parent's to open, or to refuse.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from struct import Struct

from p2phub.content import InFolder, Steady, Walker
from p2phub.errors import HubError
from p2phub.net.bulk.letters import error_in
from p2phub.net.bulk.post import Letter
from p2phub.net.chunk_writer import FILES_AT_ONCE

NEIGHBOURS_AT_ONCE = 512
"""Files asked about at once: the letter stays a short one, unless their names are long."""
FOLDERS_AT_ONCE = FILES_AT_ONCE

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

_EXACTLY = Struct(">QQQqq")
_NOTHING = bytes(_EXACTLY.size)

Exactly = tuple[int, int, int, int, int]
Neighbours = dict[int, tuple[int, str, Exactly] | None]
"""By file number: descriptor of the folder, name in it, status. None: to be opened by the parent."""


class HandedFile:
    """`content.Readable` of a descriptor, and what its status must still say."""

    __slots__ = ("descriptor", "steady")

    def __init__(self, descriptor: int, steady: Steady) -> None:
        self.descriptor, self.steady = descriptor, steady

    def unchanged(self) -> bool:
        return self.steady.holds(os.fstat(self.descriptor))

    def close(self) -> None:
        os.close(self.descriptor)


def handed(found: Letter, descriptors: Iterator[int]) -> HandedFile | HubError:
    """Return what the parent answered about one file."""
    if "error" in found:
        return error_in(found["error"])
    exactly = found["exactly"]
    return HandedFile(next(descriptors), Steady(None if exactly is None else tuple(exactly), found["size_max"]))


class AheadWalker:
    """`content.Walker` that asks the parent for the next files together: for each alone it would wait each time."""

    def __init__(self, open_files: Callable[[Sequence[int]], list[HandedFile | HubError]]) -> None:
        self._open_files = open_files
        self._expected: list[int] = []
        self._ready: dict[int, HandedFile | HubError] = {}

    def expect(self, files: Sequence[int]) -> None:
        self._let_go()
        self._expected = list(files)

    def open(self, file: int) -> HandedFile:
        if file not in self._ready:
            some = [file]
            if file in self._expected:
                at = self._expected.index(file)
                some = self._expected[at : at + FILES_AT_ONCE]
                self._expected = self._expected[at + len(some) :]
            self._ready |= dict(zip(some, self._open_files(some), strict=True))
        found = self._ready.pop(file)
        if isinstance(found, HubError):
            raise found
        return found

    def in_folder(self, file: int) -> InFolder | None:
        return None

    def close(self) -> None:
        self._let_go()

    def _let_go(self) -> None:
        while self._ready:
            _, found = self._ready.popitem()
            if isinstance(found, HandedFile):
                found.close()


class NeighbourWalker:
    """`content.Walker` that is told of hundreds of files at once, and opens them in their folders by itself."""

    def __init__(
        self,
        ask: Callable[[int], tuple[Letter, list[int]]],
        open_files: Callable[[Sequence[int]], list[HandedFile | HubError]],
    ) -> None:
        """`ask` returns how to find the files from a number on, as `neighbours_out` says it."""
        self._ask, self._ahead = ask, AheadWalker(open_files)
        self._known: Neighbours = {}
        self._folders: list[int] = []

    def expect(self, files: Sequence[int]) -> None:
        pass

    def open(self, file: int) -> HandedFile:
        if file not in self._known:
            self._learn(file)
        place = self._known[file]
        if place is not None:
            folder, name, exactly = place
            steady = Steady(exactly)
            try:
                # Looked at first: opening a device can have effects of its own.
                if steady.holds(os.stat(name, dir_fd=folder, follow_symlinks=False)):
                    return HandedFile(os.open(name, _FLAGS, dir_fd=folder), steady)
            except OSError:
                pass
        return self._ahead.open(file)

    def in_folder(self, file: int) -> InFolder | None:
        return None

    def close(self) -> None:
        self._ahead.close()
        self._known = {}
        while self._folders:
            os.close(self._folders.pop())

    def _learn(self, first: int) -> None:
        """Ask about `first` and the files after it, in place of those known."""
        self._known = {}
        while self._folders:
            os.close(self._folders.pop())
        letter, self._folders = self._ask(first)
        found = zip(letter["names"], letter["folders"], _EXACTLY.iter_unpack(letter["exactly"]), strict=True)
        self._known = {
            file: None if name is None else (self._folders[folder], name, exactly)
            for file, (name, folder, exactly) in enumerate(found, first)
        }


def neighbours_out(walker: Walker, first: int, stop: int) -> tuple[Letter, list[int]]:
    """Return how to find the files `first` ..< `stop`, or fewer if they lie in many folders: of each its name (None if
    it is for the parent to open), which folder it is in, and its status, packed; then descriptors of those folders,
    which the caller closes. By the parent."""
    names: list[str | None] = []
    within = bytearray()
    exactly = bytearray()
    folders: list[int] = []
    number: dict[str, int] = {}
    try:
        for file in range(first, stop):
            try:
                place = walker.in_folder(file)
            except HubError:  # Asked for alone it will say which.
                place = None
            if place is None:
                names.append(None)
                within.append(0)
                exactly += _NOTHING
                continue
            if place.folder not in number:
                if len(folders) == FOLDERS_AT_ONCE:
                    break
                number[place.folder] = len(folders)
                folders.append(os.dup(place.descriptor))
            names.append(place.name)
            within.append(number[place.folder])
            exactly += _EXACTLY.pack(*place.exactly)
    except BaseException:
        while folders:
            os.close(folders.pop())
        raise
    return {"names": names, "folders": bytes(within), "exactly": bytes(exactly)}, folders
