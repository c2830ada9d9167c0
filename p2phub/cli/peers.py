"""`p2phub peers`: the nodes that this one knows."""

from __future__ import annotations

from p2phub.cli.command import Command, Invocation, no_arguments
from p2phub.cli.table import table


async def run(call: Invocation) -> int:
    async with call.open_hub() as hub:
        items = await hub.peers()
    call.output.object("peers", {"items": items})
    if not items:
        call.output.note("No peer is known yet. Name one: --bootstrap /ip4/IP/tcp/PORT/p2p/PEER")
        return 0
    rows = [[item["peer_id"], "proven" if item["proven"] else "heard of", *item["addresses"][:1]] for item in items]
    call.output.say(*table(["PEER", "STATE", "ADDRESS"], [row if len(row) == 3 else [*row, ""] for row in rows]))
    return 0


COMMAND = Command("peers", "list the nodes that this one knows", no_arguments, run)
