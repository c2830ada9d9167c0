"""How clients are told what is not there: by `X-Error-Code`, and not by the status.

A 404 with a code is kept by clients as "there is no such thing": it is for what cannot be there. Whatever may be there
when somebody comes back is a 503.
"""

from __future__ import annotations

from p2phub.http.refusal import Refusal

REPOSITORY = "RepoNotFound"
REVISION = "RevisionNotFound"
ENTRY = "EntryNotFound"


def no_repository(message: str, *, warning: str | None = None) -> Refusal:
    """Return what says that nothing here is called so. `warning` is what clients print for their user."""
    headers = [("X-HF-Warning", f"p2phub; {warning}")] if warning else []
    return Refusal(404, message, code=REPOSITORY, headers=headers)


def no_revision(message: str) -> Refusal:
    return Refusal(404, message, code=REVISION)


def no_entry(message: str, *, commit: str) -> Refusal:
    """Return what says that a commit has no such file. With the commit clients note that, and never ask again."""
    return Refusal(404, message, code=ENTRY, headers=[("X-Repo-Commit", commit)])
