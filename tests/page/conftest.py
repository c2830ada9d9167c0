"""What tests of the page in a real browser share: the browser, and a page that minds what it asks for and complains of.

Run by `make test-page`, which installs Playwright; the browser is the system's Chromium. Elsewhere nothing of this is
collected. Every page that a test opens is watched: a request that leaves its origin, an exception, and anything that
the Content-Security-Policy stops fail the test.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.support.house import ROOT
from tests.support.page_answers import answers
from tests.support.page_stand_in import Documents, StandIn, documents_of, stand_in
from tests.support.page_views import Open, settled
from tests.support.processes import Scene

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

collect_ignore_glob = [] if find_spec("playwright") else ["test_*"]

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
WAIT_MS = 20_000
"""How long the page may take to show something. Generous: a busy machine is slow, and a wait ends when it is there."""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    assert program, f"none of {', '.join(CHROMIUM)} is installed: `make test-page` says how"
    with sync_playwright() as playwright:
        # As root Chromium's own sandbox does not start. What the page loads is the tests' own.
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=program, args=sandbox)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    contexts, wrong = [], []

    def watched(url: str, *, scheme: str = "light", width: int = 1280, height: int = 900) -> Page:
        context = browser.new_context(
            color_scheme=scheme, viewport={"width": width, "height": height}, reduced_motion="reduce", locale="en-GB"
        )
        contexts.append(context)
        context.set_default_timeout(WAIT_MS)
        page = context.new_page()
        origin = "{0.scheme}://{0.netloc}".format(urlsplit(url))
        page.on(
            "request", lambda request: wrong.append(f"asked {request.url}") if _leaves(request.url, origin) else None
        )
        page.on("pageerror", lambda error: wrong.append(f"raised {error}"))
        page.on(
            "console",
            lambda told: wrong.append(f"said {told.text}") if "Content Security Policy" in told.text else None,
        )
        page.goto(url)
        settled(page)
        return page

    yield watched
    for context in contexts:
        context.close()
    assert not wrong, "\n".join(wrong)


def _leaves(url: str, origin: str) -> bool:
    return not url.startswith((f"{origin}/", "about:", "data:", "blob:"))


@pytest.fixture(scope="session")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Documents]:
    """The page as a real node serves it, headers and all."""
    with Scene(tmp_path_factory.mktemp("page") / "scene") as scene:
        yield documents_of(scene.node("page", "--gateway", "127.0.0.1:0").ready["gateway"])


@pytest.fixture
def node(documents: Documents) -> Iterator[StandIn]:
    """A made-up node that has something of everything."""
    with stand_in(documents, answers()) as node:
        yield node


@pytest.fixture(scope="session")
def shots() -> Path:
    """Where screenshots are kept, to be looked at."""
    folder = Path(os.environ.get("PAGE_SHOTS", ROOT / "build" / "page"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
