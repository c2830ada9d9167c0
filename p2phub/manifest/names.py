"""What a repository and a tag may be called. Source: proto/identifiers.md §6."""

from __future__ import annotations

import re

from p2phub.content import parse_digest
from p2phub.errors import Malformed
from p2phub.identity import PeerId

DEFAULT_TAG = "main"

Name = tuple[PeerId, str, str]
"""What a release is of: publisher, name and tag."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def check_name(text: str, *, what: str = "name") -> None:
    """Raise Malformed("name") unless `text` may be a name or tag: lower case, 1 to 64 of a-z 0-9 . _ -, first a letter
    or digit, and nothing that reads as a digest, which would make `x@y` mean two things."""
    if not _NAME.fullmatch(text) or _reads_as_digest(text):
        like = _like(text)
        raise Malformed(
            "name",
            f"not a {what}: {text[:80]!r}",
            hint=f"a {what} is 1 to 64 of a-z 0-9 . _ - and begins with a letter or digit"
            + (f", like {like}" if like else ""),
        )


def _like(text: str) -> str | None:
    """Return a name that is nearly `text`: elsewhere they have capitals and blanks. None if it is not nearly one."""
    nearly = re.sub(r"\s+", "-", text.strip().lower()[:80])
    return nearly if _NAME.fullmatch(nearly) and not _reads_as_digest(nearly) else None


def _reads_as_digest(text: str) -> bool:
    try:
        parse_digest(text)
    except Malformed:
        return False
    return True
