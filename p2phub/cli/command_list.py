"""Which commands there are: a file of this room for each, of the same name, that is loaded when it is asked for.

A line names one of them, and whoever waits for its first byte should not wait for the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from p2phub.cli.command import Command

# In the order in which a newcomer meets them.
NAMES = (
    *("init", "node", "publish", "fetch", "plan", "adopt", "info", "diff", "ls", "search", "log", "verify"),
    *("unpublish", "rm", "pin", "unpin", "gc", "du", "share", "attach", "detach", "peers", "status", "limit"),
    *("name", "key", "doctor", "completion"),
)


def all_commands() -> tuple[Command, ...]:
    """Return every command, for what shows or looks through them all."""
    return tuple(_command(name) for name in NAMES)


def commands_meant(words: Sequence[str]) -> tuple[Command, ...]:
    """Return those that a line may mean that begins with `words`, the options of every command taken out: the one it
    names, or where it names none all, for the help or the refusal that follows."""
    return (_command(words[0]),) if words and words[0] in NAMES else all_commands()


def _command(name: str) -> Command:
    found: Command = import_module(f"p2phub.cli.{name}").COMMAND
    return found
