"""`p2phub log REF`: the releases of a name that are known here, newest first."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from p2phub.cli.command import Command, Invocation
from p2phub.cli.info import contradiction_lines, moment
from p2phub.cli.sizes import size
from p2phub.cli.table import table_or_blocks


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("ref", metavar="REF", help="PUBLISHER/name[@tag], petname/name, or a name published here")


async def run(call: Invocation) -> int:
    async with call.open_hub() as hub:
        items = await hub.log(call.args.ref)
    call.output.object("log", {"reference": call.args.ref, "items": items})
    if items:
        call.output.say(*_rows(items, columns=call.output.columns))
        for found in contradictions(items):
            call.output.say(*contradiction_lines(found))
    else:
        call.output.note(f"No release of {call.args.ref} is known here.")
    return 0


def _rows(items: list[dict[str, Any]], *, columns: int | None) -> list[str]:
    titles = ["SIGNED", "TAG", "SIZE", "MANIFEST"]
    rows = [[moment(item["created"]), item["tag"], size(item["bytes"]), item["manifest"]] for item in items]
    if any(item["description"] for item in items):  # An empty column would only take room.
        titles.append("ABOUT")
        rows = [[*row, item["description"] or ""] for row, item in zip(rows, items, strict=True)]
    return table_or_blocks(titles, rows, [_block(item) for item in items], right=(2,), columns=columns)


def _block(item: dict[str, Any]) -> list[str]:
    """Return the lines of one release where a row would be too wide."""
    about = [f"  {item['description']}"] if item["description"] else []
    return [item["manifest"], f"  {moment(item['created'])}, {item['tag']}, {size(item['bytes'])}", *about]


def contradictions(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each pair of releases that cannot both be meant, as `info` tells it."""
    pairs: dict[tuple[str, int], list[str]] = {}
    for item in items:
        if item["contradicted_by"] is not None:
            pairs.setdefault((item["publisher"], item["sequence"]), []).append(item["manifest"])
    return [
        {"publisher": publisher, "sequence": sequence, "manifests": manifests}
        for (publisher, sequence), manifests in pairs.items()
    ]


COMMAND = Command("log", "show the releases of a name, newest first", add_arguments, run)
