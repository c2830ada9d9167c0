"""A range of a file that is not here: how many round trips to the peer who has it pass until its first byte is had.

The line to the peer is a relay that delays each byte; the machine's own work counts as round trips, too, so the line is
long. The gateway has never heard of the model, and is asked for nothing before; of the peer it knows the address.
"""

from __future__ import annotations

import http.client
import time
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.gateway.ground import NAME, gateway, ticket_by_way_of
from benchmarks.payload import Payload
from benchmarks.plan import one_file
from benchmarks.processes import ContestantFailed
from benchmarks.relay import DelayingRelay
from benchmarks.store import Ground, Measured
from benchmarks.store.changed import port_of

ROUND_TRIPS = "round trips to the first byte"
SECOND = "round trips to the first byte of another range"
ROUND_TRIP_S = 1.0
_ASKED_BYTES = 100


def measure_first(measured: Measured, ground: Ground, work: Path) -> None:
    """Ask a new gateway for a range in the middle, and then for another, in each round."""
    payload = one_file(ground.size, ground.cache)
    ticket = str(ground.publish(work / "publisher", payload.root, "payload")["ticket"])
    for number in range(ground.how.rounds):
        with (
            ground.node(work / "publisher") as (_, address),
            DelayingRelay(port_of(address), round_trip_s=ROUND_TRIP_S) as relay,
            gateway(ground, work / f"home-{number}", ticket_by_way_of(ticket, relay.address(address))) as (_, url),
        ):
            for label, part in ((ROUND_TRIPS, 2), (SECOND, 3)):
                took = _first_byte_s(url, payload, payload.size // part) / ROUND_TRIP_S
                measured.add(label, took)
                ground.tell(measured, f"{took:.2f} {label}")


def _first_byte_s(url: str, payload: Payload, start: int) -> float:
    [file] = payload.files
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    began = time.monotonic()
    connection.request(
        "GET", f"/{NAME}/resolve/main/{file.path}", headers={"Range": f"bytes={start}-{start + _ASKED_BYTES - 1}"}
    )
    answer = connection.getresponse()
    got = answer.read(1)
    took = time.monotonic() - began
    got += answer.read()
    connection.close()
    with (payload.root / file.path).open("rb") as source:
        source.seek(start)
        if answer.status != 206 or got != source.read(_ASKED_BYTES):
            raise ContestantFailed(f"the gateway answered {answer.status} with {len(got)} bytes, or not with these")
    return took
