"""What the driver asks of a contestant: how to get ready, which provider to start, and which requester.

A contestant only says what to run. Starting, timing, measuring, comparing what arrived and ending processes are the
driver's (`trial`), the same for all. One moment can be a contestant's own word: `verified_at`, for a tool that goes on
after the last byte is checked (to sync, to rename). The end of the process, which is nobody's word, is
reported beside it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from benchmarks.payload import Payload
from benchmarks.processes import Command, Ended, Running


class Contestant(Protocol):
    """One way to move a payload from a provider process to a new requester process.

    On loopback, or to a provider at another address if it is made with one (`far`).
    """

    name: str
    description: str

    def install(self) -> None:
        """Fetch what it needs and this machine has not, while there is still a network besides loopback.

        Raises ContestantFailed, like the rest, if it cannot.
        """

    def prepare(self, payload: Payload, directory: Path) -> None:
        """Do once, untimed, what a publisher does before anyone asks. `directory` is empty, and its own."""

    def provider(self) -> Command:
        """Return the process that serves the payload. It is started anew for every trial."""

    def address(self, provider: Running) -> str:
        """Wait until the provider can be asked, and return what a requester needs to find it."""

    def requester(self, address: str, into: Path, scratch: Path) -> Sequence[Command]:
        """Return what fetches into the empty directory `into`, one process after the other, and checks every byte.

        `scratch` is a directory of this trial alone, for what a cold requester must not find from the last one.
        """

    def tree(self, into: Path) -> Path:
        """Return where below `into` the payload's files are afterwards."""

    def verified_at(self, ended: Sequence[Ended]) -> float:
        """Return the moment when the last byte had been checked and written, as far as the requester's output tells."""
