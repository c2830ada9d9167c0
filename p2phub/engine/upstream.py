"""Repositories of an upstream hub, which the user named: list them, bring their files, check them, and keep them.

A hub says of each file what digest it has, of no part of one. So a file is checked when all of it came: up to
UPSTREAM_WHOLE_BYTES none of it is told of before that, and of a larger one the end is held back, so that nobody gets a
whole file that is wrong. What was wrong once is refused for a while, since a client would go on from where it was. A
part of a large file that is asked for by itself is the hub's word alone, and is not kept.
What needed the token is kept apart from what everybody may have. Reasons: docs/decisions/0111-upstream.md.
"""

from __future__ import annotations

import logging
import os
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import msgspec
import trio

from p2phub import limits
from p2phub.engine.upstream_api import KINDS, HubAnswers, Ref, Repo, is_revision
from p2phub.engine.upstream_beginning import begin, bytes_begun, end
from p2phub.engine.upstream_file import Arrived, Coming, Writing, write_at
from p2phub.engine.workers import Workers
from p2phub.errors import Damaged, HubError, Malformed, NotFound, PeerGone, PeerStalled, UsageError
from p2phub.identity import MirrorId
from p2phub.manifest import check_paths
from p2phub.net import Hub, Mirrors
from p2phub.store.disk import disk_errors
from p2phub.store.hub_copy import PRIVATE, PUBLIC, HubCopy, HubFile, hash_beginning

_log = logging.getLogger(__name__)
_TRIES = 3
_AGAIN_S = 1.0
_PAGES_MAX = limits.UPSTREAM_FILES_MAX // 50  # The hub gives 50 to 1,000 files a page.


T = TypeVar("T")


class Listing(msgspec.Struct, frozen=True):
    """The files of one commit by path. `for_everybody`: whether the hub told it to who had no token."""

    repo: Repo
    commit: str
    files: dict[str, HubFile]
    for_everybody: bool
    copy: HubCopy
    standing: set[str]
    """Paths of those that are here."""

    @property
    def is_whole(self) -> bool:
        return len(self.standing) == len(self.files)


