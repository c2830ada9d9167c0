"""For whoever watches over a node: what it counted and how it stands, and whether it is ready to be asked."""

from __future__ import annotations

import errno
import logging
import os
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import trio

from p2phub.errors import Damaged, DiskError
from p2phub.node.keeping import counted
from p2phub.node.processes import uses, uses_json
from p2phub.node.running import JsonObject, Running
from p2phub.observe import OUTCOMES, Watch
from p2phub.store.disk import disk_errors
from p2phub.wire import REASONS

_log = logging.getLogger(__name__)
READY_S = 5.0  # A store that does not answer for so long is not there.
REST, OLD_S = 20, 300.0  # What is held is read again after so many times as long as it took, or so long at all events.
LOOK_S = 2.0  # How long one look at the store holds: whoever reaches the port may ask, as often as they like.
_LOOKS = trio.CapacityLimiter(1)  # Beside the node's own workers, who may all be waiting for the disk that is asked.


async def counters(node: Running, watch: Watch) -> JsonObject:
    parts, tally = node.parts, node.parts.tally
    children = parts.children()
    used = await parts.workers.run(lambda: uses(children))
    announcer = node.announcer
    return {
        "seconds": round(time.time() - node.began, 1),
        "sent_bytes": parts.shelf.bytes_sent_in_all(),
        "received_bytes": _all(("direct", "lan", "mirror"), tally.received),
        "chunks_refused": _all((*REASONS, "wrong"), tally.refused),
        "links_dropped": _all(("gone", "lied"), tally.dropped),
        "jobs_ended": _all(OUTCOMES, tally.jobs),
        "questions": _all(("ping", "release", "news", "probe"), tally.questions),
        "hashed_bytes": tally.hashed_bytes,
        "collected_bytes": tally.collected_bytes,
        "jobs": _all(("running", "waiting"), Counter(map(_state, node.jobs))),
        "models_open": len(node.open_models),
        "connections": parts.connections,
        "links": node.links,
        "peers_proven": parts.peers_proven,
        "records": 0 if announcer is None else announcer.records,
        "records_kept": 0 if announcer is None else announcer.kept,
        "announce_late_s": 0.0 if announcer is None else round(announcer.late_s, 3),
        "up": node.capping.node.up,
        "down": node.capping.node.down,
        "processes": uses_json(used)["processes"],
        "store": await _store(node),
    }


def _all(words: Iterable[str], counted: Counter[str]) -> dict[str, int]:
    """Return what was counted, with all the words that there are: a sum that begins at nothing can be seen to grow."""
    return {**dict.fromkeys(words, 0), **counted}


def _state(job: JsonObject) -> str:
    return "waiting" if job.get("event") == "waiting" else "running"


async def _store(node: Running) -> JsonObject | None:
    """Return what is held and what room there is; None where the disk does not let us see: the rest can be told."""
    try:
        return await node.parts.workers.run(lambda: _look_at_store(node))
    except (DiskError, Damaged) as error:
        _log.warning("the store cannot be looked over: %s", error)
        return None


def _look_at_store(node: Running) -> JsonObject:
    """Blocks. Raises DiskError, Damaged."""
    home = node.parts.config.home
    with disk_errors(f"look at {home}"):
        room = os.statvfs(home)
    return {**_held(node), "free_bytes": room.f_bavail * room.f_frsize}


def _held(node: Running) -> JsonObject:
    """Return what is held. It is read again if that changed, or long ago, but not so often that it would be what the
    node is busy with: ten thousand holdings are read for more than a second."""
    now, changes = time.monotonic(), node.parts.shelf.changes
    if node.store_told is not None:
        at_changes, at, told = node.store_told
        if now - at < (REST * told["index_s"] if changes != at_changes else OLD_S):
            return told
    told = _read_held(node)
    node.store_told = (changes, time.monotonic(), told)
    return told


def _read_held(node: Running) -> JsonObject:
    store, began = node.parts.store, time.monotonic()
    held: dict[str, dict[str, int]] = {}
    for holding in store.holdings():
        of = held.setdefault(holding.origin.value, {"manifests": 0, "bytes": 0})
        of["manifests"] += 1
        of["bytes"] += holding.bytes_total if holding.complete else 0
    return {
        "held": held,
        **counted(node.parts),
        "quota": node.parts.config.quota,
        "index_s": round(time.monotonic() - began, 6),
    }


async def readiness(node: Running, watch: Watch) -> JsonObject:
    """Tell why it is not ready, in words of which none says anything of the home."""
    reasons = [] if await _store_answers(node) else ["store"]
    if not node.parts.addresses():
        reasons.append("address")
    return {"reasons": reasons}


async def _store_answers(node: Running) -> bool:
    looked_at, answered = node.looked_at_store
    if trio.current_time() - looked_at < LOOK_S:
        return answered
    answered = False
    with trio.move_on_after(READY_S):
        answered = await trio.to_thread.run_sync(
            is_writable, node.parts.config.home, limiter=_LOOKS, abandon_on_cancel=True
        )
    node.looked_at_store = (trio.current_time(), answered)
    return answered


def is_writable(home: Path) -> bool:
    """Return whether something can be written in `home`, which leaves nothing there. Blocks."""
    try:
        with disk_errors(f"write {home}"):
            descriptor = _nameless(home)
            try:
                return os.write(descriptor, b"\0" * 4096) == 4096
            finally:
                os.close(descriptor)
    except DiskError:
        return False


def _nameless(folder: Path) -> int:
    """Return a new file that has no name in `folder`. Raises OSError."""
    try:
        return os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            raise
    place = folder / f".ready-{os.getpid()}"  # Of a file system that makes none without.
    descriptor = os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    os.unlink(place)
    return descriptor
