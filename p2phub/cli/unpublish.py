"""`p2phub unpublish REF`: stop announcing and serving a name of ours, with its earlier versions. Its files stay."""

from __future__ import annotations

from argparse import ArgumentParser

from p2phub.cli.command import Command, Invocation
from p2phub.cli.sizes import plural


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("ref", metavar="REF", help="a name published here")


async def run(call: Invocation) -> int:
    async with call.open_hub() as hub:
        gone = await hub.unpublish(call.args.ref)
    call.output.object("unpublish", gone)
    call.output.say(f"{gone['reference']} is no longer published here; its files stay.")
    # A daemon of an older version tells of none.
    if earlier := gone.get("earlier"):
        call.output.say(f"With it {plural(len(earlier), 'earlier version')} went; their files stay, too.")
    if pinned := gone.get("earlier_pinned"):
        one = len(pinned) == 1
        call.output.note(
            f"{plural(len(pinned), 'earlier version')} of it {'is' if one else 'are'} pinned, and served on, so each "
            f"ends by itself: {', '.join(f'`p2phub rm {manifest}`' for manifest in pinned)}"
        )
    if gone.get("mirror_files_removed") is not None:  # A daemon of an older version does not tell.
        call.output.note(f"What made the folder a mirror is removed from {gone['mirror_files_removed']}")
    call.output.note(
        "Whoever fetched it may still have it and serve it; so does a mirror elsewhere, until its .p2phub/mirror is "
        "removed."
    )
    return 0


COMMAND = Command("unpublish", "stop announcing and serving a name; its files stay", add_arguments, run)
