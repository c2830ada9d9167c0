"""Who may ask how a node is, and what they are told."""

from __future__ import annotations

from typing import Any

import pytest

from p2phub.http.exchange import Request
from p2phub.http.front import Front
from p2phub.http.guard import Door
from p2phub.http.traffic import Traffic
from p2phub.operations.sites import operations_sites, probes
from tests.support.covers import covers
from tests.support.memory_exchange import DOOR, HOST, TOKEN, MemoryExchange
from tests.unit.operations.test_exposition import COUNTERS

OPEN_DOOR = Door("0.0.0.0", 7700, TOKEN)


class Node:
    def __init__(self, reasons: list[str]) -> None:
        self._reasons = reasons

    async def counters(self) -> dict[str, Any]:
        return COUNTERS

    async def readiness(self) -> list[str]:
        return self._reasons


async def ask(
    target: str, method: str = "GET", *, reasons: tuple[str, ...] = (), door: Door = DOOR, **headers: str
) -> MemoryExchange:
    exchange = MemoryExchange(Request(method, target, {"host": HOST, **headers}, "127.0.0.1"))
    traffic = Traffic()
    await Front(door, probes(Node(list(reasons)), traffic, version="1"), traffic).handle(exchange)
    return exchange


async def test_a_node_that_is_well_says_so() -> None:
    for path in ("/healthz", "/readyz", "/readyz?verbose", "/metrics"):
        said = await ask(path)
        assert (said.status, said.headers["cache-control"]) == (200, "no-store")


async def test_one_that_is_not_ready_says_why_and_is_not_restarted_for_it() -> None:
    said = await ask("/readyz", reasons=("store", "address"))
    assert (said.status, said.json) == (503, {"ok": False, "reasons": ["store", "address"]})
    assert (await ask("/healthz", reasons=("store",))).status == 200


async def test_head_asks_without_a_body() -> None:
    assert ((said := await ask("/readyz", "HEAD", reasons=("store",))).status, said.content) == (503, b"")


@covers("T44")
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_nothing_is_changed_there(path: str, method: str) -> None:
    said = await ask(path, method, authorization=f"Bearer {TOKEN}")
    assert (said.status, said.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["/healthz/", "/metrics/x", "/readyz/..", "/metrics%2f"])
async def test_nothing_stands_below_them(path: str) -> None:
    assert (await ask(path)).status == 404


async def test_from_elsewhere_probes_need_no_token_and_metrics_do() -> None:
    assert (await ask("/healthz", door=OPEN_DOOR)).status == 200
    assert (await ask("/readyz", door=OPEN_DOOR)).status == 200
    assert (await ask("/metrics", door=OPEN_DOOR)).status == 401
    assert (await ask("/metrics", door=OPEN_DOOR, authorization=f"Bearer {TOKEN}")).status == 200


@covers("T43", "T45")
async def test_no_page_hears_even_whether_a_node_is_well() -> None:
    for said in ({"host": "evil.example"}, {"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
        assert (await ask("/healthz", **said)).status == 403


async def test_they_open_as_sites_of_a_port() -> None:
    async with operations_sites(Traffic(), version="1")(Node([]), DOOR) as sites:
        assert set(sites) == {"healthz", "readyz", "metrics"}
