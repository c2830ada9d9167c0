"""What a revision in a URL means here: a tag of the repository, or one commit of it. Pure.

A branch of the hub's is a tag of p2phub's, `main` the default of both; an upstream hub may have others, by names that
no release can be called by. A commit is 40 hex digits: the hub's own, where the repository was adopted from its cache,
else made of the repository's name and the manifest (`manifest.hub_names`).
"""

from __future__ import annotations

import re

import msgspec

from p2phub import api
from p2phub.errors import Malformed

MAIN = api.DEFAULT_TAG
"""The branch, and the tag, that is meant where nobody says which."""

_OF_A_HUB = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]*(?:/[0-9A-Za-z][0-9A-Za-z._-]*)*")
_LETTERS_MAX = 128


class Tag(msgspec.Struct, frozen=True):
    """What a publisher calls one line of its releases; or a hub a branch, a tag, or another ref."""

    name: str

    @property
    def may_be_released(self) -> bool:
        """Whether a release can be called so, and not only something of a hub."""
        try:
            api.check_name(self.name, what="tag")
        except Malformed:
            return False
        return True


class Commit(msgspec.Struct, frozen=True):
    """Exactly one version."""

    digits: str


def parse_revision(text: str) -> Tag | Commit | None:
    """Return what a revision means; None for a name that nothing can have.

    What is both a commit and a tag is taken for a commit, as clients take it.
    """
    if api.is_commit(text):
        return Commit(text)
    for prefix in ("refs/heads/", "refs/tags/"):
        if text.startswith(prefix):
            text = text.removeprefix(prefix)
            break
    is_name = len(text) <= _LETTERS_MAX and ".." not in text and _OF_A_HUB.fullmatch(text)
    return Tag(text) if is_name else None
