"""A hub of models, asked over HTTP as its own clients ask it: what it tells as JSON, page by page, and files by ranges.

All that `mirror_http` says of a web server holds here: bounded answers, redirects checked one by one, a token told to
the hub itself and to nobody whom it redirects to. Source: the Hugging Face hub's API as huggingface_hub 2.4 uses it.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from p2phub.errors import NotFound, PeerError, ProtocolViolation
from p2phub.net.interface import Take
from p2phub.net.mirror_http import Absent, MirrorHttp
from p2phub.net.throttle import Throttle

_NEXT = re.compile(r'<([^<>]{1,8192})>\s*;\s*rel="?next"?')
_QUERY = re.compile(r"[!-~]+")  # What a request may have in its first line.


class HubHttp:
    """`net.interface.Hub`."""

    def __init__(self, http: MirrorHttp, down: Throttle) -> None:
        self._http = http
        self._down, self._flow = down, down.flow("upstream hub")

    async def told(self, path: str, query: str = "", *, most: int) -> tuple[bytes, str | None]:
        try:
            body, link = await self._http.page(path, query, most=most)
        except Absent as absent:
            raise _nothing(path) from absent
        return body, _next_query(link or "")

    async def span(self, path: str, start: int, stop: int, *, size: int, take: Take) -> None:
        async def take_capped(piece: bytes | bytearray) -> None:
            if self._down.is_limited:
                await self._down.pass_through(self._flow, len(piece))
            await take(piece)

        try:
            await self._http.span(path, start, stop, size=size, take=take_capped)
        except Absent as absent:
            if absent.changed:
                raise PeerError(f"the hub has another version of {path} by now") from absent
            raise _nothing(path) from absent

    async def aclose(self) -> None:
        await self._http.aclose()


def _next_query(link: str) -> str | None:
    """Return what a `Link` header asks for next. Raises ProtocolViolation for what nobody could ask."""
    found = _NEXT.search(link)
    try:
        query = "" if found is None else urlsplit(found[1]).query
    except ValueError as exc:
        raise ProtocolViolation("it names a next page that is no URL") from exc
    if query and not _QUERY.fullmatch(query):
        raise ProtocolViolation("it names a next page that is no URL")
    return query or None


def _nothing(path: str) -> NotFound:
    return NotFound(
        f"the hub has nothing for us at {path}", hint="it may want a token, or to be asked for access first"
    )
