"""Answer one request of the page: `http.front.Site`, for the paths "/" and "/-/…".

The page and its parts are for whoever reaches the port, and tell nothing; what looks at this home takes what reading
takes, what changes something the token (`http/guard`, T44). Nothing here is told to other origins (T45).
"""

from __future__ import annotations

from typing import Any

import trio

from p2phub import api, limits
from p2phub.http.exchange import CutOff, Exchange, Headers, Request
from p2phub.http.front import Access
from p2phub.http.json_body import json_body
from p2phub.http.refusal import Refusal, no_such_path
from p2phub.web import bodies
from p2phub.web.asked import Ask, AskFile, AskPage, Change, DropDraft, PublishDraft, PutFile, read_request
from p2phub.web.bodies import read_body
from p2phub.web.drafts import Drafts
from p2phub.web.files import Files
from p2phub.web.jobs import Jobs
from p2phub.web.listing import listed
from p2phub.web.models import Models
from p2phub.web.moving import Moving
from p2phub.web.policy import CARD_HEADERS, DATA_HEADERS
from p2phub.web.rows import Rows

ALIVE_S = 15.0
"""A listener to whom nothing is said for so long is told that we are there, and so is found to be gone if it is."""

GONE_LOOK_S = 2.0
SURVEY_FILES_MAX = 1000

Json = dict[str, Any]


class Page:
    """The answers of one page."""

    def __init__(
        self, hub: api.Hub, *, files: Files, jobs: Jobs, moving: Moving, models: Models, rows: Rows, drafts: Drafts
    ) -> None:
        self._hub, self._files = hub, files
        self._jobs, self._moving, self._models, self._rows, self._drafts = jobs, moving, models, rows, drafts

    def access(self, request: Request) -> Access:
        match read_request(request.method, request.target):
            case AskPage() | AskFile():
                return Access.OPEN
            case Ask():
                return Access.READ
        return Access.CHANGE

    async def answer(self, exchange: Exchange, host: str) -> None:
        match read_request(exchange.request.method, exchange.request.target):
            case AskPage():
                await exchange.answer(*self._files.index(exchange.request))
            case AskFile() as asked:
                await exchange.answer(*self._files.part(exchange.request, asked.name, asked.version))
            case Ask(what="card") as asked:
                card = await self._models.card(asked.ref, asked.path)
                await exchange.answer(200, CARD_HEADERS, card.encode("utf-8", "replace"))
            case Ask(what="events"):
                await self._send_events(exchange)
            case Ask() as asked:
                await _tell(exchange, await self._look(asked))
            case Change() as asked:
                body = await exchange.body(most=limits.PAGE_BODY_BYTES_MAX)
                await _tell(exchange, await self._change(asked.what, body))
            case PutFile() as asked:
                await _tell(exchange, await self._drafts.put(asked.draft, asked.path, exchange))
            case PublishDraft() as asked:
                body = await exchange.body(most=limits.PAGE_BODY_BYTES_MAX)
                wanted = read_body(body, bodies.PublishDropped)
                await _tell(exchange, await self._drafts.publish(asked.draft, wanted))
            case DropDraft() as asked:
                await self._drafts.drop(asked.draft)
                await _tell(exchange, {})

    # --- what is looked at --------------------------------------------------------------------------------------------

    async def _look(self, asked: Ask) -> Json:
        match asked.what:
            case "overview":
                return await self._moving.overview()
            case "repositories":
                return await listed(self._hub, asked, held=True)
            case "search":
                return await listed(self._hub, asked, held=False)
            case "peers":
                return await self._moving.peers()
            case "unfinished":
                return _whole(await self._hub.unfinished())
            case "model":
                return await self._models.model(asked.ref)
            case "danger":
                return await self._models.danger(asked.ref, asked.path)
            case "providers":
                return _whole(await self._models.providers(asked.ref))
            case "tensors":
                return await self._models.tensors(asked)
            case "map":
                return await self._models.map(asked.ref)
            case "rows":
                return await self._rows.first(asked.ref, asked.path, asked.limit)
        raise no_such_path()

    async def _send_events(self, exchange: Exchange) -> None:
        """Send the overview as it changes, for as long as the client is there. A slow one holds its own task alone."""
        headers: Headers = [*DATA_HEADERS, ("Content-Type", "text/event-stream"), ("X-Accel-Buffering", "no")]
        with self._moving.listening() as newer:
            await exchange.begin(200, headers, length=None)
            quiet_since = trio.current_time()
            while True:
                event: bytes | None = None
                with trio.move_on_after(GONE_LOOK_S):
                    event = await newer()
                if event is not None:
                    await exchange.send(b"event: overview\ndata: " + event + b"\n\n")
                elif exchange.is_gone():
                    raise CutOff("the page was closed")
                elif trio.current_time() - quiet_since < ALIVE_S:
                    continue
                else:
                    await exchange.send(b": here\n\n")
                quiet_since = trio.current_time()

    # --- what changes something ---------------------------------------------------------------------------------------

    async def _change(self, what: str, body: bytes) -> Json:
        hub, jobs = self._hub, self._jobs
        match what:
            case "check":
                read_body(body, bodies.Nothing)
                return {}
            case "fetch":
                return {"id": jobs.fetch(read_body(body, bodies.Fetch))}
            case "stop":
                jobs.stop(read_body(body, bodies.Stop).id)
                return {}
            case "pin":
                return {"id": jobs.pin(read_body(body, bodies.OfReference).ref)}
            case "unpin":
                await hub.unpin(read_body(body, bodies.OfReference).ref)
                return {}
            case "limit":
                wanted = read_body(body, bodies.Limit)
                limited = await hub.limit(up=wanted.up, down=wanted.down)
                return {name: limited[name] for name in ("up", "down", "by_schedule")}
            case "name":
                named = read_body(body, bodies.NameIt)
                await hub.name_add(named.name, named.ref)
                return {}
            case "survey":
                return await self._survey(read_body(body, bodies.Survey).path)
            case "publish":
                return {"id": jobs.publish(read_body(body, bodies.Publish))}
            case "drop":
                read_body(body, bodies.Nothing)
                return {"id": await self._drafts.open()}
        raise no_such_path()

    async def _survey(self, path: str) -> Json:
        if not path.startswith("/"):
            raise Refusal(400, "`path` is a folder of this machine, by its whole path")
        found = await self._hub.survey(path)
        return {
            "files": found["files"][:SURVEY_FILES_MAX],
            "files_total": len(found["files"]),
            "bytes": found["bytes"],
            "left_out": found["left_out"][:SURVEY_FILES_MAX],
            "refused": found["refused"][:SURVEY_FILES_MAX],
            "refused_because": found["refused_because"],
        }


def _whole(items: list[Json]) -> Json:
    return {"items": items, "cursor": None, "total": len(items)}


async def _tell(exchange: Exchange, told: Json) -> None:
    body = json_body(told)
    await exchange.answer(200, [*DATA_HEADERS, ("Content-Type", "application/json")], body)
