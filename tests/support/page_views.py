"""The views of the page, how a test opens one in a browser, and when one is there to be looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

from tests.support.page_answers import REFERENCE

if TYPE_CHECKING:
    from playwright.sync_api import Page

_MODEL = f"#/model/{quote(REFERENCE, safe='')}"
VIEWS = {
    "overview": "#/",
    "held": "#/held",
    "search": "#/search?q=minilm",
    "search-reference": "#/search?q=p2phub%3Amfrggzdfmy",
    "jobs": "#/jobs",
    "job": "#/jobs/j1",
    "publish": "#/publish",
    "peers": "#/peers",
    "welcome": "#/welcome",
    **{
        f"model-{part}": f"{_MODEL}?part={part}"
        for part in ("card", "files", "rows", "tensors", "map", "versions", "providers")
    },
}
"""Each view of the page, by what stands behind "#" in its address."""


class Open(Protocol):
    """Opens `url` in a page of its own context, which is watched until the test ends (tests/page/conftest.py)."""

    def __call__(self, url: str, *, scheme: str = "light", width: int = 1280, height: int = 900) -> Page: ...


def settled(page: Page) -> None:
    """Return once the view, and the part of it that is shown, have what they asked for."""
    page.locator("main:not([aria-busy]) h1").wait_for()
    page.locator("[aria-busy]").first.wait_for(state="detached")
