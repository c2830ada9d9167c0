"""An answer that is an error, as the clients tell errors apart: by `X-Error-Code`, and not by the status.

A 404 with a code is kept by clients as "there is no such thing": it is for what cannot be there. Whatever may be there
when somebody comes back is a 503.
"""

from __future__ import annotations

from collections.abc import Sequence

REPOSITORY = "RepoNotFound"
REVISION = "RevisionNotFound"
ENTRY = "EntryNotFound"


class Refusal(Exception):
    """`code`: what clients look at, or None; `headers`: more of them. `message` is for people, on one line or more."""

    def __init__(
        self, status: int, message: str, *, code: str | None = None, headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = tuple(headers)


def not_offered(what: str, *, instead: str) -> Refusal:
    """Return what says that this gateway does not do that, and what does."""
    return Refusal(501, f"the p2phub gateway does not {what}; {instead}")


def no_such_path() -> Refusal:
    """Return what is said of a path that no hub, or not this one, has."""
    return Refusal(404, "the p2phub gateway has nothing at this path")


def no_repository(message: str, *, warning: str | None = None) -> Refusal:
    """Return what says that nothing here is called so. `warning` is what clients print for their user."""
    headers = [("X-HF-Warning", f"p2phub; {warning}")] if warning else []
    return Refusal(404, message, code=REPOSITORY, headers=headers)


def no_revision(message: str) -> Refusal:
    return Refusal(404, message, code=REVISION)


def no_entry(message: str, *, commit: str) -> Refusal:
    """Return what says that a commit has no such file. With the commit clients note that, and never ask again."""
    return Refusal(404, message, code=ENTRY, headers=[("X-Repo-Commit", commit)])
