"""`p2phub verify REF|DIR`: read what is held back from disk and compare every byte with what was signed."""

from __future__ import annotations

import shlex
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from p2phub import api
from p2phub.cli.arguments import add_allow_unsafe, add_sources, check_mirrors, check_providers
from p2phub.cli.command import FAILED_CHECK, Command, Invocation
from p2phub.cli.fetch import View
from p2phub.cli.progress import open_progress
from p2phub.cli.sizes import plural, size

HINTS = {  # REPAIR: the command for what was verified.
    "fetched": "REPAIR fetches only what is wrong; if the change is yours, publish the folder",
    "own": "REPAIR fetches only what is wrong",
    "published": "restore the files from where you have them, or, if the change is yours, publish it again",
    "adopted": "have the program that put it there fetch it again",
    "shared": "tell whoever shares it; a fetch takes what is right of it, and the rest from elsewhere",
}
UNREAD = "could not be read"
FILES_NAMED = 3  # In the error's message, for programs; people read all of them above it.


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("ref", metavar="REF|DIR", help="a reference, a manifest digest, or the folder")
    parser.add_argument(
        "--repair", action="store_true", help="replace what is damaged, if it was fetched; fetch only what is wrong"
    )
    add_sources(parser)
    add_allow_unsafe(parser)


async def run(call: Invocation) -> int:
    args, output = call.args, call.output
    check_providers(args.provider)
    check_mirrors(args.mirror)
    with open_progress(output, verbose=call.common.verbose) as progress:
        progress.begin("Reading")
        told = False
        fetching = View(output, progress)

        def watch(event: api.Event) -> None:
            nonlocal told
            if isinstance(event, api.PublishProgress):
                output.event(event)
                if not told:
                    told = True
                    progress.begin(f"Verifying {plural(event.files, 'file')}", total=event.bytes_total)
                progress.advance(event.bytes_hashed)
            else:
                fetching.show(event)

        async with call.open_hub() as hub:
            found = await hub.verify(
                args.ref,
                repair=args.repair,
                providers=args.provider,
                mirrors=args.mirror,
                allow_unsafe=args.allow_unsafe,
                watch=watch,
            )
    output.object("verify", found)
    damaged: list[dict[str, Any]] = found["damaged"]
    if not damaged:
        output.say(f"Sound: {plural(found['files'], 'file')}, {size(found['bytes'])}, every byte as it was signed")
        output.say(found["folder"], whole=True)
        return 0
    output.say(*(f"  {damage['path']}: {where(damage)}" for damage in damaged))
    if "repaired" in found:
        output.say(
            f"Repaired: {plural(len(found['repaired']), 'file')}, {size(found['bytes_received'])} fetched for it"
        )
        output.say(found["folder"], whole=True)
        return 0
    named = "; ".join(f"{damage['path']} ({where(damage)})" for damage in damaged[:FILES_NAMED])
    more = f"; and {len(damaged) - FILES_NAMED} more" if len(damaged) > FILES_NAMED else ""
    which = f": {named}{more}" if output.as_json else ""
    repair = f"`p2phub verify {shlex.quote(args.ref)} --repair`"
    hint = HINTS[found.get("origin", "fetched")].replace("REPAIR", repair)
    unread = sum(bool(damage.get("unreadable")) for damage in damaged)  # A daemon of an older version does not tell.
    amiss = [f"{count} {what}" for count, what in ((len(damaged) - unread, "not as signed"), (unread, UNREAD)) if count]
    if unread:
        hint = f"let this user read what could not be read, and verify again{'; ' + hint if len(amiss) > 1 else ''}"
    if found.get("away"):
        amiss = [f"{len(damaged)} not there: nothing of it is"]
        hint = (
            "mount the disk if it is not mounted; if the files are gone, fetch them again with --into DIR, or "
            f"`p2phub rm {shlex.quote(args.ref)}` forgets them"
        )
    total = plural(found["files"], "file")
    output.failed(FAILED_CHECK, f"of {total} in {found['folder']} {' and '.join(amiss)}{which}", hint)
    return FAILED_CHECK


def where(damage: dict[str, Any]) -> str:
    """Return what is wrong with a file, and in which chunks."""
    chunks = damage["chunks"]
    if not chunks:
        return str(damage["reason"])
    return f"{damage['reason']}, {'chunk' if len(chunks) == 1 else 'chunks'} {ranges(chunks)}"


def ranges(numbers: Sequence[int]) -> str:
    """Write ascending numbers: `3, 5-7`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


COMMAND = Command("verify", "read what is held back, and compare every byte (--repair: mend it)", add_arguments, run)
