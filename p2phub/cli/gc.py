"""`p2phub gc`: remove what nothing keeps, or tell what that would be."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from p2phub.cli.called import commit_shown, with_digest
from p2phub.cli.command import Command, Invocation
from p2phub.cli.sizes import plural, size
from p2phub.cli.table import table_or_blocks

DAY_S = 86_400


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="remove nothing; tell what would be removed")
    parser.add_argument(
        "--unfinished", action="store_true", help="also what fetches that did not end left beside their destination"
    )


async def run(call: Invocation) -> int:
    args, output = call.args, call.output
    async with call.open_hub() as hub:
        found = await hub.gc(dry_run=args.dry_run, unfinished=args.unfinished)
    output.object("gc", found)
    items, left = found["items"], found["leftovers"] + found["unfinished"]
    if items:
        titles = ["REFERENCE", "SIZE", "LAST USED", "OTHERS"]
        rows, blocks = ([how(each) for each in items] for how in (_row, _block))
        output.say(*table_or_blocks(titles, rows, blocks, right=(1, 3), columns=output.columns))
    output.say(*(_of_unfinished(each) for each in found["unfinished"]))
    output.say(*(f"  {size(each['bytes'])} left over in {each['folder']}" for each in found["leftovers"]))
    of_a_hub = sum(each.get("origin") == "upstream" for each in items)
    total = found["bytes"] + found["blob_bytes"] + sum(each["bytes"] for each in left)
    what = ", ".join(
        words
        for count, words in (
            (len(items) - of_a_hub, plural(len(items) - of_a_hub, "manifest")),
            (of_a_hub, plural(of_a_hub, "snapshot") + " of an upstream hub"),
            (len(left), plural(len(left), "leftover")),
            (found["blobs"], plural(found["blobs"], "blob")),
            (found["rows"], f"{plural(found['rows'], 'row')} of the index"),
        )
        if count
    )
    if not what:
        output.say("Nothing to remove: all that is here is kept")
    elif args.dry_run:
        output.say(f"Would remove {what}: {size(total)}")
    else:
        output.say(f"Removed {what}: {size(total)}")
    if found.get("unfinished_bytes"):  # A daemon of an older version does not tell.
        output.note(
            f"Kept: {size(found['unfinished_bytes'])} of fetches that did not end; `p2phub ls` says how they go on, "
            "`p2phub gc --unfinished` removes it"
        )
    return 0


def _row(item: dict[str, Any]) -> list[str]:
    # The hub has it, too; how many others do is not asked.
    others = "hub" if item.get("origin") == "upstream" else "?" if item["others"] is None else str(item["others"])
    return [_named(item), size(item["bytes"]), _ago(item["used"]), others]


def _block(item: dict[str, Any]) -> list[str]:
    """Return the lines of one item where a row would be too wide."""
    name, much, used, others = _row(item)
    return [name, f"  {much}, last used: {used}, others who have it: {others}"]


def _of_unfinished(item: dict[str, Any]) -> str:
    return f"  {_named(item)}: {size(item['bytes'])} of an unfinished fetch, in {item['folder']}"


def _named(item: dict[str, Any]) -> str:
    if item.get("origin") == "upstream":
        return f"{item['name']} at {commit_shown(item['revision'])}"
    # A daemon of an older version tells of no name, but of references.
    return with_digest(item.get("name") or next(iter(item["references"]), None), item["manifest"])


def _ago(used: int | None) -> str:
    if used is None:
        return "?"
    days = int(max(0, time.time() - used) // DAY_S)
    return "today" if days == 0 else f"{plural(days, 'day')} ago"


COMMAND = Command(
    "gc",
    "remove what nothing keeps (--dry-run: tell of it)",
    add_arguments,
    run,
    description="Removes what lies in the home's own store or came from an upstream hub and is not pinned, metadata of "
    "what is not held any more, and what crashes left. Published, adopted and fetched folders are never touched.",
    interrupted="what was removed is gone, all else can be read; the same command goes on",
)
