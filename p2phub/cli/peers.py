"""`p2phub peers`: the nodes that this one knows."""

from __future__ import annotations

from typing import Any

from p2phub.cli.command import Command, Invocation, no_arguments
from p2phub.cli.table import table

ADDRESSES_SHOWN = 3  # A machine has many.


async def run(call: Invocation) -> int:
    async with call.open_hub() as hub:
        items = await hub.peers()
    call.output.object("peers", {"items": items})
    if not items:
        call.output.note(
            "This node knows no other yet. Name one: --bootstrap /ip4/IP/tcp/PORT/p2p/PEER, as `p2phub node` prints it",
            "on the other machine. Nodes of the local network are looked for whenever something is fetched.",
        )
        return 0
    rows = [[item["peer_id"], state(item), ", ".join(item["addresses"][:ADDRESSES_SHOWN])] for item in items]
    call.output.say(*table(["PEER", "STATE", "ADDRESSES"], rows))
    return 0


def state(item: dict[str, Any]) -> str:
    """Return in words whether the peer was met, or is only told of."""
    return "answered, with its key" if item["proven"] else "told of, not met yet"


COMMAND = Command("peers", "list the nodes that this one knows", no_arguments, run)
