"""What every part of the hub stands on: who carries a verb out, and what arguments and results look like on the way.

`Verbs` is the port: this process's node, or the daemon of the home, over its socket. Both take and give what JSON has.
The hub's verbs stand by subject in a file each, as a class on `HubPart`, and `api/hub` puts them together:
`publishing`, `drafting`, `fetching`, `reading`, `programs` (other programs' stores), `keeping`, `looking`, `showing`,
`sharing`, `upstream`, `home`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import trio

from p2phub.errors import UsageError
from p2phub.node import parse_duration
from p2phub.observe import Done, Event, SourceBytes, Watch

JsonObject = dict[str, Any]


def unwatched(event: Event) -> None:
    """Watch nothing."""


class Verbs(Protocol):
    """Who carries out a verb: this process's node, or the daemon's control socket."""

    async def call(self, verb: str, args: JsonObject, watch: Watch) -> JsonObject:
        """Return what the verb gives, as JSON has it; tell `watch` of its events meanwhile. Raises HubError."""


Call = Callable[[str, JsonObject, Watch], Awaitable[JsonObject]]
"""Has the node carry out a verb. Raises HubError."""


class HubPart:
    """The verbs of one subject: methods that have `self._verbs` carry them out, and give what it returns a type."""

    def __init__(
        self,
        verbs: Verbs,
        *,
        up: int | None = None,
        down: int | None = None,
        nursery: trio.Nursery | None = None,
    ) -> None:
        self._verbs = verbs
        self._up, self._down = up, down  # Caps of each fetch, in bytes/s, where it is given none of its own.
        self._nursery = nursery  # Of what goes on between two calls.

    async def _call(self, verb: str, args: JsonObject, watch: Watch) -> JsonObject:
        """`Call`, for what goes on in `_nursery`."""
        with bare_errors():
            return await self._verbs.call(verb, args, watch)


def if_said(**arguments: object) -> JsonObject:
    """Return those arguments of a verb that the caller gave: None is as the settings of its node say.

    What was not asked for is not sent, either, since a daemon of an older version does not know it.
    """
    return {name: given for name, given in arguments.items() if given is not None}


def several(given: str | Sequence[str]) -> list[str]:
    """Return them; one may be given as it is, which as a sequence would be its letters."""
    return [given] if isinstance(given, str) else list(given)


def as_wait(wait: str | float | None) -> str | float | None:
    """Return a time to wait as JSON can have it: seconds, or "forever". Raises UsageError for what is none."""
    if wait is None:
        return None
    seconds = parse_duration(wait)
    return "forever" if seconds == math.inf else seconds


def absolute(path: str | Path) -> str:
    """Return where a path leads from here: whoever carries the verb out may work in another folder.

    Raises UsageError for an empty one, which would be this folder: most likely a shell's variable that is not set."""
    if os.fspath(path) == "":
        raise UsageError("the name of a folder is empty", hint="name one; `.` is the folder that you are in")
    return os.path.abspath(path)  # Not resolved: a link that the user named stays what they named.


def as_ref(ref: str) -> str:
    """Return what names something, as it is. Raises UsageError for what is no text."""
    if not isinstance(ref, str):
        raise UsageError(
            f"ref is to be a text, not {ref!r}", hint="like 12D3Koo…/minilm, a manifest digest or a ticket"
        )
    return ref


def as_folder(ref: str) -> str | None:
    """Return where `ref` leads if it is a path."""
    try:
        return absolute(ref) if ref else None
    except OSError:  # The working directory was removed.
        return None


def fields(result: JsonObject) -> JsonObject:
    """Return the fields of an event that came as JSON."""
    return {name: value for name, value in result.items() if name != "event"}


def items(result: JsonObject) -> list[JsonObject]:
    """Return what a verb lists."""
    return list(result["items"])


def done(result: JsonObject) -> Done:
    """Return how a fetch ended."""
    given = fields(result)
    given["sources"] = [SourceBytes(**source) for source in given["sources"]]
    return Done(**given)


@contextmanager
def bare_errors() -> Iterator[None]:
    """Raise an error of the block as itself: the nurseries around it wrap even one error in an ExceptionGroup."""
    error: BaseException | None = None
    try:
        yield
    except BaseExceptionGroup as group:
        error = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        if isinstance(error, BaseExceptionGroup):
            raise
    if error is not None:
        raise error
