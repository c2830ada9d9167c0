"""`p2phub unpin REF`: let something be collected again. Nothing is removed by it."""

from __future__ import annotations

from argparse import ArgumentParser

from p2phub.cli.command import Command, Invocation


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("ref", metavar="REF", help="what was pinned, or its manifest digest, as `p2phub ls` shows it")


async def run(call: Invocation) -> int:
    async with call.open_hub() as hub:
        unpinned = await hub.unpin(call.args.ref)
    call.output.object("unpin", unpinned)
    if unpinned.get("unfinished"):  # A daemon of an older version does not tell.
        what = "It never came whole: `p2phub gc --unfinished` removes what came of it"
    else:
        what = "If it lies in the home's own store, `p2phub gc` removes it"
    call.output.say(f"Not pinned any more: {call.args.ref}. {what}")
    return 0


COMMAND = Command("unpin", "let something be collected again", add_arguments, run)
