"""`p2phub name add | rm | list`: the user's own names for publishers and repositories. Nobody else can set one."""

from __future__ import annotations

from argparse import ArgumentParser

from p2phub.cli.command import Command, Invocation
from p2phub.cli.sizes import plural
from p2phub.cli.table import table
from p2phub.errors import UsageError

WORDS = {"add": 2, "rm": 1, "list": 0}
"""How many words each action takes."""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("action", choices=("add", "rm", "list"))
    parser.add_argument("alias", metavar="NAME|ORG/NAME", nargs="?", help="what you call it")
    parser.add_argument("target", metavar="PUBLISHER|REF", nargs="?", help="what NAME, or ORG/NAME, stands for")


async def run(call: Invocation) -> int:
    args, output = call.args, call.output
    given = sum(word is not None for word in (args.alias, args.target))
    if given != WORDS[args.action]:
        usage = {"add": "add NAME PUBLISHER, or add ORG/NAME REF", "rm": "rm NAME", "list": "list"}[args.action]
        raise UsageError(f"name {args.action} takes {plural(WORDS[args.action], 'word')}", hint=f"p2phub name {usage}")
    async with call.open_hub() as hub:
        if args.action == "add":
            await hub.name_add(args.alias, args.target)
            output.object("name", {"action": "add", "alias": args.alias, "target": args.target})
            output.say(f"{args.alias} stands for {args.target}")
        elif args.action == "rm":
            await hub.name_remove(args.alias)
            output.object("name", {"action": "rm", "alias": args.alias})
            output.say(f"{args.alias} is forgotten")
        else:
            names = await hub.names()
            output.object("name", {"action": "list", "names": names})
            if names:
                output.say(
                    *table(["NAME", "STANDS FOR"], [[alias, names[alias]] for alias in sorted(names)]), whole=True
                )
            else:
                output.note("There are no names yet: p2phub name add NAME PUBLISHER")
    return 0


COMMAND = Command("name", "keep your own names for publishers and repositories", add_arguments, run)
