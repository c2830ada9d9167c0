"""`p2phub share [PLACE]`: list in a folder what this home holds below it, so that other homes can attach it."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from p2phub.cli.command import Command, Invocation
from p2phub.cli.sizes import plural, size
from p2phub.errors import UsageError

LEFT_OUT_SHOWN = 10


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("place", metavar="PLACE", nargs="?", help="the folder; without it, tell of what is shared")
    parser.add_argument("--stop", action="store_true", help="share it no longer, and remove the list in it")


async def run(call: Invocation) -> int:
    args, output = call.args, call.output
    if args.stop and args.place is None:
        raise UsageError("--stop needs to know which place", hint="p2phub share --stop PLACE")
    async with call.open_hub() as hub:
        if args.place is None:
            items = await hub.shares()
        elif args.stop:
            stopped = await hub.unshare(args.place)
            output.object("share", {"action": "stop", **stopped})
            output.say(f"Not shared any more: {stopped['place']}. The files in it stay")
            return 0
        else:
            items = [await hub.share(args.place)]
    output.object("share", {"action": "list" if args.place is None else "share", "items": items})
    for each in items:
        _show(call, each)
    if not items:
        output.note("Nothing is shared yet: p2phub share PLACE")
    elif args.place is not None:
        output.note(f"Whoever can read it attaches it with: p2phub attach {items[0]['place']}")
    return 0


def _show(call: Invocation, each: dict[str, Any]) -> None:
    output = call.output
    if each["problem"] is not None:
        output.say(f"{each['place']}: not up to date: {each['problem']}")
        return
    output.say(f"{each['place']}: {plural(each['listed'], 'folder')} listed, {size(each['bytes'])}")
    output.note_some([f"  not listed: {one['folder']}: {one['why']}" for one in each["left_out"]], LEFT_OUT_SHOWN)
    if not each["others_may_read"]:
        output.note("  other users cannot read the list: set a umask of 022 and share it again, or let them in by hand")


COMMAND = Command(
    "share",
    "list what is held below a folder, for other homes to attach",
    add_arguments,
    run,
    description="Only what is for everybody is listed. The list is kept up to date while the place is shared.",
)
