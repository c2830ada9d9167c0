"""`p2phub init`: make this home's keys. Done on first use, too; here to see them, or to keep them apart before."""

from __future__ import annotations

from p2phub.cli.command import Command, Invocation, no_arguments


async def run(call: Invocation) -> int:
    async with call.open_hub() as hub:
        made = await hub.init()
    call.output.object("init", made)
    call.output.say(
        f"Home       {made['home']}",
        f"Publisher  {made['publisher_id']}   who you are: what you publish is signed by it",
        f"Node       {made['peer_id']}   which machine this is",
    )
    call.output.note("Keep a copy of the publisher key: p2phub key export FILE")
    return 0


COMMAND = Command("init", "make this home's keys, and show them", no_arguments, run)
