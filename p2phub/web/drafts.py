"""What is dropped into the page: files one by one, until they are published together, or dropped again.

Each is a draft of the node's (`Hub.open_draft`): its files go to the home's own store as they come. A draft that nobody
adds to for a while is given up, and so are all when the node ends.
"""

from __future__ import annotations

import secrets
from typing import Any

import trio

from p2phub import api, limits
from p2phub.errors import HubError
from p2phub.http.exchange import Exchange
from p2phub.http.refusal import Refusal
from p2phub.web import bodies

Json = dict[str, Any]
LOOK_S = 60.0
_LENGTH_DIGITS_MAX = 15


class _Open:
    """A draft that is open: `users` write to it this moment."""

    def __init__(self, now: float) -> None:
        self.draft: api.Draft | None = None
        self.users = 0
        self.used_at = now
        self.given_up = trio.Event()
        self.closed = trio.Event()


class Drafts:
    """The drafts of one page."""

    def __init__(self, hub: api.Hub, nursery: trio.Nursery) -> None:
        self._hub, self._nursery = hub, nursery
        self._open: dict[str, _Open] = {}

    async def open(self) -> str:
        """Open one; return what it is called. Raises Refusal(503), HubError."""
        if len(self._open) >= limits.PAGE_DRAFTS_MAX:
            raise Refusal(503, f"{limits.PAGE_DRAFTS_MAX} drafts are open already: publish them, or drop them")
        number, one = secrets.token_hex(16), _Open(trio.current_time())
        self._open[number] = one
        error: HubError | None = await self._nursery.start(self._keep, number, one)
        if error is not None:
            raise error
        return number

    async def put(self, number: str, path: str, exchange: Exchange) -> Json:
        """Put the body there as a file; it replaces what was there. Raises Refusal, HubError."""
        one = self._one(number)
        if not is_inside(path):
            raise Refusal(400, "a file stands inside of what is published, by a plain path")
        length = exchange.request.headers.get("content-length", "")
        size = int(length) if length.isascii() and length.isdigit() and len(length) <= _LENGTH_DIGITS_MAX else None
        assert one.draft is not None
        one.users += 1
        try:
            sha256 = await one.draft.write(path, exchange.pieces(most=limits.GATEWAY_OBJECT_BYTES_MAX), size=size)
        finally:
            one.users -= 1
            one.used_at = trio.current_time()
        return {"path": path, "sha256": sha256}

    async def publish(self, number: str, asked: bodies.PublishDropped) -> Json:
        """Publish what was put there; the draft is over then. Raises Refusal, HubError: then it can be tried again."""
        one = self._one(number)
        if one.users:
            raise Refusal(409, "some of its files are still coming")
        assert one.draft is not None
        one.users += 1
        try:
            published = await one.draft.publish(**asked.words())
        finally:
            one.users -= 1
            one.used_at = trio.current_time()
        await self._close(number, one)
        return {
            "ref": published.reference,
            "manifest": published.manifest,
            "ticket": published.ticket,
            "remarks": published.remarks,
        }

    async def drop(self, number: str) -> None:
        """Give one up, with all that was put there. Raises Refusal(404)."""
        await self._close(number, self._one(number))

    async def tidy(self) -> None:
        """Give up what nobody adds to any more, until cancelled."""
        while True:
            await trio.sleep(LOOK_S)
            for number, one in list(self._open.items()):
                if not one.users and trio.current_time() - one.used_at >= limits.GATEWAY_UPLOAD_IDLE_S:
                    await self._close(number, one)

    def _one(self, number: str) -> _Open:
        one = self._open.get(number)
        if one is None or one.draft is None:
            raise Refusal(404, "no draft is open by that name: perhaps it was given up, for nothing was added to it")
        return one

    async def _close(self, number: str, one: _Open) -> None:
        self._open.pop(number, None)
        one.given_up.set()
        await one.closed.wait()

    async def _keep(
        self, number: str, one: _Open, *, task_status: trio.TaskStatus[HubError | None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Hold a draft open until it is given up."""
        begun = False
        try:
            async with self._hub.open_draft() as one.draft:
                begun = True
                task_status.started(None)
                await one.given_up.wait()
        except HubError as error:
            if not begun:
                task_status.started(error)
        finally:
            self._open.pop(number, None)
            one.closed.set()


def is_inside(path: str) -> bool:
    """Whether a path stays where it begins; the rest that a manifest asks of paths, publishing says."""
    parts = path.split("/")
    return bool(path) and "\0" not in path and not any(part in ("", ".", "..") for part in parts)
