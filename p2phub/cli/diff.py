"""`p2phub diff BEFORE AFTER`: what differs between two versions, or two models: files, tensors, bytes to fetch."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from p2phub.cli.arguments import check_providers
from p2phub.cli.command import Command, Invocation
from p2phub.cli.info import shape
from p2phub.cli.sizes import plural, size
from p2phub.cli.table import table


def add_arguments(parser: ArgumentParser) -> None:
    for name in ("before", "after"):
        parser.add_argument(name, metavar=name.upper(), help="a reference, a manifest digest or a ticket")
    parser.add_argument(
        "--all", action="store_true", help="list small tensors, too, that share a chunk with what changed"
    )
    parser.add_argument(
        "--provider", metavar="MULTIADDR", action="append", default=[], help="ask this node first; may be repeated"
    )


async def run(call: Invocation) -> int:
    check_providers(call.args.provider)
    async with call.open_hub() as hub:
        found = await hub.diff(call.args.before, call.args.after, providers=call.args.provider)
    call.output.object("diff", found)
    call.output.say(*describe(found, all_tensors=call.args.all))
    return 0


def describe(found: dict[str, Any], *, all_tensors: bool) -> list[str]:
    """Return the lines that tell a person of it."""
    lines = [f"Before     {found['before']}", f"After      {found['after']}", ""]
    lines += [f"Files      {plural(found['files_same'], 'file')} the same, {len(found['files']):,} not"]
    if found["files"]:
        lines += table(
            ["  CHANGE", "BEFORE", "AFTER", "FILE"], [_file_row(each) for each in found["files"]], right=(1, 2)
        )
    if found["tensors"] is None:
        lines += ["", f"Tensors    not known: {found['tensors_unknown_because']}"]
    elif found["tensors"] or found["tensors_same"]:
        sure = [each for each in found["tensors"] if each["change"] != "maybe changed"]
        lines += ["", f"Tensors    {found['tensors_same']:,} the same, {len(sure):,} not"]
        shown = found["tensors"] if all_tensors else sure
        if shown:
            lines += table(["  CHANGE", "BEFORE", "AFTER", "TENSOR"], [_tensor_row(each) for each in shown])
        unsure = len(found["tensors"]) - len(sure)
        if unsure:
            how = "" if all_tensors else ": --all lists them"
            lines += [f"  {unsure:,} small ones share a chunk with others and may have changed or not{how}"]
    new, whole = size(found["bytes_new"]), size(found["bytes_after"])
    return [*lines, "", f"New        {new} of {whole}: what stands in no chunk of the first"]


def _file_row(change: dict[str, Any]) -> list[str]:
    before, after = ("" if change[key] is None else size(change[key]) for key in ("bytes_before", "bytes_after"))
    was = f" (was {change['was']})" if change["was"] is not None else ""
    return [f"  {change['change']}", before, after, change["path"] + was]


def _tensor_row(change: dict[str, Any]) -> list[str]:
    before, after = (
        "" if change[key] is None else f"{change[key]['dtype']} {shape(change[key])}" for key in ("before", "after")
    )
    after = "of the same form" if after == before else after
    return [f"  {change['change']}", before, after, f"{change['name']}  in {change['path']}"]


COMMAND = Command("diff", "show what differs between two versions or models, without fetching them", add_arguments, run)
