"""A long line between two networks of a race's own: a provider in one, a requester in the other.

`programs.line` makes and joins them; here it is started, and ended whatever happens. A line is made anew for each
trial, since the kernel remembers of each address how fast it was.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import Command, ContestantFailed, started

PROVIDER_IP, REQUESTER_IP = ENDS = ("192.88.99.1", "192.88.99.2")
"""Nobody's since 2015 (RFC 7526), yet of the public kind: a tool may take an address of a private network for near."""

_READY_S = 20.0


@dataclass(frozen=True, slots=True)
class Line:
    """How much a line carries each way, how long a packet takes there and back, and what may wait before it."""

    bytes_per_s: int
    round_trip_s: float

    @property
    def queue_bytes(self) -> int:
        """As much as is under way on a full line, which is what one sender needs to keep it full."""
        return round(self.bytes_per_s * self.round_trip_s)

    def __str__(self) -> str:
        return f"{self.bytes_per_s / 1e6:g} MB/s with {self.round_trip_s * 1000:g} ms there and back"


@dataclass(frozen=True, slots=True)
class Ends:
    """The networks at both ends of a line, for `isolation.within`."""

    provider: Path
    requester: Path


def why_not(line: Line, work: Path) -> str | None:
    """Return why two networks cannot be joined by it here; None if they can be."""
    if os.geteuid() != 0:
        return "needs root, to make networks and join them"
    try:
        with joined(line, stderr=work / "line.stderr", tell=lambda _: None):
            return None
    except ContestantFailed as failure:
        return f"no two networks can be made and joined here: {str(failure).splitlines()[-1]}"


@contextmanager
def joined(line: Line, *, stderr: Path, tell: Callable[[str], None]) -> Iterator[Ends]:
    """Make two networks and join them; tell at the end how the line did. Raises ContestantFailed."""
    words = [str(line.bytes_per_s), str(line.round_trip_s), str(line.queue_bytes)]
    with started(Command([sys.executable, "-m", "benchmarks.programs.line", *words]), stderr=stderr) as running:
        provider, requester = next(running.lines(timeout_s=_READY_S)).split()
        yield Ends(Path(provider), Path(requester))
    tell(f"the line: {running.said[-1].line}")
