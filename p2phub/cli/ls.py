"""`p2phub ls`: what this home holds and publishes."""

from __future__ import annotations

import shlex
from argparse import ArgumentParser
from typing import Any

from p2phub import api
from p2phub.cli.attach import PLACES_LOG, nothing_taken
from p2phub.cli.called import LENGTH_SHOWN, called
from p2phub.cli.command import Command, Invocation
from p2phub.cli.sizes import plural, size
from p2phub.cli.table import table_or_blocks

WHOSE = {"own": "own store", "adopted": "adopted", "fetched": "fetched", "published": "published before"}


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--earlier", action="store_true", help="list earlier versions of folders that were given a newer one, too"
    )


async def run(call: Invocation) -> int:
    async with call.open_hub() as hub:
        items = await hub.ls()
        left = await hub.unfinished()
        away = [{key: each[key] for key in ("place", "problem")} for each in await hub.attached() if each["problem"]]
    call.output.object("ls", {"items": items, "unfinished": left, "away": away})
    earlier = [] if call.args.earlier else [item for item in items if is_earlier(item)]
    shown = [item for item in items if item not in earlier]
    if shown:
        call.output.say(*_rows(shown, columns=call.output.columns))
    if earlier:
        call.output.say(_in_short(earlier))
    if left:
        call.output.say("Not finished:", *(line for each in left for line in unfinished(each)))
        if any(each["job"] is None for each in left):
            call.output.note("What was given to it by --provider, --mirror or --bootstrap is to be given again.")
    call.output.note(*(nothing_taken(each) for each in away))
    if not items and not left:
        call.output.note("Nothing is held here yet: `p2phub publish DIR --name NAME`, or `p2phub fetch REF`")
    # What a place lists is for whoever shares it to mend. A daemon of an older version tells of no problem.
    amiss = [each for each in items if each.get("problem") and each.get("origin") != "shared"]
    if amiss:
        raise api.DiskError(
            f"of {len(amiss)} it is not known what it is, such as {amiss[0]['folder']}: {amiss[0]['problem']}",
            hint="check the disk of the home; to publish or fetch it again writes anew what describes it",
        )
    return 0


def is_earlier(item: dict[str, Any]) -> bool:
    """Whether an item is an earlier version of a folder that has a newer one by now, and nobody keeps it for itself."""
    return bool(item.get("replaced")) and not (item["references"] or item["published"] or item.get("pinned"))


def _in_short(earlier: list[dict[str, Any]]) -> str:
    """Return a line for earlier versions: of a folder that is published each night there are hundreds."""
    whole = sum(item["complete"] for item in earlier)
    all_are = whole == len(earlier)
    if len(earlier) == 1:
        rest, lists, others = "whole" if all_are else "not whole any more", "shows it", "it"
    else:
        rest, lists, others = "all whole" if all_are else f"{whole or 'none'} of them whole", "lists them", "the others"
    how = f"`p2phub ls --earlier` {lists}" + ("" if all_are else f", `p2phub gc` lets go of {others}")
    return f"And {plural(len(earlier), 'earlier version')} of these folders, {rest}: {how}"


def _rows(items: list[dict[str, Any]], *, columns: int | None) -> list[str]:
    rows = [
        [
            ", ".join(item["references"]) or item["manifest"],
            _files(item),
            _size(item),
            state(item),
            item["folder"],
        ]
        for item in items
    ]
    titles = ["REFERENCE", "FILES", "SIZE", "STATE", "FOLDER"]
    return table_or_blocks(titles, rows, [block(item) for item in items], right=(1, 2), columns=columns)


def unfinished(item: dict[str, Any]) -> list[str]:
    """Return the lines of a fetch that did not end: how much of it is here, and how it goes on."""
    reference = item["reference"]
    is_long = len(reference) > LENGTH_SHOWN  # A ticket, which would fill the screen.
    if item["job"] is not None:
        how = f"under way: p2phub status --explain {item['job']}"
    else:
        same = ", with the same ticket" if is_long else ""
        command = _going_on("TICKET" if is_long else shlex.quote(reference), item)
        allowing = " --allow-unsafe" if item.get("unsafe") else ""
        why = ", if you trust its publisher: it may run code when it is loaded" if allowing else ""
        how = f"to go on{same}: p2phub {command}{allowing}{why}"
    much = "a part is" if item["percent"] is None else f"{item['percent']} % of {size(item['bytes'])},"
    return [
        f"  {called(item)}",
        f"    {much} in {item['folder']}",
        f"    {how}",
    ]


