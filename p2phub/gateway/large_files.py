"""Large files, which come before the commit that has them: each whole as Git LFS has it, or as Xet's chunks.

Both are put to URLs that were granted to who may upload, since clients ask for these without the gateway's token: one
for each file (`batch`), or one for all chunks (`xet_token`). They wait in an `intake`; a commit names a file by its
SHA-256, and `use` puts it there, made of its chunks if that is how it came.
"""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import msgspec
import trio

from p2phub import api, limits
from p2phub.api.recent import keep
from p2phub.gateway.answers import Json
from p2phub.gateway.commits import PutLarge
from p2phub.gateway.intake import Intake, Intakes, nothing_granted
from p2phub.gateway.upload_routes import GRANT_DIGITS, PutObject, PutShard, PutXorb, check_size
from p2phub.gateway.xet import XetFile, Xorb, check_file, decode_chunks, read_shard
from p2phub.http.exchange import Exchange, Headers
from p2phub.http.refusal import Refusal

_GRANT_S = 3600.0


class _Grant(msgspec.Struct, frozen=True):
    """A URL was told to put this file at, until then (trio's clock)."""

    sha256: str
    size: int
    until: float


class LargeFiles:
    """Methods that take an exchange raise Refusal, HubError, CutOff."""

    def __init__(self, intakes: Intakes) -> None:
        self._intakes = intakes
        self._granted: OrderedDict[str, _Grant] = OrderedDict()
        self._shards = trio.Semaphore(limits.GATEWAY_SHARDS_READ_MAX)
        self._threads = trio.CapacityLimiter(2)

    async def use(self, draft: api.Draft, intake: Intake, line: PutLarge) -> None:
        """Put a file that came into a draft of a commit's. Raises as `Draft.use` does where it did not come."""
        file = intake.files.get(line.sha256)
        if not intake.draft.has(line.sha256) and file is not None:
            await self._rebuild(intake, file)
        draft.use(line.path, line.sha256, received_by=intake.draft)

    # --- whole --------------------------------------------------------------------------------------------------------

    async def batch(self, objects: Sequence[object], host: str) -> Json:
        """Tell where to put each of these files; those that are here need not come."""
        async with self._intakes.used() as intake:
            told: list[Json] = []
            for each in objects:
                if not isinstance(each, dict) or not api.is_sha256(str(each.get("oid"))):
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

    async def put_object(self, exchange: Exchange, asked: PutObject) -> Json:
        grant = self._granted.get(asked.grant)
        if grant is None or grant.until < trio.current_time():
            raise nothing_granted()
        async with self._intakes.used() as intake:
            await intake.draft.receive(exchange.pieces(most=grant.size + 1), size=grant.size, sha256=grant.sha256)
        self._granted.pop(asked.grant, None)
        return {}

    # --- as chunks ----------------------------------------------------------------------------------------------------

    async def xet_token(self, host: str) -> tuple[Json, Headers]:
        """Tell where chunks go. The URL is another for each time that what comes is kept: a client counts on it that a
        store has what it was ever given."""
        async with self._intakes.used() as intake:
            url, expires = f"http://{host}/api/xet/{intake.grant}", int(time.time() + _GRANT_S)
            headers = [
                ("X-Xet-Cas-Url", url),
                ("X-Xet-Access-Token", intake.grant),
                ("X-Xet-Token-Expiration", str(expires)),
            ]
            return {"casUrl": url, "accessToken": intake.grant, "exp": expires}, headers

    async def put_xorb(self, exchange: Exchange, asked: PutXorb) -> Json:
        async with self._intakes.of_grant(asked.grant) as intake:
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

    async def put_shard(self, exchange: Exchange, asked: PutShard) -> Json:
        async with self._intakes.of_grant(asked.grant) as intake, self._shards:
            body = await exchange.body(most=limits.GATEWAY_SHARD_BYTES_MAX)

            def read() -> tuple[XetFile, ...]:
                files = read_shard(body)
                for file in files:
                    check_file(file, intake.xorbs)
                return files

            # A million segments take seconds, in which the node would do nothing else.
            intake.keep_files(await trio.to_thread.run_sync(read, limiter=self._threads))
        return {"result": 1}

    async def _rebuild(self, intake: Intake, file: XetFile) -> None:
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
