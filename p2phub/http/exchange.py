"""One request and its answer, as a site sees them: what was asked, and how the answer is sent.

`connection` makes one of what a client sends; tests have one in memory.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Protocol

import msgspec

Headers = Sequence[tuple[str, str]]


class Request(msgspec.Struct, frozen=True):
    """`target` as it was sent; `headers` by lower-case name, of one that is given twice both, with a comma between."""

    method: str
    target: str
    headers: Mapping[str, str]
    came_to: str  # The IP of ours that the connection leads to.
    user: int | None = None  # Whose program asks, of this machine's users; None where that is not told.


class CutOff(Exception):
    """The answer cannot go on: it ends here, short of what its head says, and the connection with it."""


class Exchange(Protocol):
    """Methods raise CutOff if the client is gone, or took nothing for too long."""

    @property
    def request(self) -> Request: ...

    @property
    def status(self) -> int:
        """What was answered; 0 before the answer begins."""

    async def body(self, *, most: int) -> bytes:
        """Return the request's body. Raises Refusal(413) if it is longer than `most`, (408) if it does not come within
        GATEWAY_BODY_S, (400) if it ends early."""

    def pieces(self, *, most: int) -> AsyncGenerator[bytes, None]:
        """Yield the request's body as it comes, in pieces of some 64 KiB at most. Raises Refusal as `body` does, (408)
        if nothing comes for GATEWAY_BODY_S. A body that is not taken to its end ends the connection."""

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a whole answer. Of one to HEAD the body is left out."""

    async def begin(self, status: int, headers: Headers, *, length: int | None) -> None:
        """Send the head of an answer whose body of `length` bytes follows, by `send` and `send_file`; not of HEAD.
        What has not come of the request's body by then is not read any more.

        None: nobody knows how long it will be, and the request's body may still come; `send` alone sends it, and `end`
        says when it is whole."""

    async def send(self, piece: bytes | memoryview) -> None: ...

    async def end(self) -> None:
        """Say that an answer of unknown length is whole."""

    async def send_file(self, descriptor: int, start: int, stop: int, unchanged: Callable[[], bool]) -> None:
        """Send bytes of a file, each piece once it was read and the file was found to be `unchanged` after that, which
        does not block for long. Raises CutOff too if it is not, or has become shorter, or cannot be read."""

    def is_gone(self) -> bool:
        """Return whether the client has said its last: it is gone, or will send no more."""
