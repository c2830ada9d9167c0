"""Answer one request of a Hugging Face tool: what is asked, what the shelf has of it, and how that is told.

A request for a file gets its head at once where the file stands here, and with the first verified bytes where it is
fetched: so that nobody who has them is a 503, and not an answer that breaks off. What fails after that ends the
connection in good order, short of what the head says: clients then ask for the rest with a Range.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import msgspec
import trio

from p2phub import limits
from p2phub.errors import HubError, NoProvider
from p2phub.gateway import answers
from p2phub.gateway.absent import no_entry, no_repository, no_revision
from p2phub.gateway.revisions import Commit, Tag, parse_revision
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
from p2phub.gateway.shelf import Content, File, NoSuchRevision, Piece, Release, Shelf, Snapshot, Standing, Unmapped
from p2phub.gateway.tree import find_entry, find_file, page_below
from p2phub.http.exchange import CutOff, Exchange, Headers, Request
from p2phub.http.front import Access, changes_by_method
from p2phub.http.ranges import wanted_span
from p2phub.http.refusal import Refusal

_LONG_FILES = 20_000  # Some 2 MB, and 30 ms to write down.
_QUESTIONS = (AskPaths,)  # Asked by POST, and change nothing.

Answered = tuple[Any, Headers]
"""What is told as JSON, and more headers."""


class App:
    """The answers of one gateway: `http.front.Site`."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._long_ones = trio.Semaphore(limits.GATEWAY_LONG_ANSWERS_MAX)
        self._threads = trio.CapacityLimiter(4)  # For what takes long to write down.

    def access(self, request: Request) -> Access:
        asked = read_request(request.method, request.target)
        return Access.CHANGE if changes_by_method(request) and not isinstance(asked, _QUESTIONS) else Access.READ

    async def answer(self, exchange: Exchange, host: str) -> None:
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
                return answers.whoami(), ()
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
            raise _unmapped(error) from error
        except NoSuchRevision as error:
            raise no_revision(error.message) from error

    async def _releases(self, repo: RepoId, revision: Tag | Commit | None) -> Sequence[Release]:
        try:
            return await self._shelf.releases(repo, revision)
        except Unmapped as error:
            raise _unmapped(error) from error
        except NoSuchRevision as error:
            raise no_revision(error.message) from error

    # --- files ---------------------------------------------------------------------------------------------------

    async def _send_file(self, exchange: Exchange, asked: ReadFile) -> None:
        snapshot = await self._snapshot(asked.repo, asked.revision)
        file = find_file(snapshot.files, asked.path)
        if file is None:
            raise no_entry(f"there is no file {asked.path!r} in {asked.repo.name}", commit=snapshot.commit)
        headers = answers.file_headers(snapshot, file)
        request = exchange.request
        if request.method == "HEAD":  # Which no Range is about.
            await exchange.begin(200, headers, length=file.size)
            return
        span = wanted_span(_range_that_holds(request, file), file.size)
        start, stop = span if span is not None else (0, file.size)
        if span is not None:
            headers.append(("Content-Range", f"bytes {start}-{stop - 1}/{file.size}"))
        status = 200 if span is None else 206
        if start == stop:
            await exchange.answer(status, headers, b"")
            return
        async with self._shelf.open(snapshot, file, start=start) as content:
            if content.standing is not None:
                await self._send_standing(exchange, content.standing, status, headers, start, stop)
            else:
                await self._send_fetched(exchange, content, status, headers, start, stop)

    async def _send_standing(
        self, exchange: Exchange, standing: Standing, status: int, headers: Headers, start: int, stop: int
    ) -> None:
        """Send from the file itself, nothing of which is passed on before it was looked at again: clients check the
        length alone, and ask for what is missing of it, so what came before that has to be right, too."""
        if not standing.unchanged():
            raise NoProvider("the file changed while it was opened")
        await exchange.begin(status, headers, length=stop - start)
        await exchange.send_file(standing.descriptor, start, stop, standing.unchanged)

    async def _send_fetched(
        self, exchange: Exchange, content: Content, status: int, headers: Headers, start: int, stop: int
    ) -> None:
        """Send what is read while it is fetched. Raises HubError, if it fails before there is anything to send."""
        put, pieces = trio.open_memory_channel[Piece | HubError](0)

        async def pass_on() -> HubError | CutOff | None:
            """Return what went wrong."""
            first: Piece | HubError | None = None
            with trio.move_on_after(limits.GATEWAY_FIRST_PIECE_S):
                first = await _next(pieces)
            if isinstance(first, HubError):
                return first
            try:
                try:
                    await exchange.begin(status, headers, length=stop - start)
                    if first is not None:
                        await _send_piece(exchange, first)
                finally:
                    _let_go(first)
                await _send_pieces(exchange, pieces)
            except CutOff as error:
                return error
            return None

        async with trio.open_nursery() as nursery:
            nursery.start_soon(_read_into, put, content.read(start, stop))
            verdict = await pass_on()
            nursery.cancel_scope.cancel()
        if verdict is not None:
            raise verdict


async def _read_into(put: trio.MemorySendChannel[Piece | HubError], source: AsyncGenerator[Piece, None]) -> None:
    """Hand on each piece when it is taken, and last what went wrong."""
    async with put, aclosing(source) as pieces:
        try:
            async for piece in pieces:
                try:
                    await put.send(piece)
                except BaseException:  # Nobody took it.
                    _let_go(piece)
                    raise
        except HubError as error:
            await put.send(error)


async def _send_pieces(exchange: Exchange, pieces: trio.MemoryReceiveChannel[Piece | HubError]) -> None:
    """Send pieces to their end. Raises CutOff for what ends them sooner, and if the client is gone."""
    while True:
        with trio.move_on_after(limits.GATEWAY_GONE_S) as waiting:
            piece = await _next(pieces)
        if waiting.cancelled_caught:
            if exchange.is_gone():
                raise CutOff("the client is gone")
        elif piece is None:
            return
        elif isinstance(piece, HubError):
            raise CutOff(str(piece)) from piece
        else:
            try:
                await _send_piece(exchange, piece)
            finally:
                _let_go(piece)


async def _send_piece(exchange: Exchange, piece: Piece) -> None:
    """Send one piece. Of one that stands in a file nothing is in memory while its client does not read, so a thousand
    that read slowly cost their sockets."""
    if isinstance(piece, bytes | memoryview):
        await exchange.send(piece)
    else:
        await exchange.send_file(piece.descriptor, piece.start, piece.stop, piece.unchanged)


def _let_go(piece: Piece | None) -> None:
    """Close a piece that stands in a file: whoever has it does, and nobody else."""
    if piece is not None and not isinstance(piece, bytes | memoryview):
        piece.close()


async def _next(pieces: trio.MemoryReceiveChannel[Piece | HubError]) -> Piece | HubError | None:
    """Return what comes next, None at the end."""
    try:
        return await pieces.receive()
    except trio.EndOfChannel:
        return None


def _range_that_holds(request: Request, file: File) -> str | None:
    """Return the Range, unless it is for another version of the file than this one (If-Range)."""
    only_if = request.headers.get("if-range")
    if only_if is not None and only_if.strip() != f'"{file.etag}"':
        return None
    return request.headers.get("range")


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
    warning = " ".join(part for part in (error.message + ".", error.hint) if part)
    return no_repository(error.message + (f"; {error.hint}" if error.hint else ""), warning=warning)
