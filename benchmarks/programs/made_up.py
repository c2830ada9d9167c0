"""p2phub whose read pass reads no weights: `python -m benchmarks.programs.made_up WORDS...`, as `python -m p2phub`.

Of each file the first MiB is read, where its header is; of the rest the pass is told that it read it, and each chunk's
digest follows from its number in the order in which they come. Everything above is as it is: cuts, chunk lists,
layouts, manifest, release.
"""

import itertools
import sys
from types import SimpleNamespace
from typing import Any

from blake3 import blake3

from p2phub.engine import at_hand, hashing, preadv

_READ_BYTES = 1 << 20


class _Digest:
    """In place of a hasher: it hears of bytes and does not look at them."""

    _numbers = itertools.count()  # Of all threads: `next` of it is one step under the GIL.

    def __init__(self, data: object = None, **settings: object) -> None:
        self._number = next(self._numbers)

    def update(self, data: object) -> None:
        """Nothing."""

    def digest(self) -> bytes:
        return blake3(self._number.to_bytes(8, "big")).digest()


def main() -> None:
    """Run p2phub with the read pass changed."""
    read = preadv.read_into

    def read_header(descriptor: int, into: memoryview, offset: int, path: str) -> int:
        return read(descriptor, into, offset, path) if offset + len(into) <= _READ_BYTES else len(into)

    patched: Any = hashing
    patched.blake3 = _Digest
    patched.read_into = read_header
    beneath: Any = preadv
    beneath.read_into = read_header
    whole: Any = at_hand
    whole.hashlib = SimpleNamespace(sha256=_Digest)
    whole.sha256 = SimpleNamespace(begin=lambda: None)  # Nothing of a file that nobody hashes is kept.
    from p2phub.cli.main import main as p2phub

    sys.exit(p2phub())


if __name__ == "__main__":
    main()
