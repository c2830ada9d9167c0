"""Uploads of unchanged Hugging Face tools: what is asked, one request at a time, up to the commit that publishes.

Nothing is published before a commit, and then all of it or nothing. A commit is a draft of its own, which begins with
the version that its branch is at; small files are in it, large ones came before (`large_files`) and are named in it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any

import msgspec
import trio

from p2phub import api, limits
from p2phub.errors import Malformed, NotFound, UsageError
from p2phub.gateway.absent import ENTRY
from p2phub.gateway.answers import Json
from p2phub.gateway.commits import Delete, Header, PutFile, PutLarge, read_commit
from p2phub.gateway.intake import Intakes
from p2phub.gateway.large_files import LargeFiles
from p2phub.gateway.own_repositories import Head, OwnRepositories
from p2phub.gateway.revisions import MAIN, Tag, parse_revision
from p2phub.gateway.routes import Kind, RepoId, repository
from p2phub.gateway.upload_routes import (
    CommitFiles,
    CreateRepo,
    LfsBatch,
    NameVersion,
    NotOfXet,
    Preupload,
    PutObject,
    PutShard,
    PutXorb,
    Upload,
    ValidateCard,
    XetToken,
    check_size,
)
from p2phub.http.exchange import Exchange, Headers
from p2phub.http.refusal import Refusal, with_hint

_TITLE_MAX = 200
_KINDS = {"model": Kind.MODEL, "dataset": Kind.DATASET}
_LOCAL = "local"  # The organisation of who names none: what `whoami` answers.


@asynccontextmanager
async def open_uploads(hub: api.Hub) -> AsyncIterator[Uploads]:
    """Take uploads for a hub until the end of the block."""
    intakes = Intakes(hub)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(intakes.tidy)
        try:
            yield Uploads(hub, intakes)
        finally:
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                await intakes.close()


class Uploads:
    """Made by `open_uploads`."""

    def __init__(self, hub: api.Hub, intakes: Intakes) -> None:
        self._hub = hub
        self._intakes = intakes
        self._large = LargeFiles(intakes)
        self._own = OwnRepositories(hub)
        self._commits = trio.Semaphore(limits.GATEWAY_COMMITS_MAX)

    def has_created(self, repo: RepoId) -> bool:
        """Return whether a repository was made here and may have nothing yet."""
        return self._own.has_created(repo)

    async def answer(self, exchange: Exchange, asked: Upload, host: str) -> None:
        """Answer one request. Raises Refusal, HubError, CutOff."""
        told, headers = await self._tell(exchange, asked, host)
        await exchange.answer(200, [*headers, ("Content-Type", "application/json")], msgspec.json.encode(told))

    async def _tell(self, exchange: Exchange, asked: Upload, host: str) -> tuple[Json, Headers]:
        match asked:
            case CreateRepo():
                return await self._create(exchange, host), ()
            case ValidateCard():
                await _json(exchange)
                return {"errors": [], "warnings": []}, ()
            case NameVersion():
                return await self._name_version(exchange, asked), ()
            case Preupload():
                return await self._preupload(exchange, asked), ()
            case LfsBatch():
                return await self._batch(exchange, asked, host), ()
            case XetToken():
                await self._own.existing(asked.repo)
                return await self._large.xet_token(host)
            case CommitFiles():
                return await self._commit(exchange, asked, host), ()
            case PutObject():
                return await self._large.put_object(exchange, asked), ()
            case PutXorb():
                return await self._large.put_xorb(exchange, asked), ()
            case PutShard():
                return await self._large.put_shard(exchange, asked), ()
            case NotOfXet():
                raise Refusal(404, "this store has no such thing, and needs none")

    # --- repositories and versions -----------------------------------------------------------------------------------

    async def _create(self, exchange: Exchange, host: str) -> Json:
        said = await _json(exchange)
        kind, name, organization = said.get("type") or "model", said.get("name"), said.get("organization")
        if kind not in _KINDS:
            raise Refusal(400, "this gateway has models and datasets")
        if not isinstance(name, str) or not isinstance(organization, str | None):
            raise Refusal(400, "a repository has a name")
        names = name.split("/") if "/" in name else [organization or _LOCAL, name]
        if len(names) != 2:
            raise Refusal(400, "a repository is called ORG/NAME")
        repo = repository(_KINDS[kind], names)
        told = {"url": _url(host, repo), "name": repo.name, "id": repo.name}
        head = await self._own.head(repo)
        if head.versions:
            raise Refusal(409, f"{repo.name} is there already", told=told)
        self._own.create(repo, private=said.get("private") is True or said.get("visibility") not in (None, "public"))
        return told

    async def _name_version(self, exchange: Exchange, asked: NameVersion) -> Json:
        said = await _json(exchange)
        tag = _tag(asked.branch if asked.branch is not None else said.get("tag"))
        start = asked.revision if asked.branch is None else said.get("startingPoint")
        async with self._own.turn(asked.repo) as head:
            if head.at(tag) is not None:
                raise Refusal(409, f"{asked.repo.name} has {tag} already")
            version = head.version(asked.repo, start if isinstance(start, str) else MAIN)
            if version is None:
                return {}  # Nothing is there yet: the first commit makes it.
            async with self._hub.open_draft(version["manifest"]) as draft:
                await self._publish(draft, asked.repo, head, tag, version["description"])
        return {}

    # --- how files are to come ---------------------------------------------------------------------------------------

    async def _preupload(self, exchange: Exchange, asked: Preupload) -> Json:
        said = await _json(exchange, limits.GATEWAY_PREUPLOAD_BYTES_MAX)
        files = said.get("files")
        if not isinstance(files, list) or len(files) > limits.GATEWAY_COMMIT_FILES_MAX:
            raise Refusal(400, "files are a list of those to be uploaded")
        head = await self._own.existing(asked.repo)
        here = await self._listed(head.at(_tag(asked.revision)))
        told = []
        for file in files:
            if not isinstance(file, dict) or not isinstance(file.get("path"), str):
                raise Refusal(400, "a file to be uploaded has a path and a size")
            is_large = check_size(file.get("size")) > limits.GATEWAY_REGULAR_BYTES_MAX
            answer = {"path": file["path"], "uploadMode": "lfs" if is_large else "regular", "shouldIgnore": False}
            known = here.get(file["path"])
            if known is not None:
                answer["oid"] = known["sha256"] if is_large else known["git_sha1"]
            told.append(answer)
        return {"files": told}

    async def _listed(self, version: Mapping[str, Any] | None) -> dict[str, Mapping[str, Any]]:
        """Return the files of a version by path."""
        if version is None:
            return {}
        info = await self._hub.info(version["manifest"])
        return {file["path"]: file for file in info["files"] or ()}

    async def _batch(self, exchange: Exchange, asked: LfsBatch, host: str) -> Json:
        said = await _json(exchange)
        objects = said.get("objects")
        if said.get("operation") != "upload" or said.get("hash_algo", "sha256") != "sha256":
            raise Refusal(400, "this gateway takes uploads of files by their SHA-256, and nothing else of Git LFS")
        if not isinstance(objects, list):
            raise Refusal(400, "objects are a list of those to be uploaded")
        await self._own.existing(asked.repo)
        return await self._large.batch(objects, host)

    # --- commits -----------------------------------------------------------------------------------------------------

    async def _commit(self, exchange: Exchange, asked: CommitFiles, host: str) -> Json:
        if asked.as_request:
            raise Refusal(403, "there are no pull requests here: what you upload is yours to publish")
        tag, repo = _tag(asked.revision), asked.repo
        # The turn first: those who wait for one take no place from who commits to something else.
        async with (
            self._own.turn(repo) as head,
            self._commits,
            self._intakes.used() as intake,
            AsyncExitStack() as stack,
        ):
            version = head.at(tag)
            body = await stack.enter_async_context(aclosing(exchange.pieces(most=limits.GATEWAY_OBJECT_BYTES_MAX)))
            lines = await stack.enter_async_context(aclosing(read_commit(body)))
            header = await anext(lines)
            assert isinstance(header, Header), "it comes first"
            at = None if version is None else api.commit_of_version(repo.name, version)
            if header.parent is not None and (at is None or not at.startswith(header.parent)):
                raise Refusal(412, f"{repo.name} is at {at}, and not at {header.parent} any more: upload again")
            base = None if version is None else version["manifest"]
            draft = await stack.enter_async_context(self._hub.open_draft(base))
            async for line in lines:
                match line:
                    case PutFile():
                        await draft.write(line.path, _once(line.content), size=len(line.content))
                    case PutLarge():
                        await self._large.use(draft, intake, line)
                    case Delete():
                        draft.remove(line.path)
            title = header.summary.strip().partition("\n")[0][:_TITLE_MAX]
            manifest = await self._publish(draft, repo, head, tag, title)
        oid = api.commit_of(repo.name, api.parse_digest(manifest)[0])
        return {"success": True, "commitOid": oid, "commitUrl": f"{_url(host, repo)}/commit/{oid}", "hookOutput": ""}

    async def _publish(self, draft: api.Draft, repo: RepoId, head: Head, tag: str, title: str) -> str:
        """Publish a draft as a version of a repository; return its manifest."""
        private = self._own.is_private(repo, head)
        if not head.mapped:  # First: who is stopped between the two finds its own name again.
            await self._hub.name_add(repo.name, head.reference)
        try:
            done = await draft.publish(
                name=head.name,
                tag=tag,
                kind=repo.kind.value,
                description=title,
                licence=head.versions[0]["licence"] if head.versions else "",
                private=private,
            )
        except BaseException as error:
            if not head.mapped:
                with trio.CancelScope(shield=True):
                    await self._hub.name_remove(repo.name)
            if isinstance(error, NotFound):
                raise Refusal(404, error.message, code=ENTRY) from error
            if isinstance(error, UsageError | Malformed):
                raise Refusal(400, with_hint(error)) from error
            raise
        self._own.note_published(repo)
        return done.manifest


def _url(host: str, repo: RepoId) -> str:
    """Return where a hub shows a repository to people."""
    prefix = "" if repo.kind is Kind.MODEL else "datasets/"
    return f"http://{host}/{prefix}{repo.name}"


def _tag(revision: object) -> str:
    """Return the tag of p2phub's that a branch is. Raises Refusal(400)."""
    found = parse_revision(revision) if isinstance(revision, str) else None
    if not isinstance(found, Tag) or not found.may_be_released:
        raise Refusal(400, "a branch or tag here has 1 to 64 of a-z 0-9 . _ -, and begins with a letter or digit")
    return found.name


async def _json(exchange: Exchange, most: int = limits.GATEWAY_BODY_BYTES_MAX) -> Json:
    """Return the object that a body is. Raises Refusal(400)."""
    body = await exchange.body(most=most)
    try:
        said = msgspec.json.decode(body) if body else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise Refusal(400, "the body is no JSON") from exc
    if not isinstance(said, dict):
        raise Refusal(400, "the body is no object")
    return said


async def _once(content: bytes) -> AsyncGenerator[bytes, None]:
    yield content
