"""`p2phub doctor`: whether all is well here, whether others can reach this node, and what to do if not."""

from __future__ import annotations

from p2phub.cli.command import Command, Invocation, no_arguments


async def run(call: Invocation) -> int:
    async with call.open_hub() as hub:
        items = await hub.doctor()
    call.output.object("doctor", {"ok": all(item["ok"] for item in items), "items": items})
    for item in items:
        call.output.say(f"{'ok ' if item['ok'] else '-- '} {item['check']}: {item['detail']}")
        if not item["ok"] and item["hint"]:
            call.output.say(f"     try: {item['hint']}")
    return 0


COMMAND = Command(
    "doctor",
    "examine home, keys, disk and network, and say what to do",
    no_arguments,
    run,
    description="Whether others can reach this node is asked of a peer, which dials back. What it finds wrong is no "
    'error of the command: it exits with 0, and "ok" tells scripts.',
)
