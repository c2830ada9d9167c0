"""`p2phub status`: what the node of this home is doing."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from p2phub.cli.command import Command, Invocation
from p2phub.cli.sizes import duration, size


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--explain",
        metavar="JOB",
        type=int,
        help="say of a running fetch, by its number, what each source does and what bounds it",
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
    for job in status["jobs"]:
        verified = f": {size(job['bytes_verified'])} verified" if "bytes_verified" in job else ""
        class_ = " in the background" if job["background"] else ""
        lines.append(f"Job {job['job']:<6} fetching {job['reference']} into {job['into']}{class_}{verified}")
        if job["up"] is not None or job["down"] is not None:
            lines.append(f"           {describe_caps(job)}")
    lines += [f"Served     {size(count)} of {manifest}" for manifest, count in status["served"].items()]
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
    for source in found["sources"]:
        how = ", ".join(dict.fromkeys((source["via"], source["nearness"])))
        lines.append(f"Source     {source['peer_id']} ({how}): {source['state']}")
        rate = f"{size(source['bytes_per_s'])}/s, " if source["links"] else ""
        amounts = f"{size(source['bytes_received'])} so far, {size(source['bytes_leased'])} asked for"
        lines.append(f"           {rate}{amounts}")
    return lines


def describe_caps(caps: dict[str, Any]) -> str:
    """Write the caps of a node or a job, from its `up` and `down`."""
    up, down = (f"{size(rate)}/s" if rate is not None else "no cap" for rate in (caps["up"], caps["down"]))
    return f"up {up}, down {down}"


COMMAND = Command("status", "show what the node is doing, and why a fetch is slow", add_arguments, run)
