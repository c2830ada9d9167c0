"""The node itself: what it does, whom it knows, whether it is well."""

from __future__ import annotations

import time

import trio

from p2phub.content import Codec
from p2phub.engine.doctor import examine_home, examine_reach, finding
from p2phub.errors import NotFound, UsageError
from p2phub.node.keeping import counted
from p2phub.node.processes import uses, uses_json
from p2phub.node.rates import parse_cap
from p2phub.node.releases import names_of, references_by_manifest
from p2phub.node.running import JsonObject, Running
from p2phub.observe import Watch


async def init(node: Running, watch: Watch) -> JsonObject:
    parts = node.parts
    return {
        "home": str(parts.config.home),
        "publisher_id": str(parts.publisher.peer_id),
        "peer_id": str(parts.key.peer_id),
    }


async def peers(node: Running, watch: Watch) -> JsonObject:
    return {"items": await node.parts.known_peers()}


async def status(node: Running, watch: Watch) -> JsonObject:
    parts = node.parts
    children = parts.children()
    used = await parts.workers.run(lambda: uses(children))
    served = dict(parts.shelf.bytes_sent)
    names: dict[str, list[str]] = {}
    if node.jobs:
        known = await parts.workers.run(lambda: references_by_manifest(parts))
        names = {manifest.text(Codec.MSGPACK): references for manifest, references in known.items()}
    called = await parts.workers.run(lambda: names_of(parts, served.keys())) if served else {}
    quota = parts.config.quota
    # To look over all that came from a hub takes a moment: only where it is counted.
    for_quota = None if quota is None else await parts.workers.run_long(lambda: counted(parts))
    return {
        "daemon": node.announcer is not None,
        "home": str(parts.config.home),
        "peer_id": str(parts.key.peer_id),
        "publisher_id": str(parts.publisher.peer_id),
        "addresses": [str(address) for address in parts.addresses()],
        "lan": parts.config.lan,
        "seconds": round(time.time() - node.began, 1),
        "tasks": trio.lowlevel.current_statistics().tasks_living,
        **uses_json(used),
        "up": node.capping.node.up,
        "down": node.capping.node.down,
        "quota": quota,
        "counted": for_quota,
        "jobs": [{**job, "references": names.get(job["manifest"], [])} for job in node.jobs],
        "served": {manifest.text(Codec.MSGPACK): count for manifest, count in served.items()},
        "names": {manifest.text(Codec.MSGPACK): name for manifest, name in called.items()},
    }


async def explain(node: Running, watch: Watch, *, job: int) -> JsonObject:
    if node.announcer is None and not node.jobs:
        raise NotFound(
            "no node runs for this home, and a fetch that runs without one is not known to other commands",
            hint="start `p2phub node` first: whatever is fetched then can be explained; or fetch with -v",
        )
    return {"job": job, **node.explanation(job).as_json()}


async def limit(
    node: Running, watch: Watch, *, up: str | int | None = None, down: str | int | None = None, job: int | None = None
) -> JsonObject:
    """Set what is given, of the node or of a job, and tell what holds then."""
    if node.announcer is None:
        raise UsageError(
            "no node runs for this home whose caps could change",
            hint="start one with p2phub node, or give --up and --down to the command that moves bytes",
        )
    if job is not None and node.capping.job(job) is None:
        raise NotFound(f"no job {job} is under way", hint="`p2phub status` shows the jobs")
    changes = {name: parse_cap(value) for name, value in (("up", up), ("down", down)) if value is not None}
    if job is None:
        node.capping.limit_node(**changes)
    else:
        node.capping.limit_job(job, **changes)
    known = None if job is None else node.capping.job(job)
    rates = node.capping.node if known is None else known.rates
    by_schedule = known is None and node.capping.by_schedule
    return {"job": job, "up": rates.up, "down": rates.down, "by_schedule": by_schedule}


async def doctor(node: Running, watch: Watch) -> JsonObject:
    parts = node.parts
    items = [finding("keys", True, f"it publishes as {parts.publisher.peer_id}, and is the node {parts.key.peer_id}")]
    items += await parts.workers.run(lambda: examine_home(parts.config.home))
    mended = await parts.workers.run(parts.store.check)
    items.append(finding("index", True, "; ".join(mended) or "the list of what is held here is sound"))
    addresses = parts.addresses()
    port = addresses[0].address.port if addresses else None
    peers = parts.contacts()
    items += await examine_reach(
        parts.dialler, peers, port=port, daemon=node.announcer is not None, lan=parts.config.lan
    )
    return {"items": items}
