"""`p2phub publish DIR --name NAME`: hash a folder in place, sign it, and print how others get it."""

from __future__ import annotations

import shlex
from argparse import ArgumentParser
from typing import Any, NamedTuple

from p2phub import api
from p2phub.cli.arguments import check_name_and_tag, check_peers
from p2phub.cli.command import Command, Invocation
from p2phub.cli.output import Output
from p2phub.cli.progress import open_progress
from p2phub.cli.sizes import duration, plural, size
from p2phub.errors import UsageError


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="the folder to publish; it is read, never changed or copied")
    parser.add_argument("--name", metavar="NAME", help="what to call it: a-z 0-9 . _ -")
    parser.add_argument("--tag", metavar="TAG", default="main", help="which line of revisions (default: main)")
    parser.add_argument("--kind", choices=("model", "dataset", "app"), default="model", help="default: model")
    parser.add_argument("--description", metavar="TEXT", default="", help="a sentence for those who find it")
    parser.add_argument("--licence", "--license", metavar="TEXT", default="", help="as an SPDX identifier: Apache-2.0")
    parser.add_argument(
        "--parent",
        metavar="[RELATION=]REF",
        action="append",
        default=[],
        help="a model that it was made of: who has that gives what both have (finetune=REF, merge=REF, …); may be "
        "repeated",
    )
    parser.add_argument("--private", action="store_true", help="never announce it: whoever fetches needs the ticket")
    parser.add_argument(
        "--allow", metavar="PEER", action="append", default=[], help="with --private: only this node; may be repeated"
    )
    parser.add_argument(
        "--ignore", metavar="GLOB", action="append", default=[], help="leave these out (gitignore syntax)"
    )
    parser.add_argument(
        "--include", metavar="GLOB", action="append", default=[], help="take these, even what looks like junk or secret"
    )
    parser.add_argument(
        "--mirror-files",
        metavar="FOLDER",
        help="write there what makes a web server that serves FOLDER, with the files in it, a mirror; may be DIR",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="list what would be published, what left out or refused, and why"
    )


async def run(call: Invocation) -> int:
    args, output = call.args, call.output
    if args.dry_run:
        async with call.open_hub() as hub:
            show_survey(call, await hub.survey(args.folder, ignore=args.ignore, include=args.include))
        return 0
    if args.name is None:
        raise UsageError("publish needs a name", hint=f"p2phub publish {shlex.quote(args.folder)} --name NAME")
    check_name_and_tag(args.name, args.tag)
    check_peers("--allow", args.allow)
    if args.allow and not args.private:
        raise UsageError("--allow goes with --private: a public name is for everybody", hint="add --private")
    if args.mirror_files is not None and args.private:
        raise UsageError(
            "--mirror-files does not go with --private: a mirror tells everybody what it has",
            hint="leave one of them out",
        )
    with open_progress(output, verbose=call.common.verbose) as progress:
        progress.begin("Reading")
        told = False
        standing = NOBODY

        def watch(event: api.Event) -> None:
            nonlocal told
            output.event(event)
            if isinstance(event, api.PublishProgress):
                if not told:
                    told = True
                    progress.begin(f"Hashing {plural(event.files, 'file')}", total=event.bytes_total)
                progress.advance(event.bytes_hashed)

        async with call.open_hub() as hub:
            published = await hub.publish(
                args.folder,
                name=args.name,
                tag=args.tag,
                kind=args.kind,
                description=args.description,
                licence=args.licence,
                private=args.private,
                allow=args.allow,
                ignore=args.ignore,
                include=args.include,
                mirror_files=args.mirror_files,
                parents=args.parent,
                watch=watch,
            )
            if not published.announced:
                standing = await look_around(hub)
    output.event(published)
    show_published(call, published, standing)
    return 0


REMARKS_SHOWN = 10


class Standing(NamedTuple):
    """What of the network is here: whether this home's daemon runs, whether it knows anybody, and how it is dialled."""

    daemon: bool
    peers: bool
    address: str | None = None


NOBODY = Standing(daemon=False, peers=False)


async def look_around(hub: api.Hub) -> Standing:
    status = await hub.status()
    if not status["daemon"]:
        return NOBODY
    peers = any(peer["proven"] for peer in await hub.peers())
    # One that others can dial, if there is any.
    addresses = sorted(status["addresses"], key=lambda each: each.startswith(("/ip4/127.", "/ip6/::1/")))
    return Standing(daemon=True, peers=peers, address=next(iter(addresses), None))


