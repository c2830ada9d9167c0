"""`p2phub peers`: the nodes that this one knows."""

from __future__ import annotations

from typing import Any

from p2phub.cli.command import Command, Invocation, no_arguments
from p2phub.cli.table import table_or_blocks

ADDRESSES_SHOWN = 3  # A machine has many.
LAN_IS_ON = "Nodes of the local network are looked for whenever something is fetched."
LAN_IS_OFF = (
    "Nodes of the local network are not looked for: start it without --no-lan and P2PHUB_NO_LAN, and without "
    "`lan = false` in config.toml, and they are."
)


async def run(call: Invocation) -> int:
    async with call.open_hub() as hub:
        items = await hub.peers()
        lan = not items and (await hub.status()).get("lan", True)
    call.output.object("peers", {"items": items})
    if not items:
        call.output.note(
            "This node knows no other yet.",
            "Name one: --bootstrap /ip4/IP/tcp/PORT/p2p/PEER, as `p2phub node` prints it on the other machine.",
            LAN_IS_ON if lan else LAN_IS_OFF,
        )
        return 0
    rows = [[item["peer_id"], state(item), ", ".join(item["addresses"][:ADDRESSES_SHOWN])] for item in items]
    blocks = [
        [item["peer_id"], f"  {state(item)}", *(f"  {address}" for address in item["addresses"][:ADDRESSES_SHOWN])]
        for item in items
    ]
    lines = table_or_blocks(["PEER", "STATE", "ADDRESSES"], rows, blocks, columns=call.output.columns)
    call.output.say(*lines)
    return 0


def state(item: dict[str, Any]) -> str:
    """Return in words whether the peer was met, or is only told of."""
    return "answered, with its key" if item["proven"] else "told of, not met yet"


COMMAND = Command("peers", "list the nodes that this one knows", no_arguments, run)
