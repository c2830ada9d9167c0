"""`p2phub log REF`: the releases of a name that are known here, newest first."""

from __future__ import annotations

from argparse import ArgumentParser

from p2phub.cli.command import Command, Invocation
from p2phub.cli.info import moment
from p2phub.cli.sizes import size
from p2phub.cli.table import table


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("ref", metavar="REF", help="PUBLISHER/name[@tag], petname/name, or a name published here")


async def run(call: Invocation) -> int:
    async with call.open_hub() as hub:
        items = await hub.log(call.args.ref)
    call.output.object("log", {"reference": call.args.ref, "items": items})
    rows = [
        [moment(item["created"]), item["tag"], size(item["bytes"]), item["manifest"], item["description"] or ""]
        for item in items
    ]
    if rows:
        call.output.say(*table(["SIGNED", "TAG", "SIZE", "MANIFEST", "ABOUT"], rows, right=(2,)))
    else:
        call.output.note(f"No release of {call.args.ref} is known here.")
    return 0


COMMAND = Command("log", "show the releases of a name, newest first", add_arguments, run)
