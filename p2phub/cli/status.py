"""`p2phub status`: what the node of this home is doing."""

from __future__ import annotations

from typing import Any

from p2phub.cli.command import Command, Invocation, no_arguments
from p2phub.cli.sizes import duration, size


async def run(call: Invocation) -> int:
    async with call.open_hub() as hub:
        status = await hub.status()
    call.output.object("status", status)
    call.output.say(*describe(status))
    return 0


def describe(status: dict[str, Any]) -> list[str]:
    """Return the lines that tell a person of it."""
    running = f"the daemon runs since {duration(status['seconds'])}" if status["daemon"] else "no daemon runs"
    lines = [
        f"Home       {status['home']}: {running}",
        f"Node       {status['peer_id']}",
        f"Publisher  {status['publisher_id']}",
    ]
    lines += [f"Address    {address}" for address in status["addresses"]]
    lines.append(f"Caps       {describe_caps(status)}")
    for job in status["jobs"]:
        verified = f": {size(job['bytes_verified'])} verified" if "bytes_verified" in job else ""
        class_ = " in the background" if job["background"] else ""
        lines.append(f"Job {job['job']:<6} fetching {job['reference']} into {job['into']}{class_}{verified}")
        if job["up"] is not None or job["down"] is not None:
            lines.append(f"           {describe_caps(job)}")
    lines += [f"Served     {size(count)} of {manifest}" for manifest, count in status["served"].items()]
    return lines


def describe_caps(caps: dict[str, Any]) -> str:
    """Write the caps of a node or a job, from its `up` and `down`."""
    up, down = (f"{size(rate)}/s" if rate is not None else "no cap" for rate in (caps["up"], caps["down"]))
    return f"up {up}, down {down}"


COMMAND = Command("status", "show what the node is doing", no_arguments, run)
