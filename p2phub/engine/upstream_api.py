"""What a hub is asked about a repository, and its answers, read strictly: refs, a commit, the files of one. Pure.

A hub's word is believed for what only it can know, and has to have the form that it has: commits of 40 hex digits, each
file with a digest and a size that it may have. Source: huggingface_hub 2.4 (`hf_api.py`), and what hubs were seen to
say.
"""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from p2phub import limits
from p2phub.errors import ProtocolViolation, UsageError
from p2phub.identity import MirrorId
from p2phub.manifest import is_commit, is_git_sha1, is_sha256, is_under_a_key
from p2phub.store.hub_copy import HubFile

KINDS = {"model": ("models", ""), "dataset": ("datasets", "datasets/")}
"""What a kind is called in the hub's API and in a cache of it, and what stands before the names of its files."""

_NAME = re.compile(r"(?:[0-9A-Za-z_.-]{1,96}/)?[0-9A-Za-z_.-]{1,96}")
_REVISION = re.compile(r"(?!.*(?:\.\.|//))[0-9A-Za-z][0-9A-Za-z._/-]{0,127}")

T = TypeVar("T")


class Repo(msgspec.Struct, frozen=True):
    """A repository of the hub. Raises UsageError for what none can be called."""

    kind: str
    name: str

    def __post_init__(self) -> None:
        parts = self.name.split("/")
        if self.kind not in KINDS or _NAME.fullmatch(self.name) is None or "--" in self.name or {".", ".."} & {*parts}:
            raise UsageError(f"no hub has a {self.kind[:20]} called {self.name[:100]!a}")
        if is_under_a_key(self.name):
            raise UsageError(f"{self.name!a} is a publisher's, and no hub says what that is")

    @property
    def api(self) -> str:
        return f"api/{KINDS[self.kind][0]}/{self.name}"

    def file(self, commit: str, path: str) -> str:
        return f"{KINDS[self.kind][1]}{self.name}/resolve/{commit}/{path}"


class Ref(msgspec.Struct, frozen=True):
    """A branch or tag of a repository, and the commit that it leads to."""

    name: str
    commit: str
    is_branch: bool


def is_revision(text: str) -> bool:
    """Whether a hub is asked for a revision of this name."""
    return _REVISION.fullmatch(text) is not None


class _Info(msgspec.Struct):
    sha: str


class _Ref(msgspec.Struct, rename="camel"):
    name: str
    ref: str
    target_commit: str


class _Refs(msgspec.Struct, rename="camel"):
    branches: list[_Ref] | None = None
    tags: list[_Ref] | None = None
    converts: list[_Ref] | None = None
    pull_requests: list[_Ref] | None = None


class _Lfs(msgspec.Struct):
    oid: str
    size: int


class _Entry(msgspec.Struct):
    type: str
    path: str
    size: int = 0
    oid: str = ""
    lfs: _Lfs | None = None


class HubAnswers:
    """Of one hub. Methods raise ProtocolViolation for what is no answer of one."""

    def __init__(self, hub: MirrorId) -> None:
        self._hub = hub

    def refs(self, body: bytes) -> list[Ref]:
        """Return branches and tags, but for those that nobody here could ask for."""
        told = self._read(body, _Refs)
        named = [*((each, True) for each in told.branches or ()), *((each, False) for each in told.tags or ())]
        return [
            Ref(each.name, each.target_commit, is_branch)
            for each, is_branch in named
            if is_revision(each.name) and is_commit(each.target_commit)
        ]

    def commit_among(self, body: bytes, revision: str) -> str | None:
        """Return the commit that a ref, whole or by its name, leads to; None if there is no such ref."""
        told = self._read(body, _Refs)
        kinds = (told.branches, told.tags, told.converts, told.pull_requests)
        every = (each for kind in kinds for each in kind or ())
        commit = next((each.target_commit for each in every if revision in (each.ref, each.name)), None)
        return None if commit is None else self._checked(commit)

    def commit(self, body: bytes) -> str:
        """Return the commit that a revision is."""
        return self._checked(self._read(body, _Info).sha)

    def files(self, page: bytes) -> list[HubFile]:
        """Return the files on a page of a tree."""
        return [self._file(entry) for entry in self._read(page, list[_Entry]) if entry.type == "file"]

    def _checked(self, commit: str) -> str:
        if not is_commit(commit):
            raise self.odd("a commit that is none")
        return commit

    def _file(self, entry: _Entry) -> HubFile:
        if len(entry.path) > limits.PATH_BYTES_MAX:
            raise self.odd("a path that is too long")
        sha256 = None if entry.lfs is None else entry.lfs.oid
        size = entry.size if entry.lfs is None else entry.lfs.size
        is_named = is_git_sha1(entry.oid) if sha256 is None else is_sha256(sha256)
        if not is_named or not 0 <= size <= limits.GATEWAY_OBJECT_BYTES_MAX:
            raise self.odd(f"a file without a digest, or of an odd size: {entry.path[:200]!a}")
        if sha256 is None and size >= limits.GIT_SHA1_FILE_BYTES_MAX:
            raise self.odd(f"a large file without a SHA-256: {entry.path[:200]!a}")
        return HubFile(entry.path, size, sha256, None if sha256 is not None else entry.oid)

    def _read(self, body: bytes, shape: type[T]) -> T:
        try:
            return msgspec.json.decode(body, type=shape)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            raise self.odd("what is no answer of a hub") from exc

    def odd(self, what: str) -> ProtocolViolation:
        """Return the error for what a hub must not tell."""
        return ProtocolViolation(f"it tells of {what}", peer=str(self._hub))
