"""What stands at the port: which site answers a path, whether who asks may, and how an error is told.

The first part of a path says whose it is: `/v2/…` the site of "v2", `/` alone that of "/", everything that is nobody's
that of "". The path is not decoded for that, so what is encoded is nobody's.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from typing import Protocol, runtime_checkable

from p2phub.api import printable
from p2phub.errors import Damaged, DiskError, HubError, NoProvider, NotFound, NotTrusted, PeerError, UsageError
from p2phub.http.exchange import CutOff, Exchange, Request
from p2phub.http.guard import Door, check_asker, check_origin
from p2phub.http.json_body import json_body
from p2phub.http.refusal import Refusal, no_such_path, with_hint
from p2phub.http.traffic import Traffic

_log = logging.getLogger(__name__)
_RETRY_AFTER_S = "10"


class Access(Enum):
    """What a request takes. `OPEN`: it tells nothing of this home, so whoever reaches the port may have it; `READ`: the
    user whose node it is, or the token; `CHANGE`: the token."""

    OPEN = "open"
    READ = "read"
    CHANGE = "change"


class Site(Protocol):
    """What answers some of the paths."""

    def access(self, request: Request) -> Access:
        """Say what a request takes. Raises Refusal for one that is none."""

    async def answer(self, exchange: Exchange, host: str) -> None:
        """Answer one that may ask; `host` is the Host it named, for absolute URLs. Raises Refusal and HubError as long
        as nothing was said, and CutOff."""


@runtime_checkable
class OwnWords(Protocol):
    """A site whose clients are told errors in a form of its own."""

    async def refuse(self, exchange: Exchange, refusal: Refusal) -> None:
        """Tell a refusal of a path of this site, also of who may not ask. Raises CutOff."""


class Front:
    """The sites of one port, each by the first part of its paths; "/" is the one for
    that path alone, "" the one for the rest."""

    def __init__(self, door: Door, sites: Mapping[str, Site], traffic: Traffic | None = None) -> None:
        self._door = door
        self._sites = sites
        self._traffic = Traffic() if traffic is None else traffic

    async def handle(self, exchange: Exchange) -> None:
        """Answer. Raises CutOff where the answer had begun and cannot go on, or the client is gone."""
        whose = self._whose(exchange.request.target)
        try:
            await self._handle(exchange)
        except CutOff:
            self._traffic.cut += exchange.status != 0
            raise
        except Exception:  # A bug, of which the server tells the client.
            self._traffic.answered(whose, exchange.status or 500)
            raise
        self._traffic.answered(whose, exchange.status)

    async def _handle(self, exchange: Exchange) -> None:
        request = exchange.request
        site = self._sites.get(self._whose(request.target))
        tell = _way_to_refuse(site)
        try:
            host = check_origin(self._door, request)  # Before anything is said of what there is.
            access = self._access(site, request)
            if access is not Access.OPEN:
                check_asker(self._door, request, changes=access is Access.CHANGE)
            if site is None:
                raise no_such_path()
            await site.answer(exchange, host)
        except Refusal as refusal:
            await tell(exchange, refusal)
        except HubError as error:
            _log.info("cannot answer %s %s: %s", request.method, printable(request.target), error)
            await tell(exchange, refusal_of(error))

    def _access(self, site: Site | None, request: Request) -> Access:
        """Also for what is no request to anybody: whether it is one is told to who may ask alone."""
        if site is None:
            return Access.READ
        try:
            return site.access(request)
        except Refusal:
            check_asker(
                self._door, request, changes=request.method not in ("GET", "HEAD", "POST")
            )  # POST may just ask.
            raise

    def _whose(self, target: str) -> str:
        """Return which site a path is of, "" where it is that for the rest, or nobody's."""
        path = target.partition("?")[0]
        first = path if path == "/" else path.removeprefix("/").partition("/")[0]
        return first if first in self._sites else ""


def _way_to_refuse(site: object) -> Callable[[Exchange, Refusal], Awaitable[None]]:
    return site.refuse if isinstance(site, OwnWords) else refuse


def changes_by_method(request: Request) -> bool:
    """Whether the request's method is one for changes."""
    return request.method not in ("GET", "HEAD")


def refusal_of(error: HubError) -> Refusal:
    """Return what a client is told of an error: what may pass is never told as what is not there."""
    message = with_hint(error)
    match error:
        case NoProvider() | PeerError() | NotFound():
            return Refusal(503, message, headers=[("Retry-After", _RETRY_AFTER_S)])
        case NotTrusted():
            return Refusal(403, message)
        case Damaged():
            return Refusal(502, message)
        case UsageError():
            return Refusal(400, message)
        case DiskError():
            return Refusal(507, message)
    return Refusal(503, message)


async def refuse(exchange: Exchange, refusal: Refusal) -> None:
    """Tell a refusal as JSON, and in headers, since an answer to HEAD has no other place for it."""
    headers = [("Content-Type", "application/json"), *((name, _line(value)) for name, value in refusal.headers)]
    if refusal.code is not None:
        headers.append(("X-Error-Code", refusal.code))
    headers.append(("X-Error-Message", _line(refusal.message)))
    await exchange.answer(refusal.status, headers, json_body({**refusal.told, "error": refusal.message}))


def _line(text: str) -> str:
    """Return text as a header can have it."""
    return printable(text, length_max=1024).encode("ascii", "backslashreplace").decode()
