"""`p2phub attach [PLACE]`: offer here what another home shares, as a source of what is fetched."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from p2phub.cli.command import Command, Invocation
from p2phub.cli.sizes import plural

LEFT_OUT_SHOWN = 10
PLACES_LOG = "p2phub.store.sharing"  # What it warns of, this command and `ls` say themselves.


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("place", metavar="PLACE", nargs="?", help="the folder; without it, tell of what is attached")


async def run(call: Invocation) -> int:
    place, output = call.args.place, call.output
    async with call.open_hub() as hub:
        items = await hub.attached() if place is None else [await hub.attach(place)]
    output.object("attach", {"action": "list" if place is None else "attach", "items": items})
    for each in items:
        _show(call, each)
    if not items:
        output.note("Nothing is attached yet: p2phub attach PLACE, of a folder that another home shares")
    return 0


def _show(call: Invocation, each: dict[str, Any]) -> None:
    output = call.output
    how = " (by the settings)" if each["configured"] else ""
    if each["problem"] is not None:
        output.say(nothing_taken(each, how))
        return
    output.say(f"{each['place']}{how}: {plural(each['listed'], 'folder')}, shared by the node {each['writer']}")
    output.note_some([f"  not offered: {one['folder']}: {one['why']}" for one in each["left_out"]], LEFT_OUT_SHOWN)


def nothing_taken(each: dict[str, Any], how: str = "") -> str:
    """Return the line that tells of a place that is not there, `how` it is attached."""
    return f"{each['place']}{how}: nothing is taken from it: {each['problem']}"


COMMAND = Command(
    "attach",
    "take what is fetched from a folder that another home shares",
    add_arguments,
    run,
    description="Nothing is written there, and each byte that is taken from it is checked as one from a stranger is.",
    tells=PLACES_LOG,
)
