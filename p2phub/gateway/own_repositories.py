"""The repositories that can be uploaded to: which there are, what each is at, and who changes one.

Ours are those whose name leads to our publisher, and those that a client made here and that have nothing yet; these
are known to this process alone, GATEWAY_CREATED_MAX of them. Several names may lead to one, so whoever changes it takes
a turn by what it is, not by what it is called.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from p2phub import api, limits
from p2phub.api.recent import keep
from p2phub.errors import UsageError
from p2phub.gateway.absent import no_repository, no_revision
from p2phub.gateway.revisions import MAIN, Commit, Tag, parse_revision
from p2phub.gateway.routes import RepoId
from p2phub.gateway.turns import Turns
from p2phub.http.refusal import Refusal, with_hint


class Head(msgspec.Struct, frozen=True):
    """What a repository is at. `reference` and `name`: of our publisher's; `mapped`: whether the repository's name
    leads there; `versions` as `Hub.repository` tells them, the newest of each tag first."""

    reference: str
    name: str
    mapped: bool
    versions: tuple[Mapping[str, Any], ...]

    def at(self, tag: str) -> Mapping[str, Any] | None:
        return next((each for each in self.versions if (each["tag"] or MAIN) == tag), None)

    def version(self, repo: RepoId, revision: str) -> Mapping[str, Any] | None:
        """Return which version a revision is; None for the default branch of a repository that has none. Raises
        Refusal(404)."""
        wanted = parse_revision(revision)
        if isinstance(wanted, Tag):
            found = self.at(wanted.name)
        elif isinstance(wanted, Commit):
            found = api.version_at(wanted.digits, repo.name, self.versions)
        else:
            found = None
        if found is None and self.versions:
            raise no_revision(f"{repo.name} has no revision {revision[:80]!r} here")
        return found


class OwnRepositories:
    """Of a hub's publisher."""

    def __init__(self, hub: api.Hub) -> None:
        self._hub = hub
        self._created: OrderedDict[RepoId, bool] = OrderedDict()  # Whether it is to be private.
        self._turns = Turns()

    def has_created(self, repo: RepoId) -> bool:
        """Return whether a repository was made here and may have nothing yet."""
        return repo in self._created

    def create(self, repo: RepoId, *, private: bool) -> None:
        """Have a repository be there, though nothing is in it."""
        keep(self._created, repo, private, most=limits.GATEWAY_CREATED_MAX)

    def note_published(self, repo: RepoId) -> None:
        """Note that a repository has a version from now on."""
        self._created.pop(repo, None)

    def is_private(self, repo: RepoId, head: Head) -> bool:
        """Return whether the next version is private: as the newest is, or as it was said when it was made."""
        return bool(head.versions[0]["private"]) if head.versions else self._created.get(repo, False)

    async def head(self, repo: RepoId) -> Head:
        """Return what a repository's name leads to here, or would. Raises NotTrusted for what is somebody else's,
        Refusal(403) for what nothing can be uploaded to; clients take 409 for "it is there already"."""
        try:
            own = await self._hub.publishable(repo.name)
        except UsageError as error:
            raise Refusal(403, with_hint(error)) from error
        versions: tuple[Mapping[str, Any], ...] = ()
        if own["mapped"]:
            versions = tuple((await self._hub.repository(repo.name))["versions"])
        kinds = {each["kind"] for each in versions} - {repo.kind.value}
        if kinds:
            raise Refusal(403, f"{repo.name} is no {repo.kind.value} here, but a {kinds.pop()}")
        return Head(own["reference"], own["name"], own["mapped"], versions)

    async def existing(self, repo: RepoId) -> Head:
        """As `head`, of one that was made or has something. Raises Refusal(404)."""
        head = await self.head(repo)
        if not head.versions and repo not in self._created:
            raise no_repository(f"{repo.name} stands for nothing here; make it first: hf repos create {repo.name}")
        return head

    @asynccontextmanager
    async def turn(self, repo: RepoId) -> AsyncIterator[Head]:
        """Give what a repository is at, which nobody changes from here meanwhile, by whatever name. Raises
        Refusal(404)."""
        reference = (await self.existing(repo)).reference
        async with self._turns.of(reference):
            yield await self.existing(repo)
