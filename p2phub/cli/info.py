"""`p2phub info REF`: what is known of a reference: who signed what, how much it is, whether it is here."""

from __future__ import annotations

import itertools
from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from p2phub.cli.arguments import check_providers
from p2phub.cli.called import TICKET, reference_shown
from p2phub.cli.command import Command, Invocation
from p2phub.cli.sizes import plural, size
from p2phub.cli.table import table

FILES_SHOWN = 20


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("ref", metavar="REF", help="PUBLISHER/name[@tag], petname/name, a manifest digest, or a ticket")
    parser.add_argument("--files", action="store_true", help=f"list all files, not only {FILES_SHOWN}")
    parser.add_argument(
        "--tensors", action="store_true", help="list tensors, and columns of tables: names, types and shapes"
    )
    parser.add_argument(
        "--provider", metavar="MULTIADDR", action="append", default=[], help="ask this node first; may be repeated"
    )


async def run(call: Invocation) -> int:
    check_providers(call.args.provider)
    async with call.open_hub() as hub:
        found = await hub.info(call.args.ref, providers=call.args.provider, tensors=call.args.tensors)
    call.output.object("info", found)
    call.output.say(*describe(found, files_shown=None if call.args.files else FILES_SHOWN))
    if call.args.tensors:
        call.output.say(*describe_tensors(found), whole=True)
    return 0


def describe(found: dict[str, Any], *, files_shown: int | None) -> list[str]:
    """Return the lines that tell a person of it."""
    lines = [f"Reference  {_reference(found)}", f"Manifest   {found['manifest']}"]
    if (release := found["release"]) is not None:
        lines += [
            f"Publisher  {release['publisher']}",
            f"Name       {release['name']}@{release['tag']}, a {release['kind']} of {size(release['bytes'])}",
            f"Signed     {moment(release['created'])}, holds until {moment(release['expires'])}",
        ]
        lines += [f"Licence    {release['licence']}"] if release["licence"] else []
        # A daemon of an older version does not tell.
        lines += [f"Made of    {each['manifest']} ({each['relation']})" for each in release.get("parents", ())]
        lines += [f"About      {release['description']}"] if release["description"] else []
    if (contradiction := found["contradiction"]) is not None:
        lines += contradiction_lines(contradiction)
    held = found["held"]
    if held is None:
        lines.append("Here       no")
    else:
        lines.append(f"Here       {'whole' if held['complete'] else 'in part'}, in {held['folder']}")
    if (files := found["files"]) is not None:
        total = sum(file["size"] for file in files)
        lines.append(f"Files      {len(files):,}, {size(total)}")
        shown = files if files_shown is None else files[:files_shown]
        lines += [f"  {size(file['size']):>9}  {file['path']}" for file in shown]
        if len(shown) < len(files):
            lines.append(f"  and {plural(len(files) - len(shown), 'other file')}: --files lists all")
    return lines


def _reference(found: dict[str, Any]) -> str:
    """Return what it was asked for by; of a ticket, which nobody reads, the name that it leads to."""
    reference, release = str(found["reference"]), found["release"]
    if release is None or not reference.startswith(TICKET):
        return reference_shown(reference)
    tag = "" if release["tag"] == "main" else f"@{release['tag']}"
    return f"{release['publisher']}/{release['name']}{tag} (by a ticket)"


def describe_tensors(found: dict[str, Any]) -> list[str]:
    """Return the lines that list the tensors of each file."""
    if found["tensors"] is None:
        return [f"Tensors    not known: {found['tensors_unknown_because'] or found['files_unknown_because']}"]
    tensors = found["tensors"]
    lines = [f"Tensors    {len(tensors):,}, {size(sum(tensor['bytes'] for tensor in tensors))}"]
    for path, of_file in itertools.groupby(tensors, key=lambda tensor: tensor["path"]):
        rows = [[tensor["name"], tensor["dtype"], shape(tensor), size(tensor["bytes"])] for tensor in of_file]
        lines += ["", *table([path, "TYPE", "SHAPE", "SIZE"], rows, right=(3,))]
    return lines


def shape(tensor: dict[str, Any]) -> str:
    """Write a shape: `[768, 768]`."""
    return f"[{', '.join(f'{dimension}' for dimension in tensor['shape'])}]"


def contradiction_lines(found: dict[str, Any]) -> list[str]:
    """Return the lines that tell a person of two releases that cannot both be meant."""
    return [
        f"Warning    {found['publisher']} signed two different releases with one sequence, {found['sequence']}:",
        *(f"             {manifest}" for manifest in found["manifests"]),
        "           Two machines use its key, or it tells some people one thing and some another: ask its owner.",
    ]


def moment(unix_s: int) -> str:
    """Write a time: UTC, to the minute."""
    try:
        return f"{datetime.fromtimestamp(unix_s, UTC):%Y-%m-%d %H:%M} UTC"
    except (OverflowError, ValueError, OSError):  # A stranger signed it; years end at 9999 here.
        return f"second {unix_s}"


COMMAND = Command("info", "show what is known of a reference", add_arguments, run)
