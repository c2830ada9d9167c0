"""One snapshot of the Hugging Face cache: its files, where their bytes are, and what is claimed of them.

With the repository's listing it is known which files belong to it, how long each is, and so what is missing; without,
each file is just a file. A claim comes from the name of a file's blob and from the listing; where both speak and
differ, the file is not what was listed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from p2phub import limits
from p2phub.errors import DiskError, Malformed
from p2phub.manifest import adopted_paths, check_path, ignored, is_git_sha1, is_sha256
from p2phub.observe import legible
from p2phub.store.caches.found import JUNK, CachedFile, CachedModel, Claim, Report, in_order, reason
from p2phub.store.caches.links import Links, entries_of, open_folder
from p2phub.store.caches.listing import Listed
from p2phub.store.folders import LeavesFolder, NotAFile, fingerprint


class TooMany(DiskError):
    """A snapshot of more files than a manifest can have."""


class Snapshot:
    """Gathers what one snapshot has."""

    def __init__(
        self, folder: Path, repository: str, links: Links, listing: dict[str, Listed] | None, report: Report
    ) -> None:
        self._folder = folder
        self._here = f"{repository}/snapshots/{folder.name}/"  # As it is, no link in it: none is entered.
        self._blobs = f"{repository}/blobs/"
        self._links = links
        self._listing = listing
        self._report = report
        self._wanted, self._whole = self._look_at_listing()
        self._files: list[CachedFile] = []
        self._left_out: list[tuple[str, str]] = []

    def walk(self, fd: int, prefix: str) -> None:
        """Take what is in the folder `fd`, and below. Raises OSError, Stopped."""
        here = f"{self._here}{prefix}"
        for entry in entries_of(fd):
            self._report.go_on()
            if len(self._files) + len(self._left_out) >= limits.FILES_MAX:
                raise TooMany(f"more than {limits.FILES_MAX} files")
            path = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                self._enter(entry.name, fd, path)
            elif why := self._unwanted(path):
                self._leave_out(path, why)
            else:
                try:
                    self._take(entry, fd, here, path)
                except FileNotFoundError:
                    if self._listing is None:  # Else it is missing, which says it.
                        self._leave_out(path, "a link to what is not there")
                except (LeavesFolder, NotAFile, OSError) as exc:
                    self._leave_out(path, reason(exc))

    def _enter(self, name: str, fd: int, path: str) -> None:
        if ignored(path, is_folder=True):
            self._leave_out(path, JUNK)
        elif path.count("/") + 2 > limits.PATH_DEPTH_MAX:
            self._leave_out(path, f"a path below it would have more than {limits.PATH_DEPTH_MAX} parts")
        else:
            try:
                with open_folder(name, dir_fd=fd) as below:
                    self.walk(below, path + "/")
            except FileNotFoundError:
                return  # Gone since we looked: then it is not here.
            except OSError as exc:
                self._report.problem(self._folder / path, exc)

    def _look_at_listing(self) -> tuple[dict[str, None], bool]:
        """Return which paths belong to the repository, in order, and whether its manifest has just these."""
        if self._listing is None:
            return {}, False
        try:
            return dict.fromkeys(adopted_paths(self._listing)), True
        except Malformed as exc:
            self._report.problem(self._folder, f"its files cannot stand in one manifest: {exc.what}")
            return dict.fromkeys(_acceptable(self._listing)), False

    def _unwanted(self, path: str) -> str | None:
        """Return why a file is left out, or None."""
        if path in self._wanted:
            return None
        if ignored(path):
            return JUNK
        try:
            check_path(path)
        except Malformed as exc:
            return exc.what
        return None if self._listing is None else "not in the repository's listing"

    def _take(self, entry: os.DirEntry[str], fd: int, here: str, path: str) -> None:
        """Take a file of the folder `fd`, which is `here`. Raises OSError, LeavesFolder, NotAFile."""
        named: Claim | None = None
        if entry.is_symlink():
            led = self._links.follow(here, os.readlink(entry.name, dir_fd=fd))
            place, status = led.place, led.status
            if led.first.startswith(self._blobs):
                name = led.first[len(self._blobs) :]
                if name.endswith(".incomplete"):
                    raise NotAFile("a download that is not finished")
                named = _claim_of(name)
        elif entry.is_file(follow_symlinks=False):
            place, status = f"{here}{entry.name}", entry.stat(follow_symlinks=False)
        else:
            raise NotAFile("not a regular file")
        claim = named
        if self._listing is not None:
            listed = self._listing[path]
            if status.st_size != listed.content_bytes:
                self._report.problem(
                    self._folder / path, f"{status.st_size} bytes; the listing says {listed.content_bytes}"
                )
                return
            claim = _both(named, listed.claim)
            if claim is None:
                self._report.problem(self._folder / path, "its name says another content than the listing")
                return
        self._files.append(CachedFile(path, Path(place), fingerprint(status), claim))

    def _leave_out(self, path: str, why: str) -> None:
        self._left_out.append((legible(path), why))

    def model(self, name: str) -> CachedModel:
        """Return what was gathered as one model."""
        files = in_order(self._files)
        have = {file.path for file in files}
        missing = tuple(path for path in self._wanted if path not in have)
        left_out = list(self._left_out)
        if self._listing is None:
            left_out.append((legible(str(self._folder)), UNLISTED))
        return CachedModel(
            cache="hf",
            name=name,
            revision=self._folder.name,
            folder=self._folder,
            files=files,
            missing=missing,
            complete=self._whole and not missing and bool(files),
            left_out=tuple(left_out),
        )


UNLISTED = "the cache does not list what the repository has, so nobody can tell whether this is all of it"
"""Why a snapshot without a listing is not held as a whole."""


def _claim_of(blob: str) -> Claim | None:
    """Return what the name of a blob says of its bytes."""
    if is_sha256(blob):
        return Claim(sha256=bytes.fromhex(blob))
    if is_git_sha1(blob):
        return Claim(git_sha1=bytes.fromhex(blob))
    return None


def _both(named: Claim | None, listed: Claim) -> Claim | None:
    """Return what name and listing say together; None if they contradict each other."""
    if named is None:
        return listed
    if named.sha256 and listed.sha256 and named.sha256 != listed.sha256:
        return None
    if named.git_sha1 and listed.git_sha1 and named.git_sha1 != listed.git_sha1:
        return None
    return Claim(named.sha256 or listed.sha256, named.git_sha1 or listed.git_sha1)


def _acceptable(listing: dict[str, Listed]) -> Iterator[str]:
    """Yield the paths of a listing that are files of a manifest each, in order."""
    for path in sorted(listing, key=lambda path: path.encode("utf-8", "surrogatepass")):
        try:
            check_path(path)
        except Malformed:
            continue
        if not ignored(path):
            yield path
