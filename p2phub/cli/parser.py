"""How the words of a command line are read: argparse, with errors as ours and the common options in every help."""

from __future__ import annotations

import re
import sys
import textwrap
from argparse import SUPPRESS, Action, ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from p2phub.cli.command import Command
from p2phub.cli.options import options_parser
from p2phub.cli.wrap import wrapped
from p2phub.errors import DiskError, UsageError

PROGRAM = "p2phub"
DESCRIPTION = "Moves AI models and datasets between machines without a central host: signed, and every byte verified."
ENDING = """\
The way of a model:
  p2phub publish ./model --name minilm
      hashes it in place, signs it, prints its reference
  p2phub node
      announces and serves it
  p2phub fetch 12D3Koo…/minilm --into ./minilm
      elsewhere: finds it, fetches it, verifies every byte

Exit codes: 0 done, 1 a bug, 2 usage, 3 not found, 4 not trusted, 5 damaged,
6 disk, 7 no reachable provider, 130 interrupted. `p2phub help COMMAND` says
more of one: its options, examples, files; `p2phub help --man` prints all of
it as a page for man.
"""


class _Formatter(RawDescriptionHelpFormatter):
    """Room for the longest command beside its summary; prose is broken between words, line by line."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(self._fill(indent + line, width) for line in text.splitlines())

    def _fill(self, line: str, width: int) -> str:
        """A sentence goes on where it began; a list's line below its own text."""
        if line.startswith(" "):
            return wrapped(line, width)
        return "\n".join(textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False))


def _alike(word: str, known: Iterable[str]) -> str | None:
    """Return which of `known` was perhaps meant by `word`."""
    import difflib  # Only a mistake needs it.

    return next(iter(difflib.get_close_matches(word.partition("=")[0], list(known), n=1)), None)


class Parser(ArgumentParser):
    """Raises UsageError where argparse prints and exits, and shows the common options in its help, and what the manual
    says of a command."""

    def __init__(self, *, manual: str | None = None, **settings: Any) -> None:
        # An abbreviation that works today would change its meaning with the next option.
        super().__init__(formatter_class=_Formatter, allow_abbrev=False, **settings)
        self._manual = manual

    def error(self, message: str) -> NoReturn:
        meant = None
        if "invalid choice" in message and "COMMAND" in message:
            message, _, known = message.partition(" (choose from")  # The list of all is what --help is for.
            meant = _alike(message.rpartition(": ")[2].strip("'"), re.findall(r"[a-z]+", known))
            message = f"there is no command {message.rpartition(': ')[2]}"
        self._refuse(message, meant)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's, which says of a word too many to look at the help of all commands, not at that of this one;
        and of a misspelt option before the command's name that its value is no command."""
        first = next(iter(args or ()), "")
        if self._subparsers is not None and first.startswith("-") and first not in ("--", *self._option_string_actions):
            self._refuse(f"not understood: {first}", self._option_like(first))
        found, rest = self.parse_known_args(args, namespace)
        if rest:
            own = getattr(found, "parser", self)
            own._refuse(f"not understood: {' '.join(rest)}", own._option_like(rest[0]))
        return found

    def _option_like(self, word: str) -> str | None:
        """Return which option of this command, or of every command, was perhaps meant by `word`."""
        return _alike(word, {**self._option_string_actions, **only_options_parser()._option_string_actions})

    def _refuse(self, message: str, meant: str | None) -> NoReturn:
        help_ = f"`{self.prog} --help` shows how it is used"
        raise UsageError(message, hint=f"do you mean {meant}? {help_}" if meant is not None else help_)

    def _print_message(self, message: str, file: Any = None) -> None:
        """As argparse's, which keeps to itself that nothing could be written. Raises DiskError."""
        try:
            (file or sys.stdout).write(message)
            (file or sys.stdout).flush()
        except BrokenPipeError:  # Who reads has seen enough, and the end of the program says so.
            pass
        except OSError as exc:
            raise DiskError(f"the output could not be written: {exc.strerror}") from exc

    def format_help(self) -> str:
        options = only_options_parser()
        ending, self.epilog = self.epilog, None
        own = super().format_help()
        self.epilog = ending
        if self._manual is not None:
            from p2phub.cli.manual import manual_of  # Only a help needs it.

            ending = manual_of(self._manual)
        common = ArgumentParser.format_help(options).partition("\n\n")[2]  # Without its usage line.
        formatter = self._get_formatter()
        below = formatter._fill_text(ending, formatter._width, "") if ending else ""
        return f"{own}\n{common}" + (f"\n{below}\n" if below else "")


def only_options_parser() -> Parser:
    """Return the parser of what every command takes, and nothing else."""
    parser = Parser(prog=PROGRAM, add_help=False)
    options_parser(parser)
    return parser


def command_parser(commands: Sequence[Command]) -> Parser:
    """Return the parser of commands and their own arguments; it gives a namespace with `command`."""
    parser = Parser(prog=PROGRAM, description=DESCRIPTION, epilog=ENDING, usage=f"{PROGRAM} COMMAND …")
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    longest = max(len(command.name) for command in commands)
    each = parser.add_subparsers(
        title="commands",
        description="\n".join(f"{command.name:<{longest}}  {command.summary}" for command in commands),
        metavar="COMMAND",
        dest="command_name",
        required=True,
        prog=PROGRAM,
        help=SUPPRESS,  # argparse would break the line of the longest name.
    )
    for command in commands:
        own = each.add_parser(
            command.name,
            help=command.summary,
            description=command.description or f"{command.summary.capitalize()}.",
            manual=command.name,
        )
        command.add_arguments(own)
        own.set_defaults(command=command, parser=own)
    return parser


def program_version() -> str:
    """Return the version that is installed."""
    from importlib import metadata

    try:
        return metadata.version(PROGRAM)
    except metadata.PackageNotFoundError:
        return "(not installed)"


class _Version(Action):
    """Prints the version; looks it up only then."""

    def __call__(
        self, parser: ArgumentParser, namespace: Namespace, values: object, option_string: str | None = None
    ) -> None:
        parser._print_message(f"{PROGRAM} {program_version()}\n")
        parser.exit()
