"""What the driver asks of a contestant that takes part in a crowd: capped providers, requesters that serve each other.

As in `interface`, a contestant only says what to run, and the driver (`crowd_trial`) does the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.payload import Payload
from benchmarks.processes import Command, Running


@dataclass(frozen=True, slots=True)
class Scene:
    """How many providers, each capped at so many bytes a second, and how many requesters that begin together."""

    providers: int
    requesters: int
    cap_bytes_per_s: int

    def ideal_s(self, payload_bytes: int) -> float:
        """Seconds in which the providers can send one copy: nobody can be done sooner."""
        return payload_bytes / (self.providers * self.cap_bytes_per_s)


@dataclass(frozen=True, slots=True)
class Member:
    """One requester's own directories: where the files go (empty), and for what it needs besides."""

    into: Path
    scratch: Path


@dataclass(frozen=True, slots=True)
class Finished:
    """When one requester had every byte checked, when it was done with it, and its CPU seconds until then."""

    verified: float
    done: float
    cpu_s: float


class CrowdContestant(Protocol):
    """One way to bring a payload from few providers to many requesters on loopback."""

    name: str
    description: str

    def install(self) -> None:
        """As in `interface.Contestant`."""

    def prepare(self, payload: Payload, scene: Scene, directory: Path) -> None:
        """Do once, untimed, what every provider does before anyone asks."""

    def provider(self, number: int) -> Command:
        """Return the capped process that serves the payload. It is started anew for every trial."""

    def address(self, provider: Running) -> str:
        """Wait until the provider can be asked, and return what a requester needs to find it."""

    def requesters(self, addresses: Sequence[str], members: Sequence[Member]) -> Sequence[Command]:
        """Return what each member runs. The process may end when it is done, or stay and serve until SIGTERM."""

    def finish(self, requester: Running, *, timeout_s: float) -> Finished:
        """Wait until this requester is done. Raises ContestantFailed."""

    def tree(self, into: Path) -> Path:
        """Return where below `into` the payload's files are afterwards."""
