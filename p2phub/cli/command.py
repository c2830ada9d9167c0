"""What a command is to the command line: a name, its arguments, and what it does when called."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, NamedTuple

from p2phub import api

if TYPE_CHECKING:
    from p2phub.cli.options import Common
    from p2phub.cli.output import Output

FAILED_CHECK = 5
"""The exit code of a command that did its work and found damage."""


class Invocation(NamedTuple):
    """One call of a command: its own arguments, the options of every command, and where to say what."""

    args: Namespace
    common: Common
    output: Output

    def open_hub_uncapped(self) -> AbstractAsyncContextManager[api.Hub]:
        """Open it without --up and --down, for a command to which they mean something else."""
        return api.open_hub(**self.common._replace(up=None, down=None).settings())

    def open_hub(self) -> AbstractAsyncContextManager[api.Hub]:
        """Open the hub that the options mean."""
        return api.open_hub(**self.common.settings())


class Command(NamedTuple):
    """`summary` is its line in the list of commands; `interrupted` is what to say after Ctrl-C: what stays, and what
    the same command will do. `tells`: the logger whose warnings it tells of itself, in its result. `run` returns the
    exit code and raises HubError."""

    name: str
    summary: str
    add_arguments: Callable[[ArgumentParser], None]
    run: Callable[[Invocation], Awaitable[int]]
    description: str = ""
    interrupted: str = "nothing was left half done; the same command starts again"
    tells: str | None = None


def no_arguments(parser: ArgumentParser) -> None:
    """For a command that takes none of its own."""
