"""What a request of the page asks for: its method and raw target, read into one of a few values. Pure.

What only looks is an `Ask`, what changes something a `Change`: which of the two it is says what it takes. References
and paths are looked up in what the node knows, and never joined to a folder here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from p2phub import limits
from p2phub.http.refusal import Refusal, no_such_path
from p2phub.http.target import number_of, options_of, split_target

_DRAFT = re.compile(r"[0-9a-f]{32}")


class AskPage(msgspec.Struct, frozen=True):
    """The page itself."""


class AskFile(msgspec.Struct, frozen=True):
    """A part of the page. `version`: which one it should be, as the page names it; "" for whichever."""

    name: str
    version: str = ""


class Ask(msgspec.Struct, frozen=True):
    """Something to look at, by the name of its path; what is not given is "" or as the page has it."""

    what: str
    ref: str = ""
    path: str = ""
    words: tuple[str, ...] = ()
    kind: str = ""
    cursor: int = 0
    limit: int = 0


class Change(msgspec.Struct, frozen=True):
    """Something to be done, by the name of its path; the rest is in the body."""

    what: str


class PutFile(msgspec.Struct, frozen=True):
    """A file for a draft, which is the body. `path`: where it stands in there, as it was given."""

    draft: str
    path: str


class PublishDraft(msgspec.Struct, frozen=True):
    draft: str


class DropDraft(msgspec.Struct, frozen=True):
    draft: str


Asked = AskPage | AskFile | Ask | Change | PutFile | PublishDraft | DropDraft

LISTS: Mapping[str, tuple[int, int]] = {
    "repositories": (50, 200),
    "search": (30, 100),
    "tensors": (500, 2000),
    "rows": (20, 200),
}
"""What has pages: how many things are on one, where nothing is said, and at most."""

_WITH_REF = ("model", "danger", "providers", "tensors", "map", "rows")
_LOOKS = ("overview", "events", "repositories", "search", "peers", "unfinished", *_WITH_REF)
CHANGES = ("check", "fetch", "stop", "pin", "unpin", "limit", "name", "survey", "publish", "drop")


def read_request(method: str, target: str) -> Asked:
    """Return what is asked for. Raises Refusal: (400) for a target that is none, (404), (405) for another method than
    the path has."""
    parts, query = split_target(target)
    asked, methods = _asked(method, parts, query)
    if method not in methods:
        raise Refusal(405, f"{method[:20]} is not what this path is for", headers=[("Allow", ", ".join(methods))])
    return asked


def _asked(method: str, parts: Sequence[str], query: str) -> tuple[Asked, tuple[str, ...]]:
    looks = ("GET", "HEAD")
    match parts:
        case [""]:
            return AskPage(), looks
        case ["-", "static", name]:
            return AskFile(name, _Options(query).text("v", 64)), looks
        case ["-", "card"]:
            return _Options(query).ask("card"), looks
        case ["-", "api", what] if what in _LOOKS:
            return _Options(query).ask(what), looks if what != "events" else ("GET",)
        case ["-", "api", what] if what in CHANGES:
            return Change(what), ("POST",)
        case ["-", "api", "drop", draft, "publish"] if _DRAFT.fullmatch(draft) and method == "POST":
            return PublishDraft(draft), ("POST",)
        case ["-", "api", "drop", draft] if _DRAFT.fullmatch(draft):
            return DropDraft(draft), ("DELETE",)
        case ["-", "api", "drop", draft, *path] if _DRAFT.fullmatch(draft):
            return PutFile(draft, "/".join(path)), ("PUT",)
    raise no_such_path()


class _Options:
    """The part of a URL behind the question mark, of each name the last. Raises Refusal(400) for what is too long."""

    def __init__(self, query: str) -> None:
        self._given = dict(options_of(query))

    def ask(self, what: str) -> Ask:
        usual, most = LISTS.get(what, (0, 0))
        ref = self.text("ref", limits.PAGE_REF_LETTERS_MAX).strip()
        if not ref and (what in _WITH_REF or what == "card"):
            raise Refusal(400, "this is asked of a reference: ?ref=")
        words = tuple(self.text("q", limits.PAGE_WORDS_LETTERS_MAX).lower().split())
        limit = max(1, min(number_of(self._given, "limit", usual), most)) if most else 0
        path, kind = self.text("path", limits.PAGE_REF_LETTERS_MAX), self.text("kind", 16)
        return Ask(what, ref, path, words, kind, number_of(self._given, "cursor", 0), limit)

    def text(self, name: str, letters_max: int) -> str:
        text = self._given.get(name, "")
        if len(text) > letters_max:
            raise Refusal(400, f"{name} has more than {letters_max} letters")
        return text