class Upstream:
    """One hub. `folder`: where its copies are kept; `kept` is told after a file came that others may want; `make_room`
    is asked for room for bytes that are about to come, beside what is `left`, and raises DiskFull."""

    def __init__(
        self,
        hub: MirrorId,
        *,
        token: str | None,
        folder: Path,
        workers: Workers,
        mirrors: Mirrors,
        nursery: trio.Nursery,
        kept: Callable[[Listing], None],
        make_room: Callable[[int], Awaitable[None]],
    ) -> None:
        self._hub, self._folder, self._workers, self._nursery, self._kept = hub, folder, workers, nursery, kept
        self._make_room = make_room
        self._answers = HubAnswers(hub)
        self._anybody: Hub = mirrors.open_hub(hub, None)
        self._with_token = None if token is None else mirrors.open_hub(hub, token)
        self._listings: OrderedDict[tuple[Repo, str], Listing] = OrderedDict()
        self._not_for_everybody: set[Repo] = set()
        self._coming: dict[tuple[Path, str], Coming] = {}
        self._at_once = trio.CapacityLimiter(limits.UPSTREAM_REQUESTS_AT_ONCE)
        self._one_at_a_time = tuple(trio.Lock() for _ in range(limits.UPSTREAM_LISTINGS_MAX))
        self._naming = trio.Lock()  # Several may wait for one file, and then find it has no name yet.
        self._wrong: dict[tuple[Path, str], float] = {}

    @property
    def left(self) -> int:
        """How many bytes are still to come of what is coming."""
        return sum(each.left for each in self._coming.values())

    async def listing(self, repo: Repo, revision: str) -> Listing:
        """Return what a revision has now. Raises NotFound, PeerError, UsageError, DiskError."""
        if not is_revision(revision):
            raise UsageError(f"no revision that a hub is asked for here: {revision[:80]!a}")
        known = self._listings.get((repo, revision))
        if known is not None:
            return known
        return await self._without_token_first(
            repo, lambda for_everybody: self._listing_as(repo, revision, for_everybody=for_everybody)
        )

    async def refs(self, repo: Repo) -> list[Ref]:
        """Return the branches and tags of a repository. Raises NotFound, PeerError."""
        body = await self._without_token_first(
            repo, lambda for_everybody: self._refs(repo, self._as(for_everybody=for_everybody))
        )
        return self._answers.refs(body)

    async def bring(self, listing: Listing, path: str, start: int, stop: int, arrived: Arrived) -> None:
        """Have bytes `start` ..< `stop` of a file here; return when they are, or all of it. Raises NotFound for a path
        that is not listed, Damaged for a file that is not what its hub lists, PeerError, DiskError."""
        file = listing.files.get(path)
        if file is None:
            raise NotFound(f"{listing.repo.name} has no file {path[:200]!a} at {listing.commit}")
        try:
            async with self._using(listing):
                await self._bring(listing, file, start, min(stop, file.size), arrived)
        except NotFound:
            if self._with_token is None or not listing.for_everybody:
                raise
            # Its names are for everybody, its bytes are not.
            self._not_for_everybody.add(listing.repo)
            self._listings.pop((listing.repo, listing.commit), None)
            private = await self._listing_as(listing.repo, listing.commit, for_everybody=False)
            await self.bring(private, path, start, stop, arrived)

    # --- listings ----------------------------------------------------------------------------------------------------

    async def _without_token_first(self, repo: Repo, ask: Callable[[bool], Awaitable[T]]) -> T:
        """Ask as anybody, and with the token only for what is not told then. `ask` is told whether as anybody."""
        if repo not in self._not_for_everybody:
            try:
                return await ask(True)
            except NotFound:
                if self._with_token is None:
                    raise
        return await ask(False)

    async def _refs(self, repo: Repo, hub: Hub) -> bytes:
        body, _ = await hub.told(f"{repo.api}/refs", "include_prs=1", most=limits.UPSTREAM_ANSWER_BYTES_MAX)
        return body

    async def _commit_of(self, repo: Repo, revision: str, hub: Hub) -> str:
        if "/" in revision:  # As a part of a URL it would be two.
            commit = self._answers.commit_among(await self._refs(repo, hub), revision)
            if commit is None:
                raise NotFound(f"the hub has no {revision} of {repo.name}")
            return commit
        body, _ = await hub.told(f"{repo.api}/revision/{revision}", most=limits.UPSTREAM_ANSWER_BYTES_MAX)
        return self._answers.commit(body)

    def _as(self, *, for_everybody: bool) -> Hub:
        if for_everybody:
            return self._anybody
        assert self._with_token is not None, "what is not for everybody takes a token"
        return self._with_token

    async def _listing_as(self, repo: Repo, revision: str, *, for_everybody: bool) -> Listing:
        hub = self._as(for_everybody=for_everybody)
        commit = await self._commit_of(repo, revision, hub)
        async with self._one_at_a_time[hash(commit) % len(self._one_at_a_time)]:  # A branch, and its commit, at once.
            return await self._listed(repo, commit, for_everybody=for_everybody)

    async def _listed(self, repo: Repo, commit: str, *, for_everybody: bool) -> Listing:
        hub = self._as(for_everybody=for_everybody)
        known = self._listings.get((repo, commit))
        if known is not None and known.for_everybody == for_everybody:
            return known
        files: dict[str, HubFile] = {}
        told = 0
        query: str | None = "recursive=true&expand=false"
        for _ in range(_PAGES_MAX):
            if query is None:
                break
            page, query = await hub.told(f"{repo.api}/tree/{commit}", query, most=limits.UPSTREAM_ANSWER_BYTES_MAX)
            told += len(page)
            if told > limits.UPSTREAM_LISTING_BYTES_MAX:
                raise self._answers.odd(
                    f"more than {limits.UPSTREAM_LISTING_BYTES_MAX} bytes of what is in {repo.name}"
                )
            files.update((file.path, file) for file in self._answers.files(page))
            if len(files) > limits.UPSTREAM_FILES_MAX:
                query = ""
                break
        if query is not None:
            raise self._answers.odd(f"more than {limits.UPSTREAM_FILES_MAX} files in {repo.name}, or pages without end")
        try:
            check_paths(files)
        except Malformed as error:
            raise self._answers.odd(f"names that not every machine can hold: {error.what}") from error
        cache = self._folder / (PUBLIC if for_everybody else PRIVATE)
        copy = HubCopy(cache, KINDS[repo.kind][0], repo.name, commit)

        def begin_copy() -> set[str]:
            used, _ = copy.use(files)
            try:
                return _link_what_stands(copy, files)
            finally:
                os.close(used)

        listing = Listing(repo, commit, files, for_everybody, copy, await self._workers.run(begin_copy))
        self._listings[repo, commit] = listing
        while len(self._listings) > limits.UPSTREAM_LISTINGS_MAX:
            self._listings.popitem(last=False)
        if listing.is_whole and files:  # Of files that an earlier commit had.
            self._kept(listing)
        return listing

    # --- files -------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _using(self, listing: Listing) -> AsyncIterator[None]:
        """Keep the snapshot of a listing from collection. It may have been collected since it was listed."""

        def use() -> int:
            # What was here is forgotten before there is a folder again, or who finds that would believe it.
            used, was_there = listing.copy.use(listing.files, begins=listing.standing.clear)
            try:
                if not was_there:
                    listing.standing.update(_link_what_stands(listing.copy, listing.files))
            except BaseException:
                os.close(used)
                raise
            return used

        used = await self._workers.run(use)
        try:
            yield
        finally:
            os.close(used)

    async def _bring(self, listing: Listing, file: HubFile, start: int, stop: int, arrived: Arrived) -> None:
        key = listing.copy.folder, file.blob
        if time.monotonic() - self._wrong.get(key, -limits.UPSTREAM_WRONG_S) < limits.UPSTREAM_WRONG_S:
            raise self._not_as_listed(file)
        place = await self._workers.run(lambda: listing.copy.standing(file))
        if place is not None:
            arrived(place, 0, file.size)
            await self._note(listing, file)
            return
        coming = self._coming.get(key)
        if coming is None:
            beginning = await self._workers.run(lambda: bytes_begun(listing.copy, file))
            coming = self._coming.get(key)
            if coming is None and self._is_a_part(file, start, stop, beginning):
                await self._pass_on(listing, file, start, stop, arrived)
                return
        elif self._is_a_part(file, start, stop, coming.count):
            await self._pass_on(listing, file, start, stop, arrived)
            return
        if coming is None:
            coming = self._coming[key] = Coming()
            self._nursery.start_soon(self._run, listing, file, coming)
        await coming.wait(arrived, until=stop)
        if coming.told == file.size:  # It may have come under another path, or for another commit.
            await self._note(listing, file)

    @staticmethod
    def _is_a_part(file: HubFile, start: int, stop: int, beginning: int) -> bool:
        """Whether so little of a large file is wanted, so far from what has come, that it is asked for by itself."""
        is_small = file.size <= limits.UPSTREAM_WHOLE_BYTES
        is_all = start == 0 and stop == file.size
        return not is_small and not is_all and start > beginning - 1 and stop - start <= limits.UPSTREAM_SPAN_BYTES

    async def _run(self, listing: Listing, file: HubFile, coming: Coming) -> None:
        key = listing.copy.folder, file.blob
        try:
            async with self._using(listing):
                coming.place = await self._workers.run(lambda: begin(listing.copy, file))
                await self._download(listing, file, coming)
                coming.place = await self._workers.run(lambda: self._keep(listing, file))
                coming.told = file.size
                await self._note(listing, file)
        except HubError as error:
            coming.error = error
        except Exception:  # noqa: BLE001  # One file must never end the node, whatever fault of ours it finds.
            _log.exception("a fault of our own ended %s of %s", file.path, listing.repo.name)
            coming.error = PeerGone("a fault of our own ended it", peer=str(self._hub))
        finally:
            if self._coming.get(key) is coming:
                del self._coming[key]
            coming.end()

    @staticmethod
    def _keep(listing: Listing, file: HubFile) -> Path:
        place = listing.copy.keep(file)
        end(listing.copy, file)
        return place

    @staticmethod
    def _drop(listing: Listing, file: HubFile) -> None:
        listing.copy.drop(file)
        end(listing.copy, file)

    async def _download(self, listing: Listing, file: HubFile, coming: Coming) -> None:
        """Write all of a file, and check it. Raises Damaged, PeerError, NotFound, DiskError; PeerGone where nobody
        waits for it any more."""
        hub, place = self._as(for_everybody=listing.for_everybody), coming.place
        hasher = file.hasher()
        coming.count = await self._workers.run_long(lambda: hash_beginning(place, hasher, file.size))
        coming.left = file.size - coming.count
        # The size is the hub's word: it is believed before the disk is full, not when it is.
        await self._make_room(coming.left)
        wanted = self.left
        await self._workers.run(lambda: listing.copy.need_room(wanted))
        with disk_errors(f"write to {place}"):
            fd = os.open(place, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)

        def written(count: int) -> None:
            coming.count += count
            coming.left -= count
            if file.size > limits.UPSTREAM_WHOLE_BYTES:
                coming.tell(min(coming.count, file.size - limits.UPSTREAM_HELD_BACK_BYTES))

        writing = Writing(self._workers, fd, place, hasher, at=coming.count, written=written)

        async def take(piece: bytes | bytearray) -> None:
            if coming.is_left:
                raise PeerGone("nobody waits for it any more")
            await writing.add(piece)

        try:
            tries = 0
            while coming.count < file.size:
                before, until = coming.count, min(coming.count + limits.UPSTREAM_SPAN_BYTES, file.size)
                try:
                    path = listing.repo.file(listing.commit, file.path)
                    async with self._at_once:
                        try:
                            await hub.span(path, before, until, size=file.size, take=take)
                        finally:
                            with trio.CancelScope(shield=True):
                                await writing.flush()
                except (PeerGone, PeerStalled):
                    tries = 0 if coming.count > before else tries + 1
                    if tries == _TRIES or coming.is_left:
                        raise
                    await trio.sleep(_AGAIN_S)
        finally:
            os.close(fd)
        if hasher.hexdigest() != file.blob:
            now = time.monotonic()
            self._wrong = {key: at for key, at in self._wrong.items() if now - at < limits.UPSTREAM_WRONG_S}
            self._wrong[listing.copy.folder, file.blob] = now
            await self._workers.run(lambda: self._drop(listing, file))
            raise self._not_as_listed(file)

    async def _pass_on(self, listing: Listing, file: HubFile, start: int, stop: int, arrived: Arrived) -> None:
        """Bring one part of a file into a file of its own, at its offsets, which goes when this returns."""
        hub = self._as(for_everybody=listing.for_everybody)
        place = listing.copy.folder / ".coming" / f"{file.blob}.{os.urandom(8).hex()}.part"
        with disk_errors(f"write to {place}"):
            fd = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        at = start

        async def take(piece: bytes | bytearray) -> None:
            nonlocal at
            await self._workers.run(lambda: write_at(fd, place, piece, at))
            at += len(piece)
            arrived(place, start, at)

        try:
            async with self._at_once:
                await hub.span(listing.repo.file(listing.commit, file.path), start, stop, size=file.size, take=take)
        finally:
            os.close(fd)
            place.unlink(missing_ok=True)

    async def _note(self, listing: Listing, file: HubFile) -> None:
        """Name a file by its path; once there is something in it for others, say so."""
        async with self._naming:
            if file.path in listing.standing:
                return
            await self._workers.run(lambda: listing.copy.link(file))
            listing.standing.add(file.path)
        if listing.is_whole or file.size >= limits.ALONE_BYTES_MIN:
            self._kept(listing)

    def _not_as_listed(self, file: HubFile) -> Damaged:
        return Damaged(f"{self._hub} gave something else as {file.path} than what it lists")


def _link_what_stands(copy: HubCopy, files: Mapping[str, HubFile]) -> set[str]:
    """Name the files of a snapshot that are here already; return their paths. Blocks."""
    for file in files.values():  # An empty one nobody asks for.
        if not file.size and file.hasher().hexdigest() == file.blob and copy.standing(file) is None:
            copy.coming(file)
            copy.keep(file)
    here = {path for path, file in files.items() if copy.standing(file) is not None}
    for path in here:
        copy.link(files[path])
    return here
