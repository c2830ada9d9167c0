"""`p2phub du`: what is held, what it takes, and how much of that is held more than once."""

from __future__ import annotations

from typing import Any

from p2phub.cli.called import names, with_digest
from p2phub.cli.command import Command, Invocation, no_arguments
from p2phub.cli.sizes import plural, size
from p2phub.cli.table import table_or_blocks


async def run(call: Invocation) -> int:
    output = call.output
    async with call.open_hub() as hub:
        used = await hub.du()
    output.object("du", used)
    upstream = used.get("upstream") or {"bytes": 0, "bytes_held": 0}  # A daemon of an older version does not tell.
    rows, blocks = ([how(each) for each in used["items"]] for how in (_row, _block))
    if upstream["bytes"]:
        rows.append(_upstream_row(upstream))
        blocks.append(_upstream_block(upstream))
    if rows:
        titles = ["REFERENCE", "SIZE", "HERE ALONE", "SHARED", "HARD-LINKED", "WHOSE", "FOLDER"]
        output.say(*table_or_blocks(titles, rows, blocks, right=(1, 2, 3, 4), columns=output.columns))
    besides = upstream["bytes"] - upstream["bytes_held"]
    parts = [f"{size(count)} {origin}" for origin, count in sorted(used["by_origin"].items())]
    parts += [f"{size(besides)} of a hub and not adopted"] if besides else []
    output.say(f"All: {size(used['bytes'] + besides)}" + (f" ({', '.join(parts)})" if parts else ""))
    if used["bytes_content"] != used["bytes"]:
        output.say(
            f"  {size(used['bytes_files'])} with each file counted once, "
            f"{size(used['bytes_content'])} with each chunk counted once"
        )
    if used["quota"] is not None:
        own = used["by_origin"].get("own", 0)
        if upstream["bytes"]:
            output.say(
                f"Own store {size(own)} and upstream hub {size(upstream['bytes'])}: {size(own + upstream['bytes'])} "
                f"of {size(used['quota'])}"
            )
        else:
            output.say(f"Own store: {size(own)} of {size(used['quota'])}")
    if used["leftover_bytes"]:
        output.say(f"Left over in the home: {size(used['leftover_bytes'])}; `p2phub gc` removes it")
    if used.get("unfinished_bytes"):  # A daemon of an older version does not tell.
        output.say(
            f"Of fetches that did not end: {size(used['unfinished_bytes'])}; `p2phub ls` says how they go on, "
            "`p2phub gc --unfinished` removes it"
        )
    output.say(
        f"Metadata: {plural(used['blobs'], 'blob')}, {size(used['blob_bytes'])}; index {size(used['index_bytes'])}; "
        f"log {size(used['log_bytes'])}"
    )
    return 0


def _row(item: dict[str, Any]) -> list[str]:
    return [
        with_digest(", ".join(names(item)) or None, item["manifest"]),
        size(item["bytes"]),
        size(item["bytes_once"]),
        size(item["bytes_same_content"]),
        size(item["bytes_same_file"]),
        _whose(item),
        item["folder"],
    ]


def _block(item: dict[str, Any]) -> list[str]:
    """Return the lines of one item where a row would be too wide."""
    parts = [f"{size(item['bytes_once'])} here alone", f"{size(item['bytes_same_content'])} shared"]
    if item["bytes_same_file"]:
        parts.append(f"{size(item['bytes_same_file'])} hard-linked")
    return [
        *names(item)[:-1],
        with_digest(next(reversed(names(item)), None), item["manifest"]),
        f"  {size(item['bytes'])}, {_whose(item)}: {', '.join(parts)}",
        f"  {item['folder']}",
    ]


def _upstream_row(upstream: dict[str, Any]) -> list[str]:
    return [_OF_THE_HUB, size(upstream["bytes"]), "", "", "", _whose_upstream(upstream), upstream["folder"]]


def _upstream_block(upstream: dict[str, Any]) -> list[str]:
    return [_OF_THE_HUB, f"  {size(upstream['bytes'])}, {_whose_upstream(upstream)}", f"  {upstream['folder']}"]


def _whose_upstream(upstream: dict[str, Any]) -> str:
    return f"upstream, {size(upstream['bytes_held'])} of it adopted"


def _whose(item: dict[str, Any]) -> str:
    return str(item["origin"]) + (", pinned" if item["pinned"] else "")


_OF_THE_HUB = "all that came from the upstream hub"

COMMAND = Command(
    "du",
    "what is held takes how much, and what is held twice",
    no_arguments,
    run,
    description="HERE ALONE: in chunks that nothing else held here has. SHARED: in chunks held elsewhere here, too, by "
    "digest: hard links, clones and second copies. HARD-LINKED: of that, in files of several holdings, by inode.",
)
