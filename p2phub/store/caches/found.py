"""What a look into another program's cache finds: models, their files, and what is said of their bytes.

Values only. Nothing here is believed before it is hashed: names and listings belong to whoever wrote them.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from os import PathLike, fspath
from pathlib import Path

import msgspec

from p2phub.errors import HubError, Malformed
from p2phub.observe import legible
from p2phub.store.disk import disk_error
from p2phub.store.fingerprints import Fingerprint

JUNK = "junk (built-in rule)"  # Why a file is left out that no adopted repository has.


class Claim(msgspec.Struct, frozen=True, gc=False):
    """What a name or a listing says of a file's bytes. Worth nothing until they are hashed."""

    sha256: bytes | None = None
    git_sha1: bytes | None = None


class CachedFile(msgspec.Struct, frozen=True, gc=False):
    """`path` is that of the repository, checked (`manifest.check_path`). `place` is the regular file itself: absolute,
    all links resolved when it was looked at, and then it had this fingerprint."""

    path: str
    place: Path
    fingerprint: Fingerprint
    claim: Claim | None


class CachedModel(msgspec.Struct, frozen=True):
    """One revision of a repository, as far as it is there; of other caches what belongs together.

    `cache`: "hf", "ollama", "llamacpp", "lmstudio" or "folder". `name`: as a user names it ("org/name",
    "datasets/org/name", "registry.ollama.ai/library/llama3:8b", "publisher/model", the folder's path). `revision`: the
    hub's commit, 40 hex digits. `folder`: what a user calls its place, absolute.
    `files` ascend by the path's UTF-8 bytes, as a manifest has them. `missing`: what its listing names and `files` do
    not have. `left_out`: (path or name, why) of what is there and not adopted; (`folder`, why) where no listing says
    what all of it is.
    `complete`: its files are all that its manifest has (proto/manifest.md §8). Never where files stand alone: Ollama,
    llama.cpp's flat cache, LM Studio, and a snapshot whose listing is not known.
    """

    cache: str
    name: str
    revision: str | None
    folder: Path
    files: tuple[CachedFile, ...]
    missing: tuple[str, ...]
    complete: bool
    left_out: tuple[tuple[str, str], ...]


class CacheScan(msgspec.Struct, frozen=True):
    """`problems`: (path, why) of what could not be read or understood, to tell the user."""

    models: tuple[CachedModel, ...]
    problems: tuple[tuple[str, str], ...]


class Stopped(Exception):
    """Whoever asked for the scan does not wait for it any more."""


class Report:
    """What a scan under way has found by now. One thread's."""

    def __init__(self, stopped: Callable[[], bool]) -> None:
        self._stopped = stopped
        self.models: list[CachedModel] = []
        self.problems: list[tuple[str, str]] = []

    def problem(self, path: str | PathLike[str], why: str | OSError | HubError) -> None:
        self.problems.append((legible(fspath(path)), reason(why)))

    def go_on(self) -> None:
        """Raises Stopped. To be called for each entry of a folder."""
        if self._stopped():
            raise Stopped


def reason(why: str | OSError | HubError) -> str:
    """Return in words why something is a problem, or left out."""
    if isinstance(why, OSError):
        if why.errno == errno.ELOOP:
            return "a link stands there"  # Where none is followed.
        return disk_error(why, "read it").message
    if isinstance(why, Malformed):
        return why.what
    return why if isinstance(why, str) else why.message


def in_order(files: list[CachedFile]) -> tuple[CachedFile, ...]:
    """Return `files` as a manifest has them."""
    return tuple(sorted(files, key=lambda file: file.path.encode()))
