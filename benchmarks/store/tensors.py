"""A part of a model: what fetching the tensors of one layer moves, and how soon the first of all tensors is there.

Bytes are counted by a relay, both ways. Times are of one program with an open hub, from the call to the array, or to
the end of the fetch: of the last tensor of the last shard, asked for before all others, and of the same fetched alone.
The provider is capped, so that it is the network that takes the time.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.contestants.p2phub import the_event
from benchmarks.payload import MIB
from benchmarks.processes import Command
from benchmarks.relay import CountingRelay
from benchmarks.store.changed import port_of
from benchmarks.store.ground import Ground, Measured
from benchmarks.store.models import PARTS, model_of

BEYOND = "MiB moved beyond the tensors of layers.0.*, a shard that has them"
FIRST, ALONE = "s to the first tensor of open_tensors", "s to fetch that tensor alone"
SHARDS, LAYERS = 4, 8
PAYLOAD_SHARE = 4  # Of `--bytes`.
CAP = "50MB"


def measure_tensors(measured: Measured, ground: Ground, work: Path) -> None:
    """Fetch the layer, then the tensor both ways, in each round."""
    model = model_of(LAYERS, ground.size // PAYLOAD_SHARE)
    source, publisher = model.write(work / "model", shards=SHARDS), work / "publisher"
    ticket = str(ground.publish(publisher, source, "model")["ticket"])
    last = list(model.seeds)[-1]
    for number in range(ground.how.rounds):
        with ground.node(publisher) as (_, address), CountingRelay(port_of(address)) as relay:
            into = work / f"layer-{number}"
            words = ["--provider", relay.address(address), "--into", str(into), "--no-lan", "--no-serve"]
            fetched = ground.p2p(work / f"home-{number}", "fetch", ticket, "--tensor", "layers.0.*", *words)
            the_event(fetched.said, "done")
            beyond = (relay.bytes_passed - len(PARTS) * model.tensor_bytes) / MIB
        measured.add(BEYOND, beyond)
        ground.tell(measured, f"{beyond:.3f} {BEYOND}")
        with ground.node(publisher, "--up", CAP) as (_, address):
            for label, how in (
                ((FIRST, "open"), (ALONE, "fetch")) if number % 2 else ((ALONE, "fetch"), (FIRST, "open"))
            ):
                home = work / f"home-{how}-{number}"
                command = [
                    sys.executable,
                    "-m",
                    "benchmarks.programs.one_tensor",
                    how,
                    str(home),
                    ticket,
                    address,
                    last,
                ]
                seconds = json.loads(ground.run(Command(command), home).said[-1].line)["seconds"]
                measured.add(label, seconds)
                ground.tell(measured, f"{seconds:.2f} {label}")
