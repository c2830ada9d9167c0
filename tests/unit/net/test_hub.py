"""What a hub of models says comes next, which is asked for as it stands."""

from __future__ import annotations

from typing import cast

import pytest

from p2phub.errors import ProtocolViolation
from p2phub.net.hub import HubHttp
from p2phub.net.mirror_http import MirrorHttp
from p2phub.net.throttle import Throttle
from tests.support.covers import covers


class Says:
    """`MirrorHttp`, whose every page has this `Link`."""

    def __init__(self, link: str | None) -> None:
        self._link = link

    async def page(self, path: str, query: str, *, most: int) -> tuple[bytes, str | None]:
        return b"[]", self._link


async def next_after(link: str | None) -> str | None:
    return (await HubHttp(cast(MirrorHttp, Says(link)), Throttle()).told("api/x", most=10))[1]


async def test_the_query_of_the_next_page_is_taken_and_nothing_else_of_its_url() -> None:
    assert await next_after('<https://elsewhere.example/y?cursor=a%20b&limit=5>; rel="next"') == "cursor=a%20b&limit=5"
    for link in (None, "", '<https://hub.example/y>; rel="next"', '<https://hub.example/y?a=b>; rel="last"'):
        assert await next_after(link) is None


@covers("T15")
@pytest.mark.parametrize("url", ["https://hub.example/?a b", "https://hub.example/?\xe9", "//[?a", "/?a\x7f"])
async def test_a_next_page_that_nobody_could_ask_for_is_the_hubs_fault(url: str) -> None:
    with pytest.raises(ProtocolViolation):
        await next_after(f'<{url}>; rel="next"')
