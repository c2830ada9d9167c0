"""`p2phub detach PLACE`: take nothing of an attached place any more."""

from __future__ import annotations

from argparse import ArgumentParser

from p2phub.cli.command import Command, Invocation


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("place", metavar="PLACE", help="the folder, as `p2phub attach` lists it")


async def run(call: Invocation) -> int:
    async with call.open_hub() as hub:
        detached = await hub.detach(call.args.place)
    call.output.object("detach", detached)
    call.output.say(f"Not attached any more: {detached['place']}")
    return 0


COMMAND = Command("detach", "take nothing of an attached place any more", add_arguments, run)
