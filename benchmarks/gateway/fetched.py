"""A model that one peer has: `snapshot_download` through a gateway whose home is empty, and `p2phub fetch` of it.

What the client itself takes to write the model down is what it takes from nginx, which has it in the page cache; the
rest of its time through the gateway is what is held against `fetch`. Each round has new homes.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from benchmarks.contestants import Hub
from benchmarks.contestants.p2phub import the_event
from benchmarks.gateway.ground import gateway, ticket_by_way_of, warm
from benchmarks.gateway.held import download_from, static_hub
from benchmarks.payload import Payload
from benchmarks.plan import four_files
from benchmarks.store import Ground, Measured
from benchmarks.trial import compare_with_source

THROUGH, OWN = "s of the client through the gateway", "s of the client from nginx"
BEYOND, FETCH = "s more than from nginx", "s of `p2phub fetch`"


def measure_fetched(measured: Measured, ground: Ground, work: Path) -> None:
    """All three in each round, the provider the same."""
    payload = four_files(ground.size, ground.cache)
    ticket = str(ground.publish(work / "publisher", payload.root, "payload")["ticket"])
    with ground.node(work / "publisher") as (_, address), static_hub(ground, work, payload) as (hub, nginx):
        warm(payload)
        for number in range(ground.how.rounds):
            took: dict[str, float] = {}
            for label in (THROUGH, OWN, FETCH) if number % 2 else (FETCH, OWN, THROUGH):
                home = work / f"home-{number}-{'fetch' if label == FETCH else 'gateway'}"
                os.sync()  # What earlier ones left to write must not be written during this one.
                if label == FETCH:
                    took[label] = _fetch(ground, home, ticket, address, payload)
                elif label == OWN:
                    took[label] = download_from(nginx, hub, ground, payload, work)
                else:
                    took[label] = _through(ground, home, ticket_by_way_of(ticket, address), hub, payload, work)
                shutil.rmtree(home, ignore_errors=True)
            took[BEYOND] = max(0.0, took[THROUGH] - took[OWN])
            for label, seconds in took.items():
                measured.add(label, seconds)
            ground.tell(measured, ", ".join(f"{seconds:.2f} {label}" for label, seconds in took.items()))


def _fetch(ground: Ground, home: Path, ticket: str, address: str, payload: Payload) -> float:
    into = home.with_name("fetched")
    words = ["fetch", ticket, "--provider", address, "--into", str(into), "--no-lan", "--no-serve"]
    try:
        ended = ground.p2p(home, *words)
        the_event(ended.said, "done")
        compare_with_source(into, payload)
        return ended.wall_s
    finally:
        shutil.rmtree(into, ignore_errors=True)


def _through(ground: Ground, home: Path, ticket: str, hub: Hub, payload: Payload, work: Path) -> float:
    with gateway(ground, home, ticket) as (_, url):
        return download_from(url, hub, ground, payload, work)