def show_published(call: Invocation, published: api.Published, standing: Standing) -> None:
    """Tell what was published and what comes next; the ticket last, for its ten lines push away what stands above."""
    output = call.output
    unchanged = published.bytes - published.bytes_hashed
    output.say(
        f"Published {plural(published.files, 'file')}, {size(published.bytes)}, in {duration(published.seconds)}"
        + (f"; {size(unchanged)} had not changed since they were hashed" if unchanged else ""),
        f"  reference  {published.reference}",
        f"  manifest   {published.manifest}",
    )
    if published.remarks:
        shown = published.remarks[:REMARKS_SHOWN]
        output.note(*(f"{each['path']}: {each['what']}" for each in shown))
        if len(shown) < len(published.remarks):
            output.note(f"The same of {plural(len(published.remarks) - len(shown), 'other file')} (--json tells all).")
    if call.args.mirror_files is not None:
        output.note(
            f"{call.args.mirror_files} now holds what a mirror needs. Where it and the files are served:",
            f"  p2phub fetch {published.reference} --mirror https://…",
        )
    _tell_next(call, published, standing)
    _warn_of_other_names(output, published, private=call.args.private)
    _tell_ticket(output, published, standing, private=call.args.private)


def _warn_of_other_names(output: Output, published: api.Published, *, private: bool) -> None:
    """Say where the same content is for others than this publication would have it."""
    unlike = [str(each["reference"]) for each in published.other_names or () if each["private"] != private]
    if not unlike:
        return
    names = ", ".join(unlike)
    if private:
        output.note(
            f"WARNING: everybody may have it all the same: the same content is published as {names}. Content is one "
            f"thing, names are many: it is private once `p2phub unpublish {unlike[0]}` was run, for who has it not yet."
        )
    else:
        output.note(
            f"WARNING: what was private is public now: the same content is published privately as {names}. Content is "
            f"one thing, names are many; `p2phub unpublish {published.reference}` takes this one back, but not from "
            "who has it already."
        )


def _tell_ticket(output: Output, published: api.Published, standing: Standing, *, private: bool) -> None:
    if published.ticket_addresses or published.ticket_addresses is None:  # A daemon of an older version does not tell.
        output.say("Its ticket, which leads there without a lookup:")
    elif not private:
        output.say("Its ticket, which has no address in it, so that whoever uses it looks for who has it:")
    elif standing.address is not None:
        output.say(
            "Its ticket. It has no address in it, and what is private cannot be looked up: give this one with it,",
            f"  p2phub fetch TICKET --provider {standing.address}",
        )
    else:
        output.say(
            "Its ticket. It has no address in it, and what is private cannot be looked up: give one with it, which "
            "`p2phub node` prints first and `p2phub status` shows,",
            "  p2phub fetch TICKET --provider ADDRESS",
        )
    output.say(published.ticket, whole=True)


def _tell_next(call: Invocation, published: api.Published, standing: Standing) -> None:
    """Say who can have it now, and how."""
    output, private = call.output, call.args.private
    if published.announced:
        output.note("It is announced. Elsewhere:", f"  p2phub fetch {published.reference}")
    elif private:
        now = "the node that runs here serves it" if standing.daemon else "start `p2phub node` to serve it"
        whom = (
            "The nodes that --allow names fetch" if call.args.allow else "Whoever has the ticket or the digest fetches"
        )
        output.note(f"It is private and never announced. {whom} it by the ticket: {now}.")
        if not call.args.allow:
            output.note("(--allow PEER restricts it to certain nodes; `p2phub status` there shows their peer ids.)")
    elif standing.peers:
        output.note("It is not announced yet: no node has taken it so far. The node that runs here goes on trying.")
    elif standing.daemon and standing.address is not None:
        output.note(
            "Whoever is told this node's address can fetch it now:",
            f"  p2phub fetch {published.reference} --provider {standing.address}",
            "It is announced as soon as the node knows another (`p2phub node --bootstrap ADDRESS` tells it one).",
        )
    elif standing.daemon:
        output.note(
            "Nobody can fetch it yet: the node that runs here has no address. `p2phub doctor` says what is to be done."
        )
    else:
        output.note("It is not announced yet: `p2phub node` announces and serves it while it runs and knows others.")


def show_survey(call: Invocation, found: dict[str, Any]) -> None:
    output = call.output
    output.object("publish", {"dry_run": True, **found})
    refused = {each["path"]: each["why"] for each in found["refused"]}
    output.say(f"Would publish {plural(len(found['files']), 'file')}, {size(found['bytes'])}:")
    for file in found["files"]:
        why = refused.pop(file["path"], None)
        output.say(f"  {size(file['size']):>9}  {file['path']}" + (f"   REFUSED: {why}" if why else ""))
    output.say(*(f"  {'':>9}  {path}   REFUSED: {why}" for path, why in refused.items()))
    if found["left_out"]:
        output.say("Would leave out:", *(f"  {each['path']}: {each['why']}" for each in found["left_out"]))
    if found["refused_because"] is not None:
        output.say(
            f"publish would refuse: {found['refused_because']}",
            "  leave it out with --ignore PATTERN; name a secret that is meant to be public with --include PATTERN;",
            "  let this user read what cannot be read",
        )


COMMAND = Command(
    "publish",
    "hash a folder in place, sign it, print its reference and ticket",
    add_arguments,
    run,
    interrupted="nothing was published; the same command starts again",
)
