"""What whoever keeps a node running asks at its port: `/healthz`, `/readyz`, `/metrics`.

    /healthz   200 as long as the daemon's loop answers: a node that does not is stuck, and to be restarted
    /readyz    200 if it can be asked for work; 503 with the reasons if not: restarting it would not help
    /metrics   what it counted, as OpenMetrics or in Prometheus's older text, whichever is asked for

The first two are open to whoever reaches the port, since those who probe have no token, and tell nothing of the home.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

from p2phub.http.exchange import Exchange, Request
from p2phub.http.front import Access, Site
from p2phub.http.guard import Door
from p2phub.http.json_body import json_body
from p2phub.http.refusal import Refusal, no_such_path
from p2phub.http.traffic import Traffic

METRICS, HEALTH, READY = "metrics", "healthz", "readyz"
_JSON = ("Content-Type", "application/json")
_FRESH = ("Cache-Control", "no-store")


class Watched(Protocol):
    """What is asked of a node: `api.Hub`."""

    async def counters(self) -> dict[str, Any]: ...

    async def readiness(self) -> list[str]: ...


Answer = Callable[[Exchange], Awaitable[None]]


class Probe:
    """One of the three paths, and nothing below it."""

    def __init__(self, path: str, access: Access, answer: Answer) -> None:
        self._path, self._access, self._answer = path, access, answer

    def access(self, request: Request) -> Access:
        if request.target.partition("?")[0] != self._path:
            raise no_such_path()
        if request.method not in ("GET", "HEAD"):
            raise Refusal(405, f"{self._path} is read", headers=[("Allow", "GET, HEAD")])
        return self._access

    async def answer(self, exchange: Exchange, host: str) -> None:
        await self._answer(exchange)


def probes(node: Watched, traffic: Traffic, *, version: str) -> Mapping[str, Site]:
    """Return the three sites of a node; `traffic` is what goes over its ports."""

    async def tell_health(exchange: Exchange) -> None:
        await _answer(exchange, 200, {"ok": True})

    async def tell_readiness(exchange: Exchange) -> None:
        reasons = await node.readiness()
        await _answer(exchange, 503 if reasons else 200, {"ok": not reasons, "reasons": reasons})

    async def tell_metrics(exchange: Exchange) -> None:
        from p2phub.operations.exposition import exposition  # A node that nobody asks does without.

        counters = await node.counters()
        accept = exchange.request.headers.get("accept", "")
        content_type, body = exposition(counters, traffic, version=version, accept=accept)
        await exchange.answer(200, [("Content-Type", content_type), _FRESH], body)

    return {
        HEALTH: Probe(f"/{HEALTH}", Access.OPEN, tell_health),
        READY: Probe(f"/{READY}", Access.OPEN, tell_readiness),
        METRICS: Probe(f"/{METRICS}", Access.READ, tell_metrics),
    }


def operations_sites(
    traffic: Traffic, *, version: str
) -> Callable[[Watched, Door], AbstractAsyncContextManager[Mapping[str, Site]]]:
    """Return what opens them: `http.serving.OpenSites`."""

    @asynccontextmanager
    async def opens(node: Watched, door: Door) -> AsyncIterator[Mapping[str, Site]]:
        yield probes(node, traffic, version=version)

    return opens


async def _answer(exchange: Exchange, status: int, told: dict[str, Any]) -> None:
    await exchange.answer(status, [_JSON, _FRESH], json_body(told) + b"\n")
