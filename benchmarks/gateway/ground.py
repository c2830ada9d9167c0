"""What every subject of the gateway has: a node with one, and a model that another node has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.payload import Payload, read_tree
from benchmarks.processes import ContestantFailed, Running, started
from benchmarks.store import Ground
from p2phub.identity import parse_peer_address
from p2phub.manifest import Ticket, encode_ticket, parse_ticket

NAME = "bench/payload"
"""What clients call the model; a static hub of `contestants.Hub` calls it so, too."""


@contextmanager
def gateway(ground: Ground, home: Path, meaning: str) -> Iterator[tuple[Running, str]]:
    """Run a node of a home where NAME means `meaning`, a reference or a ticket; gives the URL of its gateway."""
    ground.p2p(home, "name", "add", NAME, meaning)
    words = ["node", "--listen", "127.0.0.1:0", "--no-lan", "--gateway", "127.0.0.1:0"]
    with started(ground.p2phub.command(home, *words), stderr=home.with_name("gateway.stderr")) as running:
        yield running, str(ground.p2phub.ready(running)["gateway"])


@contextmanager
def gateway_of_held(ground: Ground, home: Path, payload: Payload) -> Iterator[tuple[Running, str]]:
    """Run a node that has published the payload; the payload is in the page cache."""
    reference = ground.publish(home, payload.root, "payload")["reference"]
    warm(payload)
    with gateway(ground, home, str(reference)) as found:
        yield found


def ticket_by_way_of(ticket: str, address: str) -> str:
    """Return a ticket for the same manifest, which leads to a provider at this multiaddr and tells of nobody else."""
    return encode_ticket(Ticket(parse_ticket(ticket).manifest, None, (parse_peer_address(address),)), private=True)


def warm(payload: Payload) -> None:
    """Read the payload into the page cache. Raises ContestantFailed if it is not what it was."""
    if read_tree(payload.root) != payload.files:
        raise ContestantFailed(f"the source {payload.root} is not what its record says; delete its directory")