def _going_on(ref: str, item: dict[str, Any]) -> str:
    """Return the command that goes on with a fetch: into the same place, with the same part of it."""
    # A daemon of an older version tells neither whose store it lies in, nor with what options, nor why it ended.
    options = [(name, value) for name, value in item.get("options") or ()]
    said = "".join(f" --{name} {shlex.quote(value)}" if value else f" --{name}" for name, value in options)
    if not item.get("own"):
        return f"fetch {ref} --into {shlex.quote(item['folder'])}{said}"
    return f"fetch {ref}{said}" if options else f"pin {ref}"  # With options it is on its way to another program.


def block(item: dict[str, Any]) -> list[str]:
    """Return the lines of one item where a row would be too wide: its names, then what there is to say of it."""
    names = item["references"] or [item["manifest"]]
    if item.get("problem"):
        return [*names, f"  {state(item)}", f"  {item['folder']}"]
    is_whole = item["complete"] and item.get("there") is not False
    files = plural(item["files"], "file") if is_whole else f"{_files(item)} files"
    return [*names, f"  {files}, {_size(item)}, {state(item)}", f"  {item['folder']}"]


def _files(item: dict[str, Any]) -> str:
    """Return how many files it has; where some are not here, or not right, how many are."""
    here = item.get("files_here")  # A daemon of an older version does not tell.
    if item.get("problem"):
        return "?"
    if item.get("there") is False:
        return f"0 of {item['files']:,}"
    is_told = here is not None and not item["complete"] and item.get("origin") != "shared"
    return f"{here:,} of {item['files']:,}" if is_told else f"{item['files']:,}"


def _size(item: dict[str, Any]) -> str:
    """Return how large what is meant is: of a selection, what was selected."""
    if item.get("problem"):
        return "?"
    selected = item.get("bytes_selected")  # A daemon of an older version does not tell.
    return size(int(item["bytes"] if selected is None else selected))


def state(item: dict[str, Any]) -> str:
    """Return in a word or two whose it is, what is done with it, of what it is an earlier version, and whether it is
    pinned."""
    # A daemon of an older version does not tell.
    what = "replaced there" if item.get("replaced") and not item["complete"] else _state(item)
    earlier = item.get("earlier")
    was = f", earlier {earlier[0].rpartition('/')[2]}" if earlier else ""
    return what + was + (", pinned" if item.get("pinned") else "")


def _state(item: dict[str, Any]) -> str:
    if item.get("problem"):
        return f"not known: {item['problem']}"
    if item.get("there") is False:  # Nor does it tell this.
        is_meant = item["published"] and item.get("origin") == "published"  # By a name, now and not before.
        whose = "published" if is_meant else WHOSE.get(str(item.get("origin")), "fetched")
        return f"{whose}, not there"
    if item.get("origin") == "shared":
        return "shared" if item["complete"] else "shared, not verified"
    if not item["complete"]:
        if item.get("files_damaged"):  # A daemon of an older version does not tell.
            return "damaged: p2phub verify"
        return "in part" if item.get("bytes_selected") is None else f"a selection of {size(item['bytes'])}"
    origin = item.get("origin")  # A daemon of an older version does not tell.
    whose = WHOSE.get(str(origin), "fetched")
    if not item["published"]:
        return whose
    # Published is the manifest, and not each folder that holds it: of another one it is told whose that is, too.
    return _publication(item) if origin in (None, "published") else f"{whose}, {_publication(item)}"


def _publication(item: dict[str, Any]) -> str:
    if item["private"]:
        return "private"
    if item["announced_to"] is None:
        return "published"
    return f"announced to {item['announced_to']}" if item["announced_to"] else "not announced yet"


COMMAND = Command("ls", "list what is held and published", add_arguments, run, tells=PLACES_LOG)
