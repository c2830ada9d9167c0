"""`p2phub rm REF`: forget what is held. Its files stay where they are."""

from __future__ import annotations

from argparse import ArgumentParser

from p2phub.cli.command import Command, Invocation


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "ref", metavar="REF", help="a reference or manifest digest: every folder that holds it; or one folder"
    )


async def run(call: Invocation) -> int:
    async with call.open_hub() as hub:
        gone = await hub.remove(call.args.ref)
    call.output.object("rm", gone)
    folders = gone["folders"]
    if len(folders) == 1:
        call.output.say(f"Forgotten: {call.args.ref}. Its files stay in {folders[0]}")
    else:
        call.output.say(f"Forgotten: {call.args.ref}, in {len(folders)} folders. Its files stay in")
        call.output.say(*(f"  {folder}" for folder in folders), whole=True)
    if unpublished := gone.get("unpublished"):  # A daemon of an older version does not tell.
        call.output.say(f"Not published any more, as after `p2phub unpublish`: {', '.join(unpublished)}")
    if gone.get("own"):  # A daemon of an older version does not tell.
        call.output.note("What of it lies in the home's own store goes with the next `p2phub gc`")
    for place in gone.get("mirror_files_removed", ()):  # A daemon of an older version does not tell.
        call.output.note(f"What made the folder a mirror is removed from {place}")
    return 0


COMMAND = Command("rm", "forget what is held; its files stay", add_arguments, run)
