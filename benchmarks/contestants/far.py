"""A contestant whose two ends are far apart: its provider in one network, its requesters in another."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.contestants.interface import Contestant
from benchmarks.isolation import within
from benchmarks.line import Ends
from benchmarks.payload import Payload
from benchmarks.processes import Command, Ended, Running


class Far:
    """`contestant`, made with the address of a line's provider, over that line."""

    def __init__(self, contestant: Contestant, ends: Ends) -> None:
        self._contestant, self._ends = contestant, ends
        self.name, self.description = contestant.name, contestant.description

    def install(self) -> None:
        self._contestant.install()

    def prepare(self, payload: Payload, directory: Path) -> None:
        self._contestant.prepare(payload, directory)

    def provider(self) -> Command:
        with within(self._ends.provider):  # It may look for a port that is free there.
            return replace(self._contestant.provider(), network=self._ends.provider)

    def address(self, provider: Running) -> str:
        with within(self._ends.provider):  # It may try whether the provider answers, which nobody else shall wait for.
            return self._contestant.address(provider)

    def requester(self, address: str, into: Path, scratch: Path) -> Sequence[Command]:
        commands = self._contestant.requester(address, into, scratch)
        return [replace(command, network=self._ends.requester) for command in commands]

    def tree(self, into: Path) -> Path:
        return self._contestant.tree(into)

    def verified_at(self, ended: Sequence[Ended]) -> float:
        return self._contestant.verified_at(ended)
