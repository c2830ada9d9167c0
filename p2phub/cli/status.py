"""`p2phub status`: what the node of this home is doing."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from p2phub.cli.called import called, with_digest
from p2phub.cli.command import Command, Invocation
from p2phub.cli.info import moment
from p2phub.cli.sizes import duration, milliseconds, size

CLOCK_S = 300.0  # So long a wait has its end told as a time of day, too.
WHERE = {
    "machine": "on this machine",
    "rack": "in this rack",
    "site": "at this site",
    "lan": "on the local network",
    "far": "far away",
    "metered": "over a line that costs",
}
"""How near a source is, in words; a class of a newer daemon stands as it is called."""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--explain",
        metavar="JOB",
        type=int,
        help="say of a running fetch what each source does and what bounds it; its number stands in `p2phub status`",
    )


async def run(call: Invocation) -> int:
    if call.args.explain is not None:
        return await _explain(call)
    async with call.open_hub() as hub:
        status = await hub.status()
    call.output.object("status", status)
    call.output.say(*describe(status))
    return 0


def describe(status: dict[str, Any]) -> list[str]:
    """Return the lines that tell a person of it."""
    running = f"the daemon has been running for {duration(status['seconds'])}" if status["daemon"] else "no daemon runs"
    lines = [
        f"Home       {status['home']}: {running}",
        f"Node       {status['peer_id']}",
        f"Publisher  {status['publisher_id']}",
    ]
    lines += [f"Address    {address}" for address in status["addresses"]]
    lines.append(f"Caps       {describe_caps(status)}")
    if status["daemon"]:
        count = len(status["processes"])
        together = f" in {count} processes" if count > 1 else ""
        lines.append(
            f"Uses       {size(status['anonymous_bytes'])} of memory, {status['descriptors']:,} descriptors{together}"
        )
    if status.get("quota") is not None:  # A daemon of an older version does not tell.
        lines.append(f"Quota      {describe_quota(status['quota'], status['counted'])}")
    for job in status["jobs"]:
        lines += describe_running(job)
    if not status["daemon"]:
        lines.append("Jobs       none here: a fetch without a daemon is not known to other commands;")
        lines.append("           while `p2phub node` runs, each fetch is a job of it")
    elif not status["jobs"]:
        lines.append("Jobs       none: nothing is fetched now")
    names = status.get("names", {})  # A daemon of an older version does not tell.
    for manifest, count in status["served"].items():
        lines.append(f"Served     {with_digest(names.get(manifest), manifest)}: {size(count)}")
    return lines


def describe_quota(quota: int, counted: dict[str, int]) -> str:
    """Write how much of the quota is taken, and by what."""
    kinds = {"own_bytes": "own store", "upstream_bytes": "upstream hub", "unfinished_bytes": "not finished"}
    parts = ", ".join(f"{size(counted[kind])} {what}" for kind, what in kinds.items() if counted[kind])
    return f"{size(sum(counted.values()))} of {size(quota)}" + (f": {parts}" if parts else "")


def describe_running(job: dict[str, Any]) -> list[str]:
    """Return the lines that tell of a fetch under way: what, how much of it, where to, within which caps."""
    class_ = " in the background" if job["background"] else ""
    lines = [f"Job {job['job']:<6} fetching {called(job)}{class_}"]
    total = job.get("bytes_total")
    if total is None:
        lines.append("           looking for providers; how much it is, is not known yet")
    else:
        verified = job.get("bytes_verified", job.get("bytes_held", 0))
        rate = f", {size(job['bytes_per_s'])}/s" if job.get("bytes_per_s") else ""
        part = f" of {size(total)} ({100 * verified // max(1, total)} %)"
        if verified > total:  # It is fetched as far as somebody reads it: how much that will be, nobody knows.
            part = ", as much as was read of it,"
        lines.append(f"           {size(verified)}{part} verified{rate}")
    lines.append(f"           into {job['into']}")
    if job["up"] is not None or job["down"] is not None:
        lines.append(f"           {describe_caps(job)}")
    return lines


async def _explain(call: Invocation) -> int:
    async with call.open_hub() as hub:
        found = await hub.explain(call.args.explain)
    call.output.object("explanation", found)
    call.output.say(*describe_job(found))
    return 0


def describe_job(found: dict[str, Any]) -> list[str]:
    """Return the lines that tell a person why a fetch is as fast as it is."""
    missing = found["bytes_missing"]
    left = "how much is missing is not known yet" if missing is None else f"{size(missing)} missing"
    lines = [
        f"Job {found['job']}      {size(found['bytes_verified'])} verified, {left}",
        f"Bound by   {found['bound']}: {found['because']}",
    ]
    if waiting := found.get("waiting"):  # A daemon of an older version does not tell.
        lines += _describe_wait(waiting)
    for source in found["sources"]:
        near = WHERE.get(source["nearness"], source["nearness"])
        how = near if source["nearness"] == source["via"] else f"{source['via']}, {near}"
        lines += [f"Source     {source['peer_id']}", f"           {how}: {source['state']}"]
        rate = f"{size(source['bytes_per_s'])}/s, " if source["links"] else ""
        amounts = f"{size(source['bytes_received'])} so far, {size(source['bytes_leased'])} to come"
        lines.append(f"           {rate}{amounts}")
        if source["links"]:
            trip = f", round trip {milliseconds(source['trip_s'])}" if source["trip_s"] is not None else ""
            lines.append(f"           window {size(source['window_bytes'])}{trip}")
    return lines


def _describe_wait(waiting: dict[str, Any]) -> list[str]:
    left_s = waiting["left_s"]
    # To the minute: of a shorter wait it would say a time that is past.
    until = f" ({moment(round(time.time() + left_s))})" if left_s and left_s >= CLOCK_S else ""
    return [
        f"Waits      for {duration(waiting['waited_s'])} by now: {waiting['reason']}",
        f"           {waiting['next']}{until}",
    ]


def describe_caps(caps: dict[str, Any]) -> str:
    """Write the caps of a node or a job, from its `up` and `down`."""
    up, down = (f"{size(rate)}/s" if rate is not None else "no cap" for rate in (caps["up"], caps["down"]))
    return f"up {up}, down {down}"


COMMAND = Command("status", "show what the node is doing, and why a fetch is slow or waits", add_arguments, run)
