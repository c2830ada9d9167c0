"""The command line's door: reads the words, runs the command, and turns what happened into an exit code.

Nothing heavy is imported before a command runs, so that `--help` answers at once (trio, cryptography and rich are for
the commands that need them), and of the commands only the one that is named. Exit codes are those of `errors`: 0 done,
1 a bug of ours, 2 usage, 3 not found, 4 not trusted, 5 damaged, 6 disk, 7 no reachable provider, 130 interrupted.
"""

from __future__ import annotations

import gc as garbage
import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from p2phub.cli.advice import advice
from p2phub.cli.command import Command, Invocation
from p2phub.cli.command_list import all_commands, commands_meant
from p2phub.cli.entry import INTERRUPTED
from p2phub.cli.options import Common, take_common, wants_json
from p2phub.cli.output import Output, standard_output
from p2phub.cli.parser import command_parser, only_options_parser, program_version
from p2phub.errors import HubError

BUG = 1
GC_THRESHOLD = 200_000  # What imports make stays: to look through it, even once, is a tenth of a short command.
DATED = ("node",)  # It runs for long, and its log is read later.
ASK = "__complete"  # How a shell asks for completions, as `completion` has told it to.


def program() -> NoReturn:
    """Run the command of this process, and end with its exit code.

    It ends at once. The interpreter would take itself down first, and give back its memory object by object, which is a
    twentieth of a short command; what has to be on disk is there, and who waits for threads and processes has done so.
    Who measures it, as cProfile and coverage do, writes that down on the usual way out, and gets it.
    """
    garbage.set_threshold(GC_THRESHOLD)
    code = main()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # The process may have been started with it closed.
            with suppress(OSError, ValueError):
                stream.flush()
    if sys.getprofile() is not None or sys.gettrace() is not None:
        sys.exit(code)
    os._exit(code)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `p2phub` with these words (default: the process's own) and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    with standard_output(as_json=wants_json(words, os.environ)) as output:
        code = _run(words, output)
        try:
            output.check()
        except BrokenPipeError:  # Whoever read our output has seen enough: no error, and nobody to tell.
            return code or INTERRUPTED
        except HubError as error:
            output.failed(error.code, error.message, advice(error))
            return code or error.code
        return code


def _print_man_page(output: Output) -> int:
    from p2phub.cli.manpage import man_page

    output.answer(*man_page(command_parser(all_commands()), program_version()).splitlines())
    return 0


def _complete(words: Sequence[str], output: Output) -> int:
    from p2phub.cli.completion import complete

    return complete(command_parser(all_commands()), words, output)


def _run(words: Sequence[str], output: Output) -> int:
    command: Command | None = None
    try:
        if words[:1] == [ASK]:
            return _complete(words[1:], output)
        if words == ["help", "--man"]:
            return _print_man_page(output)
        common, rest = take_common(words, only_options_parser(), os.environ)
        meant = asked(rest, as_json=common.json)
        args = command_parser(commands_meant(meant)).parse_args(meant)
        command = args.command
        return _carry_out(command, args, common, output)
    except SystemExit as end:  # --help and --version end so.
        return end.code if isinstance(end.code, int) else 0
    except HubError as error:
        output.failed(error.code, error.message, advice(error))
        return error.code
    except KeyboardInterrupt:
        if output.lost:  # The work was ended because nobody reads on; `main` says what that means.
            return 0
        output.interrupted(INTERRUPTED, command.interrupted if command is not None else None)
        return INTERRUPTED
    except Exception as bug:  # noqa: BLE001 - said, with its traceback, and not survived.
        return _tell_bug(bug, output)


def asked(words: Sequence[str], *, as_json: bool) -> Sequence[str]:
    """Return the words that are meant by `help [COMMAND]`, or by a person who says nothing."""
    if not words and not as_json:
        return ["--help"]
    return [*words[1:], "--help"] if words[:1] == ["help"] else words


def _carry_out(command: Command, args: Namespace, common: Common, output: Output) -> int:
    from p2phub.cli.logs import start_logging
    from p2phub.cli.running import run_to_end

    start_logging(output, verbose=common.verbose, dated=command.name in DATED, told=command.tells)
    call = Invocation(args, common, output)
    return run_to_end(lambda: command.run(call), output)


def _tell_bug(bug: Exception, output: Output) -> int:
    import traceback

    for line in "".join(traceback.format_exception(bug)).splitlines():
        output.log(line, level="ERROR")
    output.failed(
        BUG,
        f"a bug in p2phub: {type(bug).__name__}: {bug}",
        "report it, with what stands above; no data is harmed by it",
    )
    return BUG
