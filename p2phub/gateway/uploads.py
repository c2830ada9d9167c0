"""Uploads of unchanged Hugging Face tools: what comes is kept by itself until a commit makes a version of it.

Nothing is published before a commit, and then all of it or nothing. Large files come before that, by themselves or as
Xet's chunks, to URLs that were granted; they wait in a draft that no version comes of, for GATEWAY_UPLOAD_IDLE_S after
the last of them. A commit is a draft of its own, which begins with the version that its branch is at.
"""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any

import msgspec
import trio

from p2phub import api, limits
from p2phub.api.recent import keep
from p2phub.errors import Malformed, NotFound, UsageError
from p2phub.gateway.absent import ENTRY, no_repository, no_revision
from p2phub.gateway.answers import Json
from p2phub.gateway.commits import SHA256, Delete, Header, PutFile, PutLarge, read_commit
from p2phub.gateway.revisions import MAIN, Tag, parse_revision
from p2phub.gateway.revisions import Commit as CommitRevision
from p2phub.gateway.routes import Kind, RepoId, repository
from p2phub.gateway.turns import Turns
from p2phub.gateway.upload_routes import (
    GRANT_DIGITS,
    Commit,
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
from p2phub.gateway.xet import XetFile, Xorb, check_file, decode_chunks, read_shard
from p2phub.http.exchange import Exchange, Headers
from p2phub.http.refusal import Refusal

_GRANT_S = 3600.0
_TITLE_MAX = 200
_KINDS = {"model": Kind.MODEL, "dataset": Kind.DATASET}
_LOCAL = "local"  # The organisation of who names none: what `whoami` answers.

Told = tuple[Json, Headers]


class _Grant(msgspec.Struct, frozen=True):
    """A URL was told to put this file at, until then (trio's clock)."""

    sha256: str
    size: int
    until: float


class _Head(msgspec.Struct, frozen=True):
    """What a branch of a repository is at. `reference` and `name`: of our publisher's; `mapped`: whether the
    repository's name leads there; `versions` as `Hub.repository` tells them, the newest of each tag first."""

    reference: str
    name: str
    mapped: bool
    versions: tuple[Mapping[str, Any], ...]

    def at(self, tag: str) -> Mapping[str, Any] | None:
        return next((each for each in self.versions if (each["tag"] or MAIN) == tag), None)


@asynccontextmanager
async def open_uploads(hub: api.Hub) -> AsyncIterator[Uploads]:
    """Take uploads for a hub until the end of the block."""
    uploads = Uploads(hub)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(uploads.tidy)
        try:
            yield uploads
        finally:
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                await uploads.close()


class Uploads:
    """Made by `open_uploads`."""

    def __init__(self, hub: api.Hub) -> None:
        self._hub = hub
        self._intake: _Intake | None = None
        self._opening = trio.Lock()
        self._granted: OrderedDict[str, _Grant] = OrderedDict()
        self._created: OrderedDict[RepoId, bool] = OrderedDict()  # Whether it is to be private.
        self._turns = Turns()
        self._commits = trio.Semaphore(limits.GATEWAY_COMMITS_MAX)
        self._shards = trio.Semaphore(limits.GATEWAY_SHARDS_READ_MAX)
        self._threads = trio.CapacityLimiter(2)

    def has_created(self, repo: RepoId) -> bool:
        """Return whether a repository was made here and may have nothing yet."""
        return repo in self._created

    async def answer(self, exchange: Exchange, asked: Upload, host: str) -> None:
        """Answer one request. Raises Refusal, HubError, CutOff."""
        told, headers = await self._tell(exchange, asked, host)
        await exchange.answer(200, [*headers, ("Content-Type", "application/json")], msgspec.json.encode(told))

    async def _tell(self, exchange: Exchange, asked: Upload, host: str) -> Told:
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
                return await self._xet_token(asked, host)
            case Commit():
                return await self._commit(exchange, asked, host), ()
            case PutObject():
                return await self._put_object(exchange, asked), ()
            case PutXorb():
                return await self._put_xorb(exchange, asked), ()
            case PutShard():
                return await self._put_shard(exchange, asked), ()
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
        prefix = "" if repo.kind is Kind.MODEL else "datasets/"
        told = {"url": f"http://{host}/{prefix}{repo.name}", "name": repo.name, "id": repo.name}
        head = await self._head(repo)
        if head.versions:
            raise Refusal(409, f"{repo.name} is there already", told=told)
        private = said.get("private") is True or said.get("visibility") not in (None, "public")
        keep(self._created, repo, private, most=limits.GATEWAY_CREATED_MAX)
        return told

    async def _head(self, repo: RepoId) -> _Head:
        """Return what a repository's name leads to here, or would. Raises NotTrusted for what is somebody else's,
        Refusal(403) for what nothing can be uploaded to; clients take 409 for "it is there already"."""
        try:
            own = await self._hub.publishable(repo.name)
        except UsageError as error:
            raise Refusal(403, error.message + (f" ({error.hint})" if error.hint else "")) from error
        versions: tuple[Mapping[str, Any], ...] = ()
        if own["mapped"]:
            versions = tuple((await self._hub.repository(repo.name))["versions"])
        kinds = {each["kind"] for each in versions} - {repo.kind.value}
        if kinds:
            raise Refusal(403, f"{repo.name} is no {repo.kind.value} here, but a {kinds.pop()}")
        return _Head(own["reference"], own["name"], own["mapped"], versions)

    async def _existing(self, repo: RepoId) -> _Head:
        """As `_head`, of one that was made or has something. Raises Refusal(404)."""
        head = await self._head(repo)
        if not head.versions and repo not in self._created:
            raise no_repository(f"{repo.name} stands for nothing here; make it first: hf repos create {repo.name}")
        return head

    @asynccontextmanager
    async def _turn(self, repo: RepoId) -> AsyncIterator[_Head]:
        """Give what a repository is at, which nobody changes from here meanwhile, by whatever name. Raises
        Refusal(404)."""
        reference = (await self._existing(repo)).reference
        async with self._turns.of(reference):
            yield await self._existing(repo)

    async def _name_version(self, exchange: Exchange, asked: NameVersion) -> Json:
        said = await _json(exchange)
        tag = _tag(asked.branch if asked.branch is not None else said.get("tag"))
        start = asked.revision if asked.branch is None else said.get("startingPoint")
        async with self._turn(asked.repo) as head:
            if head.at(tag) is not None:
                raise Refusal(409, f"{asked.repo.name} has {tag} already")
            version = self._version(asked.repo, head, start if isinstance(start, str) else MAIN)
            if version is None:
                return {}  # Nothing is there yet: the first commit makes it.
            async with self._hub.open_draft(version["manifest"]) as draft:
                await self._publish(draft, asked.repo, head, tag, version["description"])
        return {}

    def _version(self, repo: RepoId, head: _Head, revision: str) -> Mapping[str, Any] | None:
        """Return which version a revision is; None for the default branch of a repository that has none. Raises
        Refusal(404)."""
        wanted = parse_revision(revision)
        if isinstance(wanted, Tag):
            found = head.at(wanted.name)
        elif isinstance(wanted, CommitRevision):
            found = next(
                (each for each in head.versions if api.commit_of_version(repo.name, each) == wanted.digits), None
            )
        else:
            found = None
        if found is None and head.versions:
            raise no_revision(f"{repo.name} has no revision {revision[:80]!r} here")
        return found

    # --- how files are to come, and large ones that do ---------------------------------------------------------------

    async def _preupload(self, exchange: Exchange, asked: Preupload) -> Json:
        said = await _json(exchange, limits.GATEWAY_PREUPLOAD_BYTES_MAX)
        files = said.get("files")
        if not isinstance(files, list) or len(files) > limits.GATEWAY_COMMIT_FILES_MAX:
            raise Refusal(400, "files are a list of those to be uploaded")
        head = await self._existing(asked.repo)
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
        await self._existing(asked.repo)
        async with self._used_intake() as intake:
            told: list[Json] = []
            for each in objects:
                if not isinstance(each, dict) or not SHA256.fullmatch(str(each.get("oid"))):
                    raise Refusal(400, "a file to be uploaded has an oid and a size")
                sha256, size = str(each["oid"]), check_size(each.get("size"))
                answer: Json = {"oid": sha256, "size": size}
                if not intake.draft.has(sha256):
                    grant = secrets.token_hex(GRANT_DIGITS // 2)
                    until = trio.current_time() + _GRANT_S
                    keep(self._granted, grant, _Grant(sha256, size, until), most=limits.GATEWAY_OBJECTS_MAX)
                    answer["actions"] = {"upload": {"href": f"http://{host}/api/uploads/{grant}", "header": {}}}
                told.append(answer)
        return {"transfer": "basic", "objects": told}

    async def _put_object(self, exchange: Exchange, asked: PutObject) -> Json:
        grant = self._granted.get(asked.grant)
        if grant is None or grant.until < trio.current_time():
            raise Refusal(403, "nothing is to be put here, or no more")
        async with self._used_intake() as intake:
            await intake.draft.receive(exchange.pieces(most=grant.size + 1), size=grant.size, sha256=grant.sha256)
        self._granted.pop(asked.grant, None)
        return {}

    # --- Xet ---------------------------------------------------------------------------------------------------------

    async def _xet_token(self, asked: XetToken, host: str) -> Told:
        """Tell where chunks go. The URL is another for each time that what comes is kept: a client counts on it that a
        store has what it was ever given."""
        await self._existing(asked.repo)
        async with self._used_intake() as intake:
            url, expires = f"http://{host}/api/xet/{intake.grant}", int(time.time() + _GRANT_S)
            headers = [
                ("X-Xet-Cas-Url", url),
                ("X-Xet-Access-Token", intake.grant),
                ("X-Xet-Token-Expiration", str(expires)),
            ]
            return {"casUrl": url, "accessToken": intake.grant, "exp": expires}, headers

    async def _put_xorb(self, exchange: Exchange, asked: PutXorb) -> Json:
        async with self._of_grant(asked.grant) as intake:
            if asked.hash in intake.xorbs:
                async with aclosing(exchange.pieces(most=limits.GATEWAY_XORB_BYTES_MAX)) as body:
                    async for _ in body:  # To its end: clients that cannot send all do not hear that they need not.
                        pass
                return {"was_inserted": False}
            if len(intake.xorbs) + intake.xorbs_coming >= limits.GATEWAY_XORBS_MAX:
                raise Refusal(413, "too much in one upload")
            xorb = Xorb()

            async def pieces() -> AsyncGenerator[bytes, None]:
                async with aclosing(exchange.pieces(most=limits.GATEWAY_XORB_BYTES_MAX)) as body:
                    async for piece in body:
                        xorb.feed(piece)
                        yield piece
                xorb.end()
                intake.need_chunks(xorb.chunks)  # Here, so that nothing stays of what is refused.

            intake.xorbs_coming += 1
            try:
                sha256 = await intake.draft.receive(pieces())
            finally:
                intake.xorbs_coming -= 1
            if asked.hash in intake.xorbs:  # It came twice at once.
                return {"was_inserted": False}
            intake.keep_chunks(xorb.chunks)
            intake.xorbs[asked.hash] = xorb
            intake.xorb_files[asked.hash] = sha256
        return {"was_inserted": True}

    async def _put_shard(self, exchange: Exchange, asked: PutShard) -> Json:
        async with self._of_grant(asked.grant) as intake, self._shards:
            body = await exchange.body(most=limits.GATEWAY_SHARD_BYTES_MAX)

            def read() -> tuple[XetFile, ...]:
                files = read_shard(body)
                for file in files:
                    check_file(file, intake.xorbs)
                return files

            # A million segments take seconds, in which the node would do nothing else.
            intake.keep_files(await trio.to_thread.run_sync(read, limiter=self._threads))
        return {"result": 1}

    async def _rebuild(self, intake: _Intake, file: XetFile) -> None:
        """Make a file of the chunks that came."""

        async def pieces() -> AsyncGenerator[bytes, None]:
            for segment in file.segments:
                length = 0
                for span in intake.xorbs[segment.xorb].spans(segment.first, segment.end):
                    data = await intake.draft.read(intake.xorb_files[segment.xorb], span.start, span.stop)
                    piece = await trio.to_thread.run_sync(decode_chunks, data, limiter=self._threads)
                    length += len(piece)
                    yield piece
                if length != segment.size:
                    raise Refusal(400, "chunks that a file is made of are not as long as was said")

        await intake.draft.receive(pieces(), size=file.size, sha256=file.sha256)

    # --- commits -----------------------------------------------------------------------------------------------------

    async def _commit(self, exchange: Exchange, asked: Commit, host: str) -> Json:
        if asked.as_request:
            raise Refusal(403, "there are no pull requests here: what you upload is yours to publish")
        tag, repo = _tag(asked.revision), asked.repo
        # The turn first: those who wait for one take no place from who commits to something else.
        async with (
            self._turn(repo) as head,
            self._commits,
            self._used_intake() as intake,
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
                        await self._put_large(draft, intake, line)
                    case Delete():
                        draft.remove(line.path)
            title = header.summary.strip().partition("\n")[0][:_TITLE_MAX]
            manifest = await self._publish(draft, repo, head, tag, title)
        oid = api.commit_of(repo.name, api.parse_digest(manifest)[0])
        prefix = "" if repo.kind is Kind.MODEL else "datasets/"
        return {
            "success": True,
            "commitOid": oid,
            "commitUrl": f"http://{host}/{prefix}{repo.name}/commit/{oid}",
            "hookOutput": "",
        }

    async def _put_large(self, draft: api.Draft, intake: _Intake, line: PutLarge) -> None:
        file = intake.files.get(line.sha256)
        if not intake.draft.has(line.sha256) and file is not None:
            await self._rebuild(intake, file)
        draft.use(line.path, line.sha256, received_by=intake.draft)

    async def _publish(self, draft: api.Draft, repo: RepoId, head: _Head, tag: str, title: str) -> str:
        """Publish a draft as a version of a repository; return its manifest."""
        newest = head.versions[0] if head.versions else None
        private = self._created.get(repo, False) if newest is None else bool(newest["private"])
        if not head.mapped:  # First: who is stopped between the two finds its own name again.
            await self._hub.name_add(repo.name, head.reference)
        try:
            done = await draft.publish(
                name=head.name,
                tag=tag,
                kind=repo.kind.value,
                description=title,
                licence="" if newest is None else newest["licence"],
                private=private,
            )
        except BaseException as error:
            if not head.mapped:
                with trio.CancelScope(shield=True):
                    await self._hub.name_remove(repo.name)
            if isinstance(error, NotFound):
                raise Refusal(404, error.message, code=ENTRY) from error
            if isinstance(error, UsageError | Malformed):
                raise Refusal(400, error.message + (f" ({error.hint})" if error.hint else "")) from error
            raise
        self._created.pop(repo, None)
        return done.manifest

    # --- what waits for a commit -------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _used_intake(self) -> AsyncIterator[_Intake]:
        """Yield what keeps what comes; it stays until the end of the block, and a while longer."""
        async with self._opening:
            if self._intake is None:
                draft = self._hub.open_draft()
                await draft.__aenter__()
                self._intake = _Intake(draft)
            intake = self._intake
            intake.users += 1
        try:
            yield intake
        finally:
            intake.users -= 1
            intake.used_at = trio.current_time()

    @asynccontextmanager
    async def _of_grant(self, grant: str) -> AsyncIterator[_Intake]:
        # Looked at first: who has no grant, as another user of this machine, neither opens a draft nor keeps one open.
        if self._intake is None or not secrets.compare_digest(self._intake.grant, grant):
            raise Refusal(403, "nothing is to be put here, or no more")
        async with self._used_intake() as intake:
            if not secrets.compare_digest(intake.grant, grant):  # It went while we waited.
                raise Refusal(403, "nothing is to be put here, or no more")
            yield intake

    async def tidy(self) -> None:
        """Let go of what was uploaded and not committed, until cancelled."""
        while True:
            await trio.sleep(limits.GATEWAY_UPLOAD_IDLE_S / 8)
            async with self._opening:
                intake = self._intake
                idle = intake is not None and trio.current_time() - intake.used_at >= limits.GATEWAY_UPLOAD_IDLE_S
                if intake is not None and not intake.users and idle:
                    await self._let_go()

    async def close(self) -> None:
        await self._let_go()

    async def _let_go(self) -> None:
        if self._intake is not None:
            intake, self._intake = self._intake, None
            await intake.draft.__aexit__(None, None, None)


class _Intake:
    """A draft of which no version comes: it keeps what others will use. `grant` is what its chunks are put by."""

    def __init__(self, draft: api.Draft) -> None:
        self.draft = draft
        self.grant = secrets.token_hex(GRANT_DIGITS // 2)
        self.users = 0
        self.used_at = trio.current_time()
        self.xorbs: dict[str, Xorb] = {}  # By hash, as clients write it.
        self.xorbs_coming = 0
        self.xorb_files: dict[str, str] = {}
        self.files: dict[str, XetFile] = {}  # By SHA-256.
        self._chunks = 0
        self._segments = 0

    def need_chunks(self, count: int) -> None:
        """Raise Refusal(413) where so many more would be too many."""
        if self._chunks + count > limits.GATEWAY_CHUNKS_MAX:
            raise Refusal(413, "too many chunks in one upload")

    def keep_chunks(self, count: int) -> None:
        """Count chunks that are remembered from now on. Raises Refusal(413) for too many."""
        self.need_chunks(count)
        self._chunks += count

    def keep_files(self, files: Sequence[XetFile]) -> None:
        """Remember what files are made of. Raises Refusal(413) for too much."""
        new = {file.sha256: file for file in files}
        more = sum(1 + len(file.segments) for file in new.values())
        less = sum(1 + len(known.segments) for each in new if (known := self.files.get(each)) is not None)
        if self._segments + more - less > limits.GATEWAY_SEGMENTS_MAX:
            raise Refusal(413, "too many files, or parts of files, in one upload")
        self._segments += more - less
        self.files.update(new)


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
