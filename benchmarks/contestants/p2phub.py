"""p2phub through what its command line promises to scripts: publish, node, fetch, each with `--json`.

A requester is told the ticket and the provider's address, as every contestant is told where its provider is; it has a
home of its own for each trial, so nothing is left from the last one. No LAN discovery: everything stays on loopback, or
on the line of a race.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.isolation import LOOPBACK
from benchmarks.payload import Payload
from benchmarks.processes import Command, ContestantFailed, Ended, Running, Said, run

_READY_S = 60.0
_PUBLISH_S = 600.0


class P2phub:
    """`p2phub node` to `p2phub fetch TICKET --provider MULTIADDR`."""

    name = "p2phub"
    description = (
        "this tree: TLS 1.3, records of AEGIS-128L, both ends authenticated, BLAKE3 of every chunk, journal and sync"
    )

    def __init__(self, *, runtime: Path, host: str = LOOPBACK) -> None:
        self._runtime, self._host = runtime, host
        self._home = Path()
        self._ticket = ""

    def install(self) -> None:
        pass

    def prepare(self, payload: Payload, directory: Path) -> None:
        self._home = directory / "home"
        said = run(self.publish(payload, self._home), stderr=directory / "publish.stderr", timeout_s=_PUBLISH_S).said
        self._ticket = str(the_event(said, "published")["ticket"])

    def publish(self, payload: Payload, home: Path) -> Command:
        """Return what publishes the payload from this home."""
        return self.command(home, "publish", str(payload.root), "--name", "bench")

    def help(self) -> Command:
        """Return what prints the usage: the installed program if there is one, as a user starts it."""
        script = Path(sys.executable).with_name("p2phub")
        return Command([str(script), "--help"] if script.exists() else [sys.executable, "-m", "p2phub", "--help"])

    def collect_dry(self, home: Path) -> Command:
        """Return what tells what a collection of this home would remove."""
        return self.command(home, "gc", "--dry-run", "--no-lan")

    def provider(self) -> Command:
        return self.command(self._home, "node", "--listen", f"{self._host}:0", "--no-lan")

    def address(self, provider: Running) -> str:
        addresses = self.ready(provider)["addresses"]
        for address in addresses:
            if f"/ip4/{self._host}/" in address:
                return str(address)
        raise provider.failure(f"does not listen at {self._host}: {addresses}")

    def ready(self, provider: Running) -> dict[str, Any]:
        """Wait until a node is up; return what it says of itself. Raises ContestantFailed."""
        for line in provider.lines(timeout_s=_READY_S):
            event = _event(line)
            if event.get("event") == "ready":
                return event
        raise provider.failure("ended before it was ready")

    def requester(self, address: str, into: Path, scratch: Path) -> Sequence[Command]:
        into.rmdir()  # `--into` names a folder that is to be made
        fetch = ["fetch", self._ticket, "--provider", address, "--into", str(into), "--no-lan", "--no-serve"]
        return [self.command(scratch / "home", *fetch)]

    def tree(self, into: Path) -> Path:
        return into

    def verified_at(self, ended: Sequence[Ended]) -> float:
        [fetch] = ended
        return verified_moment(fetch)

    def command(self, home: Path, *words: str) -> Command:
        """Return what runs one command of this home."""
        return Command(
            [sys.executable, "-m", "p2phub", "--json", "--home", str(home), *words],
            {"XDG_RUNTIME_DIR": str(self._runtime)},  # short, because a socket's path must be; and not the user's own
        )


def verified_moment(fetch: Ended) -> float:
    """The first `progress` that counts every byte as verified; the end comes after the last sync and rename."""
    total = the_event(fetch.said, "started")["bytes_total"]
    the_event(fetch.said, "done")
    for said, event in _events(fetch.said):
        if event.get("event") == "progress" and event["bytes_verified"] >= total:
            return said.moment
    return fetch.moment


def the_moment(said: Sequence[Said], name: str) -> float:
    """Return when the first event of this name came. Raises ContestantFailed if none did."""
    the_event(said, name)
    return next(line.moment for line, event in _events(said) if event.get("event") == name)


def the_event(said: Sequence[Said], name: str) -> dict[str, Any]:
    """Return the first event of this name. Raises ContestantFailed if there is none."""
    for _, event in _events(said):
        if event.get("event") == name:
            return event
    raise ContestantFailed(f"p2phub said no `{name}` event; last line: {said[-1].line if said else '(nothing)'}")


def _events(said: Sequence[Said]) -> Iterator[tuple[Said, dict[str, Any]]]:
    for line in said:
        yield line, _event(line.line)


def _event(line: str) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    if not isinstance(event, dict):
        raise ContestantFailed(f"p2phub --json said a line that is not a JSON object: {line[:200]}")
    return event
