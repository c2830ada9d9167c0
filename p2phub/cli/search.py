"""`p2phub search WORDS…`: find what this home holds or has seen by words of it."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from p2phub.cli.command import Command, Invocation
from p2phub.cli.ls import WHOSE
from p2phub.cli.sizes import size
from p2phub.cli.table import table_or_blocks
from p2phub.errors import UsageError

_LIMIT = 30


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "words",
        nargs="+",
        metavar="WORDS",
        help="of its name, title, licence, formats of files, or its publisher's key; the last may be unfinished",
    )
    parser.add_argument("--kind", choices=("model", "dataset", "app"), help="only of that kind")
    parser.add_argument("--held", action="store_true", help="only what is held here")
    parser.add_argument("--limit", type=int, default=_LIMIT, metavar="N", help=f"how many at most (default: {_LIMIT})")


async def run(call: Invocation) -> int:
    args = call.args
    if args.limit < 1:
        raise UsageError(f"--limit {args.limit}: at least 1")
    words = " ".join(args.words)
    async with call.open_hub() as hub:
        found = await hub.search(words, kind=args.kind, held=args.held, limit=args.limit)
    call.output.object("search", {"words": words, **found})
    items = found["items"]
    if items:
        call.output.say(*_rows(items, columns=call.output.columns))
    else:
        call.output.note(f"Nothing that this home holds or has seen has {words!r}; other nodes are not asked.")
    if not found["complete"]:
        call.output.note("The node still goes through what it holds: search again in a while.")
    if found["cursor"] is not None:
        call.output.note("There is more: give more words, or a larger --limit.")
    return 0


def _rows(items: list[dict[str, Any]], *, columns: int | None) -> list[str]:
    titles = ["NAME", "KIND", "SIZE", "HERE", "ABOUT"]
    rows = [[_name(item), item["kind"] or "", size(item["size"]), _here(item), _about(item)] for item in items]
    return table_or_blocks(titles, rows, [_block(item) for item in items], right=(2,), columns=columns)


def _block(item: dict[str, Any]) -> list[str]:
    """Return the lines of one item where a row would be too wide."""
    facts = ", ".join(each for each in (item["kind"], size(item["size"]), _here(item)) if each)
    about = [f"  {_about(item)}"] if _about(item) else []
    return [_name(item), f"  {facts}", *about]


def _name(item: dict[str, Any]) -> str:
    """Return what it is called, with the tag, but for the one that is meant where none is said."""
    name, tag = str(item["name"]), item["tag"]
    return name if tag in (None, "main") or "@" in name else f"{name}@{tag}"


def _here(item: dict[str, Any]) -> str:
    # `ls` knows what is published still, and says "published before" of the rest; here it is how it came.
    whose = item["origin"] if item["origin"] == "published" else WHOSE.get(item["origin"], item["origin"])
    return f"{whose}, pinned" if item["pinned"] and item["held"] else whose or "seen"


def _about(item: dict[str, Any]) -> str:
    return "; ".join(each for each in (item["title"], item["licence"], " ".join(item["formats"])) if each)


COMMAND = Command("search", "find what this home holds or has seen", add_arguments, run)
