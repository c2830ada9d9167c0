"""What a new version of a held model costs on the wire: 1 % of its tensors changed; sharded anew, renamed, in one file.

A relay between reader and publisher counts every byte both ways, ciphers and questions included. Each fetch begins with
a home that holds the first version, and nothing else.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.contestants.p2phub import the_event
from benchmarks.payload import read_tree
from benchmarks.processes import ContestantFailed
from benchmarks.relay import CountingRelay
from benchmarks.store.ground import Ground, Measured
from benchmarks.store.models import model_of, tree_bytes

TUNED = "% moved: 1 in 100 tensors of each shard changed"
RESHARDED = "% moved: the same in 3 shards"
RENAMED = "% moved: the same under other names"
SINGLE = "% moved: the same in 1 file"
SAME = (RESHARDED, RENAMED, SINGLE)
SHARDS, TUNED_SHARE = 4, 0.01
LAYERS = 40  # 400 tensors, 100 a shard.
PAYLOAD_SHARE = 8  # It is about this part of `--bytes`.
PAYLOAD_MIN_BYTES = 64 << 20  # With less, tensors are below 64 KiB and share chunks: real ones of a model seldom are.
ROUNDS_MAX = 3  # What crosses the wire hardly scatters.


def measure_changed(measured: Measured, ground: Ground, work: Path) -> None:
    """Fetch each other form of a model that is held."""
    model = model_of(LAYERS, max(PAYLOAD_MIN_BYTES, ground.size // PAYLOAD_SHARE))
    held = model.write(work / "v1", shards=SHARDS)
    variants = {
        TUNED: model.tuned(SHARDS, TUNED_SHARE).write(work / "tuned", shards=SHARDS),
        RESHARDED: model.write(work / "resharded", shards=SHARDS - 1),
        RENAMED: model.write(work / "renamed", shards=SHARDS, name="weights/other-{}.safetensors"),
        SINGLE: model.write(work / "single", shards=1, name="all.safetensors"),
    }
    publisher, reader = work / "publisher", work / "reader"
    tickets = {label: ground.publish(publisher, folder, folder.name)["ticket"] for label, folder in variants.items()}
    ground.publish(reader, held, "held")
    with ground.node(publisher) as (_, address), CountingRelay(port_of(address)) as relay:
        for _ in range(min(ground.how.rounds, ROUNDS_MAX)):
            for label, folder in variants.items():
                before = relay.bytes_passed
                _fetch(ground, reader, tickets[label], relay.address(address), folder, work)
                share = 100 * (relay.bytes_passed - before) / tree_bytes([folder])
                measured.add(label, share)
                ground.tell(measured, f"{share:.3f} {label}")


def _fetch(ground: Ground, reader: Path, ticket: str, address: str, source: Path, work: Path) -> None:
    """Fetch with a copy of the reader's home, compare, and remove what came."""
    home, into = work / "home", work / "got"
    shutil.copytree(reader, home)
    try:
        words = ["fetch", ticket, "--provider", address, "--into", str(into), "--no-lan", "--no-serve"]
        the_event(ground.p2p(home, *words).said, "done")
        if read_tree(into) != read_tree(source):
            raise ContestantFailed(f"what was fetched is not {source.name}")
    finally:
        shutil.rmtree(home)
        shutil.rmtree(into, ignore_errors=True)


def port_of(address: str) -> int:
    """Return the port of a multiaddr."""
    return int(address.split("/tcp/")[1].split("/")[0])
