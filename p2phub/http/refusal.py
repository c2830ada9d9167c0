"""An answer that is an error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from p2phub.errors import HubError


class Refusal(Exception):
    """`code`: what clients look at beside the status (`X-Error-Code`), or None; `headers`: more of them.
    `message` is for people, on one line or more; `told`: what its JSON has beside it."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        headers: Sequence[tuple[str, str]] = (),
        told: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = tuple(headers)
        self.told = dict(told or {})


def with_hint(error: HubError) -> str:
    """Return what an error says, and what to do about it, in one sentence for a client's user."""
    return error.message + (f" ({error.hint})" if error.hint else "")


def not_offered(what: str, *, instead: str) -> Refusal:
    """Return what says that this node does not do that, and what does."""
    return Refusal(501, f"the p2phub gateway does not {what}; {instead}")


def no_such_path() -> Refusal:
    """Return what is said of a path that no hub, or not this one, has."""
    return Refusal(404, "the p2phub gateway has nothing at this path")
