"""`p2phub doctor`: whether all is well here, whether others can reach this node, and what to do if not."""

from __future__ import annotations

from argparse import ArgumentParser

from p2phub import api
from p2phub.cli.command import Command, Invocation
from p2phub.cli.sizes import plural
from p2phub.errors import Damaged, DiskError, NotTrusted


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--salvage", action="store_true", help="first keep what can be read of a damaged state.log, and lose the rest"
    )


async def run(call: Invocation) -> int:
    if call.args.salvage:
        for line in api.salvage(home=call.common.home):
            call.output.say(f"-- salvage: {line}")
    try:
        async with call.open_hub() as hub:
            items = await hub.doctor()
    except (DiskError, NotTrusted, Damaged) as error:  # Just what it is to find.
        items = api.examine_closed(error, home=call.common.home)
    call.output.object("doctor", {"ok": all(item["ok"] for item in items), "items": items})
    for item in items:
        call.output.say(f"{'ok ' if item['ok'] else 'NO '} {item['check']}: {item['detail']}")
        if not item["ok"] and item["hint"]:
            call.output.say(f"      try: {item['hint']}")
    wrong = sum(not item["ok"] for item in items)
    call.output.note(f"{wrong} of {plural(len(items), 'check')} found something to do." if wrong else "All is well.")
    return 0


COMMAND = Command(
    "doctor",
    "examine home, keys, disk and network, and say what to do",
    add_arguments,
    run,
    description="Whether others can reach this node is asked of a peer, which dials back. What it finds wrong is no "
    'error of the command: it exits with 0, and "ok" tells scripts.',
)
