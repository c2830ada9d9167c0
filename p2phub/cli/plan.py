"""`p2phub plan REF`: what a fetch would move, from whom, and what is here already. No content is fetched for it."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from p2phub.cli.arguments import check_providers
from p2phub.cli.command import Command, Invocation
from p2phub.cli.progress import open_progress
from p2phub.cli.selecting import add_selection, patterns_explained, selection, unmatched_line
from p2phub.cli.sizes import plural, size

PLACES_SHOWN = 5


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("ref", metavar="REF", help="PUBLISHER/name[@tag], petname/name, a manifest digest, or a ticket")
    parser.add_argument("--files", action="store_true", help="tell of each file what of it is here")
    add_selection(parser.add_argument_group("which parts of it (all, if nothing is said), as for fetch"))
    parser.add_argument(
        "--provider", metavar="MULTIADDR", action="append", default=[], help="ask this node first; may be repeated"
    )


async def run(call: Invocation) -> int:
    check_providers(call.args.provider)
    args = call.args
    async with call.open_hub() as hub:
        with open_progress(call.output, verbose=call.common.verbose) as progress, patterns_explained(args):
            progress.begin("Looking for it, and for who has it")
            found = await hub.plan(args.ref, providers=args.provider, **selection(args))
    call.output.object("plan", found)
    for pattern in found["unmatched"]:
        call.output.note(unmatched_line(pattern, is_of_tensors=pattern in args.tensor))
    call.output.say(*describe(found, files=args.files, partly=any(selection(args).values())))
    return 0


def describe(found: dict[str, Any], *, files: bool, partly: bool = False) -> list[str]:
    """Return the lines that tell a person of it. `partly`: a part of it was chosen."""
    lines = [
        f"Reference  {found['reference']}",
        f"Manifest   {found['manifest']}",
        f"{'Chosen   ' if partly else 'All of it'}  {plural(len(found['files']), 'file')}, {size(found['bytes'])}",
        f"Here       {size(found['bytes_here'])}" + (", copied and not fetched" if found["bytes_here"] else ""),
    ]
    shown = found["here"][:PLACES_SHOWN]
    lines += [f"  {size(place['bytes']):>9}  {place['path']}" for place in shown]
    if len(shown) < len(found["here"]):
        lines.append(f"  and in {plural(len(found['here']) - len(shown), 'other file')}")
    lines.append(f"To fetch   {size(found['bytes_missing'])}")
    providers = found["providers"]
    if providers:
        lines.append(f"From       {plural(len(providers), 'node')}")
        lines += [f"  {each['address']}/p2p/{each['peer_id']}" for each in providers[:PLACES_SHOWN]]
    elif found["bytes_missing"]:
        lines.append("From       nobody is known to have it just now")
    if files:
        lines += [
            f"  {size(file['bytes'] - file['bytes_here']):>9} of {size(file['bytes']):>9}  {file['path']}"
            for file in found["files"]
        ]
    return lines


COMMAND = Command("plan", "say what a fetch would move, and what is here already", add_arguments, run)
