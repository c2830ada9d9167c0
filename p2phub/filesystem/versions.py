"""Which version a place leads to, of those that a hub tells of its repository, and what is known of one. Pure.

A tag and a digest lead there by name, wherever that is found; a commit only where the version is known here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from p2phub.api import NotFound, is_commit, version_at
from p2phub.api.reading import OpenedFile
from p2phub.filesystem.listing import Folders
from p2phub.filesystem.paths import MAIN, Place, is_digest

_HINT = (
    "a path is p2phub://PUBLISHER/name/file, p2phub://org/name/file (p2phub name add), or p2phub://name@main/file for "
    "what is published here"
)


class Version:
    """What a place led to: the files of a manifest. `reference` leads there again."""

    def __init__(self, reference: str, manifest: str, created: int | None, files: Mapping[str, OpenedFile]) -> None:
        self.reference, self.manifest = reference, manifest
        self.created = created
        self.files = files

    @cached_property
    def folders(self) -> Folders:
        return Folders(self.files)


def of_kind(place: Place, versions: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the versions of the kind that a path says. Raises NotFound where there are others alone."""
    found = [each for each in versions if place.kind is None or each["kind"] in (place.kind, None)]
    if versions and not found:
        raise NotFound(f"{place.repository} is no {place.kind} here, but a {versions[0]['kind']}")
    return found


def leads_to(place: Place, named: bool, versions: Sequence[Mapping[str, Any]]) -> tuple[str, int | None]:
    """Return the reference that a place means, and when that was created if it is known here. `named`: whether
    references lead to the repository; else it was adopted. Raises NotFound."""
    revision = MAIN if place.revision is None else place.revision
    if is_commit(revision):
        version = version_at(revision, place.repository, versions)
        if version is None:
            raise NotFound(f"{place.repository} has no commit {revision} that is known here")
        return version["manifest"], version["created"]
    if is_digest(revision):
        return (f"{place.repository}@{revision}" if named else revision), None
    if named:
        return (place.repository if revision == MAIN else f"{place.repository}@{revision}"), None
    if revision != MAIN:
        raise NotFound(f"{place.repository} has no revision {revision!r} here")
    return versions[0]["manifest"], versions[0]["created"]


def stands_for_nothing(place: Place, candidates: Sequence[str]) -> NotFound:
    """Return what is raised of a repository that has neither a reference nor a version here."""
    hint = f"known here and called alike: {', '.join(candidates)}" if candidates else _HINT
    return NotFound(f"{place.repository} stands for nothing here", hint=hint)
