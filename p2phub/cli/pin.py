"""`p2phub pin REF`: keep something from collection, fetched into the home's own store if it is not here."""

from __future__ import annotations

from argparse import ArgumentParser

from p2phub import api
from p2phub.cli.arguments import add_allow_unsafe, add_sources, check_mirrors, check_providers, check_wait
from p2phub.cli.command import Command, Invocation
from p2phub.cli.fetch import View, show_done
from p2phub.cli.progress import open_progress


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("ref", metavar="REF", help="a reference, manifest digest or ticket, or a folder that holds it")
    add_sources(parser)
    parser.add_argument("--no-serve", action="store_true", help="do not serve to others what was fetched")
    parser.add_argument(
        "--wait", metavar="DURATION", help="while nobody is there who has it, wait so long: 30s, 10m, 24h or forever"
    )
    add_allow_unsafe(parser)


async def run(call: Invocation) -> int:
    args, output = call.args, call.output
    check_wait(args.wait)
    check_providers(args.provider)
    check_mirrors(args.mirror)
    async with call.open_hub() as hub:
        with open_progress(output, verbose=call.common.verbose) as progress:
            progress.begin("Looking for it")
            pinned = await hub.pin(
                args.ref,
                providers=args.provider,
                mirrors=args.mirror,
                serve=not args.no_serve,
                wait=args.wait,
                allow_unsafe=args.allow_unsafe,
                watch=View(output, progress).show,
            )
    output.object("pin", pinned)
    done = pinned["fetched"]
    if done is not None:
        sources = [api.SourceBytes(**source) for source in done["sources"]]
        fields = {name: value for name, value in done.items() if name not in ("event", "sources")}
        show_done(output, api.Done(**fields, sources=sources))
        output.say(f"Pinned: {args.ref}, in the home's own store")
    else:
        output.say(f"Pinned: {args.ref}, which is here already")
        output.say(pinned["folder"], whole=True)
    return 0


COMMAND = Command(
    "pin",
    "keep something from collection; fetch it first if it is not here",
    add_arguments,
    run,
    interrupted="what was verified stays, and so does the pin; the same command resumes",
)
