"""How the words of a command line are read: argparse, with errors as ours and the common options in every help."""

from __future__ import annotations

import contextlib
import sys
from argparse import SUPPRESS, Action, ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from typing import Any, NoReturn

from p2phub.cli.command import Command
from p2phub.cli.options import options_parser
from p2phub.errors import UsageError

PROGRAM = "p2phub"
DESCRIPTION = "Moves AI models and datasets between machines without a central host: signed, and every byte verified."
ENDING = """\
The way of a model:
  p2phub publish ./model --name minilm           hashes it in place, signs it, prints its reference
  p2phub node                                    announces and serves it
  p2phub fetch 12D3Koo…/minilm --into ./minilm   elsewhere: finds it, fetches it, verifies every byte

Exit codes: 0 done, 1 a bug, 2 usage, 3 not found, 4 not trusted, 5 damaged, 6 disk, 7 no reachable provider,
130 interrupted. Each of the options above has an environment variable: --home is P2PHUB_HOME, and so on.
"""


class _Formatter(RawDescriptionHelpFormatter):
    """Room for the longest command beside its summary."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28)


class Parser(ArgumentParser):
    """Raises UsageError where argparse prints and exits, and shows the common options in its help."""

    def __init__(self, **settings: Any) -> None:
        # An abbreviation that works today would change its meaning with the next option.
        super().__init__(formatter_class=_Formatter, allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        if "invalid choice" in message and "COMMAND" in message:
            message = message.partition(" (choose from")[0]  # The list of all is what --help is for.
        raise UsageError(message, hint=f"`{self.prog} --help` shows how it is used")

    def format_help(self) -> str:
        options = only_options_parser()
        ending, self.epilog = self.epilog, None
        own = super().format_help()
        self.epilog = ending
        common = ArgumentParser.format_help(options).partition("\n\n")[2]  # Without its usage line.
        return f"{own}\n{common}" + (f"\n{ending}" if ending else "")


def only_options_parser() -> Parser:
    """Return the parser of what every command takes, and nothing else."""
    parser = Parser(prog=PROGRAM, add_help=False)
    options_parser(parser)
    return parser


def command_parser(commands: Sequence[Command]) -> Parser:
    """Return the parser of commands and their own arguments; it gives a namespace with `command`."""
    parser = Parser(prog=PROGRAM, description=DESCRIPTION, epilog=ENDING, usage=f"{PROGRAM} COMMAND …")
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    each = parser.add_subparsers(
        title="commands",
        description="\n".join(f"{command.name:<10} {command.summary}" for command in commands),
        metavar="COMMAND",
        dest="command_name",
        required=True,
        prog=PROGRAM,
        help=SUPPRESS,  # argparse would break the line of the longest name.
    )
    for command in commands:
        own = each.add_parser(
            command.name, help=command.summary, description=command.description or f"{command.summary.capitalize()}."
        )
        command.add_arguments(own)
        own.set_defaults(command=command)
    return parser


class _Version(Action):
    """Prints the version; looks it up only then."""

    def __call__(
        self, parser: ArgumentParser, namespace: Namespace, values: object, option_string: str | None = None
    ) -> None:
        from importlib import metadata

        try:
            version = metadata.version(PROGRAM)
        except metadata.PackageNotFoundError:
            version = "(not installed)"
        with contextlib.suppress(OSError):  # As argparse prints its help.
            sys.stdout.write(f"{PROGRAM} {version}\n")
        parser.exit()
