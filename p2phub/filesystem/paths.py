"""What a path means: which repository, which revision of it, which file. Pure: told by the path alone.

    p2phub://[datasets/ | models/] REPOSITORY [@REVISION] [/FILE]

    REPOSITORY   org/name          two words: a publisher's key and a name, your own name for a publisher and a name, an
                                   organisation and a name that you mapped or adopted
                 name@REVISION     one word, only with a revision: what is published here, mapped or adopted without an
                                   organisation (`minilm@main`; without the @, minilm/x is the repository x of minilm)
                 DIGEST            one word: exactly this manifest
                 p2phub:TICKET     one word: a ticket, with the addresses in it
    REVISION     a tag (`main` if none is given), a manifest digest, or a commit of 40 hex digits, as the gateway tells
    FILE         a path in it, as it is: nothing is percent-encoded; an @ there means nothing

`datasets/` and `models/` say which kind is meant; without, either. What a name means on this machine is not decided
here but by `Hub.repository`, and is the same as through the gateway: nobody else's release ever answers to it.
"""

from __future__ import annotations

import msgspec

from p2phub import api
from p2phub.errors import Malformed

KINDS = {"datasets": "dataset", "models": "model"}
"""What stands before a repository, and the kind it says."""

MAIN = api.DEFAULT_TAG
_TICKET = "p2phub:"


class Above(msgspec.Struct, frozen=True):
    """A path that is none of a repository, but above some: of all (`owner` ""), or of an organisation's."""

    prefix: str
    owner: str


class Place(msgspec.Struct, frozen=True):
    """A file, or folder, of a repository; `path` "" is all of it. `prefix` ends with a slash if there is one;
    `revision` as it stands there, None if none does."""

    prefix: str
    repository: str
    revision: str | None
    path: str

    @property
    def kind(self) -> str | None:
        """Which kind it has to be, if that is said."""
        return KINDS.get(self.prefix.rstrip("/"))

    @property
    def root(self) -> str:
        """How the repository is written, before the slash and the path of a file."""
        at = "" if self.revision is None else f"@{self.revision}"
        return f"{self.prefix}{self.repository}{at}"

    def at(self, revision: str) -> str:
        """Return the path of the same file at another revision. What settles one by itself stays as it is."""
        settled = self.repository.startswith(_TICKET) or is_digest(self.repository)
        root = self.root if settled else f"{self.prefix}{self.repository}@{revision}"
        return f"{root}/{self.path}" if self.path else root


def parse_path(path: str) -> Place | Above:
    """Return what a path means, which has no protocol before it."""
    first, slash, rest = path.partition("/")
    prefix = ""
    if first in KINDS:
        prefix = first + "/"
        first, slash, rest = rest.partition("/")
    if first.startswith(_TICKET) or is_digest(first):
        return Place(prefix, first, None, rest)
    if "@" in first:
        name, _, revision = first.partition("@")
        return Place(prefix, name, revision, rest)
    if not slash or not rest:
        return Above(prefix, first)
    second, _, rest = rest.partition("/")
    name, at, revision = second.partition("@")
    return Place(prefix, f"{first}/{name}", revision if at else None, rest)


def is_digest(text: str) -> bool:
    """Whether a word is a manifest digest."""
    try:
        api.parse_digest(text)
    except Malformed:
        return False
    return True
