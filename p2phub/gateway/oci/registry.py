"""What a name, a tag and a digest lead to in the registry: documents made of versions, and the files that they name.

What has a digest is found again after a restart, too: by looking among the files of the versions that are known here,
and then by making their documents until one has it. Of the last versions that somebody asked for it is remembered what
is in them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import msgspec
import trio

from p2phub import api, limits
from p2phub.api.recent import keep
from p2phub.errors import HubError, NoProvider
from p2phub.gateway.oci import names
from p2phub.gateway.oci.choosing import by_quantisation, chosen, default_of
from p2phub.gateway.oci.documents import MANY_FILES, Document, Documents, Recipe, Version
from p2phub.gateway.oci.refusals import no_blob, no_manifest, no_repository
from p2phub.gateway.oci.routes import Form
from p2phub.gateway.revisions import MAIN, Commit, Tag, parse_revision
from p2phub.gateway.routes import Kind, RepoId
from p2phub.gateway.shelf import File, NoSuchRevision, Release, Shelf, Snapshot, Unmapped
from p2phub.http.refusal import Refusal

LATEST = "latest"  # What clients ask for where nobody said which.


class Held(msgspec.Struct, frozen=True):
    """A file that has a digest, in a version that has it."""

    snapshot: Snapshot
    file: File


class Registry:
    """Methods raise Refusal for what is not there, and HubError, NoProvider for what may be there later."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._versions: OrderedDict[tuple[RepoId, str], Version] = OrderedDict()
        self._aliases: OrderedDict[RepoId, tuple[float, RepoId]] = OrderedDict()
        self._documents = Documents(shelf)

    # --- names and tags -----------------------------------------------------------------------------------------------

    async def catalogue(self) -> list[str]:
        """Return what there is, as OCI clients call it, ascending."""
        return names.listed([each.repo for kind in Kind for each in await self._shelf.repositories(kind)])

    async def repository(self, asked: RepoId) -> RepoId:
        """Return what a name means: `names` says how."""
        kept = self._aliases.get(asked)
        if kept is not None and trio.current_time() - kept[0] < limits.OCI_ALIAS_S:
            return kept[1]
        found = await self._find_repository(asked)
        keep(self._aliases, asked, (trio.current_time(), found), most=limits.OCI_FACTS_KEPT_MAX)
        return found

    async def _find_repository(self, asked: RepoId) -> RepoId:
        unmapped: Unmapped | None = None
        for reading in names.readings_of(asked):
            try:
                await self._shelf.releases(reading, None)
            except Unmapped as error:
                unmapped = unmapped or error
            except HubError:  # It is called so, whatever else is the matter: that is told by what is asked of it.
                return reading
            else:
                return reading
        found = names.alike(asked, await self._shelf.names(asked.kind))
        if len(found) == 1:
            return found[0]
        if found:
            spelled = ", ".join(each.name for each in found)
            raise no_repository(f"{asked.name} may be any of {spelled}: say which with `p2phub name add`")
        assert unmapped is not None, "a name has a reading"
        raise no_repository(unmapped.message + (f"; {unmapped.hint}" if unmapped.hint else ""))

    async def tags(self, repo: RepoId) -> list[str]:
        """Return the tags of a repository: p2phub's own, `latest`, and the quantisations of its main version."""
        tags = {release.tag or MAIN for release in await self._releases(repo, None)}
        if MAIN in tags:
            main = await self._snapshot_or_none(repo, Tag(MAIN))
            tags |= {LATEST, *(by_quantisation(Version(main).files) if main is not None else ())}
        return sorted(tags, key=lambda tag: (tag.lower(), tag))

    # --- documents ----------------------------------------------------------------------------------------------------

    async def document(self, repo: RepoId, tag: str, form: Form) -> Document:
        """Return the document of a tag: of a quantisation of the main version, or of a version."""
        if api.is_quantisation(tag):
            main = await self._snapshot_or_none(repo, Tag(MAIN))
            version = None if main is None else self._note(main)
            found = chosen(version.files, tag) if version is not None else []
            if version is not None and found:
                wanted = found if form is Form.PACK else found[:1]
                return await self._documents.make(version, version.recipe(form, wanted))
        revision = parse_revision(tag)
        if tag == LATEST and not any(each.tag == LATEST for each in await self._releases(repo, None)):
            revision = Tag(MAIN)
        snapshot = None if revision is None else await self._snapshot_or_none(repo, revision)
        if snapshot is None:
            raise no_manifest(f"{repo.name} has no tag {tag} here")
        version = self._note(snapshot)
        if form is Form.PACK:
            return await self._documents.make(version, Recipe(form))
        default = default_of(version.files)
        if default is None:
            raise no_manifest(f"{repo.name} has no GGUF file, so there is nothing in it that Ollama runs")
        return await self._documents.make(version, version.recipe(form, [default]))

    async def document_called(self, repo: RepoId, digest: str) -> Document:
        """Return the document that has a digest (SHA-256 in hex)."""
        found = await self._search(repo, digest)
        if isinstance(found, Document) and found.sha256 == digest:
            return found
        raise no_manifest(f"{repo.name} has no manifest sha256:{digest} that is known here")

    async def blob(self, repo: RepoId, digest: str) -> Held | bytes:
        """Return what has a digest (SHA-256 in hex) in a version of this repository: a file, or what was made."""
        found = await self._search(repo, digest)
        if isinstance(found, Document):
            return found.content if found.sha256 == digest else found.config
        if found is None:
            raise no_blob(f"{repo.name} has nothing called sha256:{digest} that is known here")
        return found

    # --- by digest ----------------------------------------------------------------------------------------------------

    async def _search(self, repo: RepoId, digest: str) -> Held | Document | None:
        """Return what has a digest in a version that is known here: its files before what is made of them, and headers
        are read last. Raises NoProvider where it could not be found out."""
        found: Held | Document | None = None
        search = _Search(digest)
        with trio.move_on_after(limits.OCI_SEARCH_S) as looking:
            found = await self._look(repo, search)
        if found is None and looking.cancelled_caught:
            raise NoProvider("it takes long to find out what is in each version of it")
        if found is None and search.unsure is not None:
            raise search.unsure
        return found

    async def _look(self, repo: RepoId, search: _Search) -> Held | Document | None:
        seen: dict[str, Version] = {}
        recent = [commit for whose, commit in reversed(self._versions) if whose == repo]
        found = await self._look_at_hand(repo, recent, seen, search)
        if found is None:
            found = await self._look_at_hand(repo, await self._commits(repo, search), seen, search)
        if found is not None:
            return found
        for form in (Form.PACK, Form.OLLAMA):
            for version in seen.values():
                document = await self._made_of(version, form, search)
                if document is not None:
                    return document
        return None

    async def _look_at_hand(
        self, repo: RepoId, commits: Sequence[str], seen: dict[str, Version], search: _Search
    ) -> Held | Document | None:
        """Look among the files of versions, and what was made of them before; each that is `seen` is noted there."""
        for commit in commits:
            if commit in seen:
                continue
            try:
                snapshot = await self._snapshot_or_none(repo, Commit(commit))
            except HubError as error:
                search.unsure = error
                continue
            if snapshot is not None:
                seen[commit] = self._version_of(snapshot)
                found = await self._at_hand(seen[commit], search.digest)
                if found is not None:
                    self._note(snapshot)
                    return found
        return None

    async def _at_hand(self, version: Version, digest: str) -> Held | Document | None:
        file = version.find(digest)
        if file is not None:
            return Held(version.snapshot, file)
        recipe = version.recipes.get(digest)
        return None if recipe is None else await self._documents.make(version, recipe)

    async def _made_of(self, version: Version, form: Form, search: _Search) -> Document | None:
        made = set(version.recipes.values())
        is_long = len(version.files) > MANY_FILES
        recipes = await trio.to_thread.run_sync(version.all_recipes, form) if is_long else version.all_recipes(form)
        for recipe in recipes:
            if recipe in made:
                continue
            try:
                document = await self._documents.make(version, recipe)
            except Refusal:
                continue
            except HubError as error:
                search.unsure = error
                continue
            if search.digest in (document.sha256, document.config_sha256):
                self._note(version.snapshot).recipes.update(version.recipes)
                return document
        return None

    async def _commits(self, repo: RepoId, search: _Search) -> list[str]:
        """Return the commits of a repository that are known here, the newest of each tag first."""
        try:
            newest = await self._releases(repo, None)
            older = [await self._releases(repo, Tag(release.tag)) for release in newest if release.tag is not None]
        except HubError as error:
            search.unsure = error
            return []
        commits = [release.commit for releases in (newest, *older) for release in releases]
        return list(dict.fromkeys(commits))[: limits.OCI_VERSIONS_SEARCHED_MAX]

    # --- the shelf ----------------------------------------------------------------------------------------------------

    def _note(self, snapshot: Snapshot) -> Version:
        """Remember a version that somebody asks for: more will be asked of it."""
        version = self._version_of(snapshot)
        keep(self._versions, (snapshot.repo, snapshot.commit), version, most=limits.OCI_VERSIONS_KEPT_MAX)
        return version

    def _version_of(self, snapshot: Snapshot) -> Version:
        """Return what is remembered of a version. A commit of a hub's can come to have more files than were adopted."""
        known = self._versions.get((snapshot.repo, snapshot.commit))
        if known is None or known.snapshot.files != snapshot.files:
            return Version(snapshot)
        known.snapshot = snapshot  # It may be led to by something else than it was.
        return known

    async def _snapshot_or_none(self, repo: RepoId, revision: Tag | Commit) -> Snapshot | None:
        """Return a version, None where the repository has none of that name. Raises Refusal if that is not there."""
        try:
            return await self._shelf.snapshot(repo, revision)
        except Unmapped as error:
            raise no_repository(error.message) from error
        except NoSuchRevision:
            return None

    async def _releases(self, repo: RepoId, revision: Tag | None) -> Sequence[Release]:
        try:
            return await self._shelf.releases(repo, revision)
        except Unmapped as error:
            raise no_repository(error.message) from error
        except NoSuchRevision:
            return ()


class _Search:
    """For a digest. `unsure`: why it could not be found out of some version whether it has it."""

    def __init__(self, digest: str) -> None:
        self.digest = digest
        self.unsure: HubError | None = None
