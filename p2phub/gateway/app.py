"""Answer one request of a Hugging Face tool: what is asked, what the shelf has of it, and how that is told."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import msgspec
import trio

from p2phub import limits
from p2phub.gateway import answers
from p2phub.gateway.absent import no_entry, no_repository, no_revision
from p2phub.gateway.revisions import MAIN, Commit, Tag, parse_revision
from p2phub.gateway.routes import (
    AskCommits,
    Asked,
    AskInfo,
    AskPaths,
    AskRefs,
    AskTree,
    ReadFile,
    RepoId,
    Search,
    WhoAmI,
    paths_of,
    read_request,
)
from p2phub.gateway.sending import send_file
from p2phub.gateway.shelf import NoSuchRevision, Release, Shelf, Snapshot, Unmapped
from p2phub.gateway.tree import find_entry, find_file, page_below
from p2phub.gateway.upload_routes import GRANTED, read_upload
from p2phub.gateway.uploads import Uploads
from p2phub.http.exchange import Exchange, Headers, Request
from p2phub.http.front import Access, changes_by_method
from p2phub.http.refusal import Refusal

_LONG_FILES = 20_000  # Some 2 MB, and 30 ms to write down.
_EMPTY = Release("0" * 40, MAIN)  # What a repository is that was made and has nothing yet.
_QUESTIONS = (AskPaths,)  # Asked by POST, and change nothing.

Answered = tuple[Any, Headers]
"""What is told as JSON, and more headers."""


class App:
    """The answers of one gateway: `http.front.Site`."""

    def __init__(self, shelf: Shelf, uploads: Uploads | None = None) -> None:
        self._shelf = shelf
        self._uploads = uploads
        self._long_ones = trio.Semaphore(limits.GATEWAY_LONG_ANSWERS_MAX)
        self._threads = trio.CapacityLimiter(4)  # For what takes long to write down.

    def access(self, request: Request) -> Access:
        upload = read_upload(request.method, request.target)
        if upload is not None:
            if self._uploads is None:
                raise Refusal(403, "this node takes no uploads: start it with --gateway-uploads")
            return Access.OPEN if isinstance(upload, GRANTED) else Access.CHANGE
        asked = read_request(request.method, request.target)
        return Access.CHANGE if changes_by_method(request) and not isinstance(asked, _QUESTIONS) else Access.READ

    async def answer(self, exchange: Exchange, host: str) -> None:
        upload = read_upload(exchange.request.method, exchange.request.target)
        if upload is not None and self._uploads is not None:
            await self._uploads.answer(exchange, upload, host)
            return
        asked = read_request(exchange.request.method, exchange.request.target)
        if isinstance(asked, ReadFile):
            await self._send_file(exchange, asked)
            return
        if isinstance(asked, AskInfo):
            await self._send_info(exchange, asked)
            return
        told, headers = await self._tell(exchange, asked, host)
        body = await trio.to_thread.run_sync(msgspec.json.encode, told, limiter=self._threads)
        await exchange.answer(200, [*headers, ("Content-Type", "application/json")], body)

    # --- what is told as JSON ----------------------------------------------------------------------------------------

    async def _tell(self, exchange: Exchange, asked: Asked, host: str) -> Answered:
        match asked:
            case WhoAmI():
                return answers.whoami(may_write=self._uploads is not None), ()
            case Search():
                return await self._search(asked, host)
            case AskTree():
                return await self._tree(asked, host)
            case AskPaths():
                wanted = paths_of(
                    exchange.request.headers.get("content-type", ""),
                    await exchange.body(most=limits.GATEWAY_BODY_BYTES_MAX),
                )
                snapshot = await self._snapshot(asked.repo, asked.revision)
                found = [entry for path in wanted if (entry := find_entry(snapshot.files, path)) is not None]
                return answers.entries(found, snapshot.release, expand=True), ()
            case AskRefs():
                return answers.refs(await self._releases(asked.repo, None)), ()
            case AskCommits():
                return await self._commits(asked, host)
        raise AssertionError(f"{asked} is answered elsewhere")

    async def _send_info(self, exchange: Exchange, asked: AskInfo) -> None:
        """Tell what a repository is, which has no pages: with two million files it takes seconds and some 200 MB, until
        the client has taken all of it."""
        snapshot = await self._snapshot(asked.repo, asked.revision)

        def write() -> bytes:
            return msgspec.json.encode(answers.info(snapshot, blobs=asked.blobs))

        is_long = len(snapshot.files) > _LONG_FILES
        async with self._long_ones if is_long else contextlib.nullcontext():
            body = await trio.to_thread.run_sync(write, limiter=self._threads)
            headers = [("X-Repo-Commit", snapshot.commit), ("Content-Type", "application/json")]
            await exchange.answer(200, headers, body)

    async def _search(self, asked: Search, host: str) -> Answered:
        found = [each for each in await self._shelf.repositories(asked.kind) if answers.matches(asked, each)]
        page, more = _page(found, asked.cursor, asked.limit)
        return answers.listing(page), [] if more is None else [answers.next_search(host, asked, more)]

    async def _tree(self, asked: AskTree, host: str) -> Answered:
        snapshot = await self._snapshot(asked.repo, asked.revision)
        found = page_below(
            snapshot.files, asked.folder, recursive=asked.recursive, cursor=asked.cursor, limit=asked.limit
        )
        if found is None:
            raise no_entry(f"there is no folder {asked.folder!r} in {asked.repo.name}", commit=snapshot.commit)
        page, more = found
        told = answers.entries(page, snapshot.release, expand=asked.expand)
        return told, [] if more is None else [answers.next_tree(host, asked, snapshot.commit, more)]

    async def _commits(self, asked: AskCommits, host: str) -> Answered:
        releases = await self._releases(asked.repo, _revision(asked.repo, asked.revision))
        page, more = _page(releases, asked.cursor, asked.limit)
        headers = [("X-Total-Count", str(len(releases)))]
        if more is not None:
            headers.append(answers.next_commits(host, asked.repo, asked.revision, limit=asked.limit, cursor=more))
        return answers.commits(asked.repo, page), headers

    async def _snapshot(self, repo: RepoId, revision: str) -> Snapshot:
        """Raises Refusal, HubError."""
        wanted = parse_revision(revision)
        try:
            if wanted is None:  # A repository that is not there is worth more than a revision that cannot be.
                await self._shelf.releases(repo, None)
                raise _no_such(repo, revision)
            return await self._shelf.snapshot(repo, wanted)
        except Unmapped as error:
            if wanted == Tag(MAIN) and self._is_empty(repo):
                return Snapshot(repo, _EMPTY, (), key="")
            raise self._absent(repo, error) from error
        except NoSuchRevision as error:
            raise no_revision(error.message) from error

    async def _releases(self, repo: RepoId, revision: Tag | Commit | None) -> Sequence[Release]:
        try:
            return await self._shelf.releases(repo, revision)
        except Unmapped as error:
            if self._is_empty(repo):
                return [_EMPTY]
            raise self._absent(repo, error) from error
        except NoSuchRevision as error:
            raise no_revision(error.message) from error

    def _is_empty(self, repo: RepoId) -> bool:
        """Return whether a repository was made here, and nothing was uploaded to it yet."""
        return self._uploads is not None and self._uploads.has_created(repo)

    def _absent(self, repo: RepoId, error: Unmapped) -> Refusal:
        return no_revision(f"{repo.name} has nothing yet") if self._is_empty(repo) else _unmapped(error)

    # --- files ---------------------------------------------------------------------------------------------------

    async def _send_file(self, exchange: Exchange, asked: ReadFile) -> None:
        snapshot = await self._snapshot(asked.repo, asked.revision)
        file = find_file(snapshot.files, asked.path)
        if file is None:
            raise no_entry(f"there is no file {asked.path!r} in {asked.repo.name}", commit=snapshot.commit)
        headers, tells_size = answers.file_headers(snapshot, file), answers.tells_size(file)
        await send_file(exchange, self._shelf, snapshot, file, headers, etag=file.etag, tells_size=tells_size)


def _page(items: Sequence[Any], cursor: int, limit: int) -> tuple[Sequence[Any], int | None]:
    stop = cursor + limit
    return items[cursor:stop], stop if stop < len(items) else None


def _revision(repo: RepoId, text: str) -> Tag | Commit:
    revision = parse_revision(text)
    if revision is None:
        raise _no_such(repo, text)
    return revision


def _no_such(repo: RepoId, revision: str) -> Refusal:
    return no_revision(f"{repo.name} has no revision {revision[:80]!r} here")


def _unmapped(error: Unmapped) -> Refusal:
    said = error.message + (f"; {error.hint}" if error.hint else "")
    return no_repository(said, warning=said)
