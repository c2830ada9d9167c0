"""`p2phub ls`: what this home holds and publishes."""

from __future__ import annotations

from typing import Any

from p2phub.cli.command import Command, Invocation, no_arguments
from p2phub.cli.sizes import plural, size
from p2phub.cli.table import table


async def run(call: Invocation) -> int:
    async with call.open_hub() as hub:
        items = await hub.ls()
    call.output.object("ls", {"items": items})
    if not items:
        call.output.note("Nothing is held here yet: `p2phub publish DIR --name NAME`, or `p2phub fetch REF`")
        return 0
    rows = [
        [
            ", ".join(item["references"]) or item["manifest"],
            f"{item['files']:,}",
            size(item["bytes"]),
            state(item),
            item["folder"],
        ]
        for item in items
    ]
    lines = table(["REFERENCE", "FILES", "SIZE", "STATE", "FOLDER"], rows, right=(1, 2))
    columns = call.output.columns
    if columns is not None and max(map(len, lines)) > columns:
        lines = [line for item in items for line in block(item)]
    call.output.say(*lines)
    return 0


def block(item: dict[str, Any]) -> list[str]:
    """Return the lines of one item where a row would be too wide: its names, then what there is to say of it."""
    names = item["references"] or [item["manifest"]]
    return [*names, f"  {plural(item['files'], 'file')}, {size(item['bytes'])}, {state(item)}", f"  {item['folder']}"]


def state(item: dict[str, Any]) -> str:
    """Return in a word or two what is done with it."""
    if not item["complete"]:
        return "in part"
    if not item["published"]:
        return "fetched"
    if item["private"]:
        return "private"
    if item["announced_to"] is None:
        return "published"
    return f"announced to {item['announced_to']}" if item["announced_to"] else "not announced yet"


COMMAND = Command("ls", "list what is held and published", no_arguments, run)
