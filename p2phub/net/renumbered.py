"""Chunks under way from a provider that has them in another manifest: asked for by its numbers, taken in by ours."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from msgspec.structs import replace

from p2phub.content import ChunkRef, Renumbering


class Renumbered:
    """The requests of one connection, whose answers come in the order of the requests. One thread's."""

    def __init__(self, numbers: Renumbering) -> None:
        self._numbers = numbers
        self._asked: deque[ChunkRef] = deque()  # Ours, and not answered yet.

    def distinct(self, refs: Sequence[ChunkRef]) -> int:
        """Return how many of `refs`, from the first on, one request can ask for: it may name no chunk twice."""
        seen: set[int] = set()
        for count, ref in enumerate(refs):
            theirs = self._numbers.theirs(ref.index)
            if theirs in seen:
                return count
            seen.add(theirs)
        return len(refs)

    def ask(self, refs: Sequence[ChunkRef]) -> tuple[ChunkRef, ...]:
        """Return `refs`, which are asked for now, with the provider's numbers; where they go stays as it is."""
        self._asked.extend(refs)
        return tuple(replace(ref, index=self._numbers.theirs(ref.index)) for ref in refs)

    def answered(self, refs: Sequence[ChunkRef]) -> tuple[ChunkRef, ...]:
        """Return `refs`, which came or were refused, as they were before."""
        return tuple(self._asked.popleft() for _ in refs)
