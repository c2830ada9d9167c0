"""Every view, light and dark, wide and narrow: nothing serious to axe, nothing wider than the screen, and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.support.page_answers import answers
from tests.support.page_stand_in import Documents, StandIn, stand_in
from tests.support.page_views import VIEWS, Open

pytestmark = pytest.mark.page

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
WIDE, NARROW, LEAST = 1280, 360, 320
RULES_MIN = 15
"""How many rules axe finds something to judge by in the plainest view: fewer, and it did not run."""


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_fits_and_axe_finds_nothing_serious(view: str, node: StandIn, open_page: Open, shots: Path) -> None:
    page = open_page(f"{node.url}/{VIEWS[view]}")
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": WIDE, "height": 900})
        found = Axe().run(page).response
        assert len(found["passes"]) >= RULES_MIN
        assert [(wrong["id"], wrong["impact"], wrong["nodes"][0]["html"]) for wrong in found["violations"]] == []
        for width in (WIDE, NARROW, LEAST):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            if width != LEAST:
                page.screenshot(path=shots / f"{view}-{scheme}-{width}.png", full_page=True)


@pytest.mark.parametrize("dialog", ["the caps", "the token"])
def test_axe_finds_nothing_serious_in_a_dialog(dialog: str, node: StandIn, open_page: Open, shots: Path) -> None:
    page = open_page(f"{node.url}/#/")
    if dialog == "the caps":
        page.get_by_role("button", name="Set caps").click()
    else:
        page.get_by_role("button", name="Stop mistral-nemo-12b-instruct").click()
    page.get_by_role("dialog").wait_for()
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        found = Axe().run(page).response
        page.screenshot(path=shots / f"{dialog.replace(' ', '-')}-{scheme}.png")
        assert [(wrong["id"], wrong["nodes"][0]["html"]) for wrong in found["violations"]] == []


def test_a_node_that_holds_nothing_shows_how_to_begin(documents: Documents, open_page: Open, shots: Path) -> None:
    with stand_in(documents, answers(begun=False)) as node:
        page = open_page(f"{node.url}/")
        page.get_by_role("heading", name="Welcome").wait_for()
        page.screenshot(path=shots / "first-run-light.png", full_page=True)
        for place, told in (
            ("#/held", "Nothing is held yet"),
            ("#/peers", "knows nobody yet"),
            ("#/search", "heard of nothing"),
        ):
            page.goto(f"{node.url}/{place}")
            page.get_by_text(told).wait_for()


def test_the_switch_overrules_the_system_and_is_remembered(node: StandIn, open_page: Open) -> None:
    page = open_page(f"{node.url}/")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_label("Colours").select_option("dark")
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    assert page.evaluate(ground) == dark
    page.get_by_label("Colours").select_option("auto")
    assert page.evaluate(ground) == light
