"""The page without a mouse: where the focus goes, and what is said to who does not see it."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.support.page_answers import overview
from tests.support.page_stand_in import StandIn
from tests.support.page_views import VIEWS, Open, settled

pytestmark = pytest.mark.page


def test_the_first_stop_skips_to_the_view(node: StandIn, open_page: Open) -> None:
    page = open_page(f"{node.url}/#/held")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    assert page.url.endswith("#/held")


def test_another_view_takes_the_focus_to_its_heading_and_titles_the_page(node: StandIn, open_page: Open) -> None:
    page = open_page(f"{node.url}/")
    page.get_by_role("link", name="Peers", exact=True).press("Enter")
    expect(page.get_by_role("heading", name="Peers")).to_be_focused()
    expect(page).to_have_title("Peers · p2phub")
    expect(page.get_by_role("link", name="Peers", exact=True)).to_have_attribute("aria-current", "page")
    page.go_back()
    expect(page.get_by_role("heading", name="Overview")).to_be_focused()


def test_another_part_of_a_model_takes_the_focus_to_it_and_scrolls_nothing(node: StandIn, open_page: Open) -> None:
    page = open_page(f"{node.url}/{VIEWS['model-card']}", width=360)
    page.evaluate("scrollTo(0, 200)")
    page.get_by_role("link", name="Files").press("Enter")
    expect(page.get_by_role("heading", name="Files")).to_be_focused()
    settled(page)
    expect(page.get_by_role("heading", name="Files")).to_be_focused()
    assert page.evaluate("scrollY") > 0


def test_a_slash_goes_to_the_search_box_and_enter_searches(node: StandIn, open_page: Open) -> None:
    page = open_page(f"{node.url}/")
    page.keyboard.press("/")
    page.keyboard.type("mini lm")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Search")).to_be_focused()
    assert page.url.endswith("#/search?q=mini%20lm")


def test_a_dialog_keeps_the_focus_and_escape_gives_it_back(node: StandIn, open_page: Open) -> None:
    page = open_page(f"{node.url}/")
    button = page.get_by_role("button", name="Set caps")
    button.press("Enter")
    expect(page.get_by_label("Receiving, MB/s")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(button).to_be_focused()


def test_more_of_a_list_takes_the_focus_to_what_is_new(node: StandIn, open_page: Open) -> None:
    page = open_page(f"{node.url}/#/search")
    page.get_by_role("button", name="Show more").press("Enter")
    expect(page.get_by_text("60 shown")).to_be_visible()
    expect(page.locator("tbody tr").nth(30).get_by_role("link")).to_be_focused()


def test_arrows_go_from_tensor_to_tensor_of_a_map(node: StandIn, open_page: Open) -> None:
    page = open_page(f"{node.url}/{VIEWS['model-map']}")
    strip = page.get_by_role("slider", name="Tensors of model.safetensors")
    strip.focus()
    for key in ("Home", "ArrowRight"):
        page.keyboard.press(key)
    told = "embeddings.word_embeddings.weight: 46.9\u00a0MB, here"
    expect(strip).to_have_attribute("aria-valuetext", told)
    expect(page.get_by_text(told)).to_be_visible()
    page.keyboard.press("End")
    expect(strip).to_have_attribute("aria-valuetext", "pooler.dense.weight: 590\u00a0kB, not here")


def test_progress_is_told_politely_by_quarters_and_at_the_end(node: StandIn, open_page: Open) -> None:
    now = overview()
    job = now["jobs"][0]
    node.answers = {**node.answers, "overview": lambda query: now}
    page = open_page(f"{node.url}/")
    said = page.get_by_role("status")
    expect(said).to_be_empty()
    assert said.get_attribute("aria-live") == "polite"
    for done, told in ((0.45, ""), (0.51, "mistral-nemo-12b-instruct: 51\u00a0%")):
        job["done_bytes"] = int(done * job["total_bytes"])
        node.tell()
        expect(page.locator(".job .part").first).to_have_text(f"{done:.0%}".replace("%", "\u00a0%"))
        expect(said).to_have_text(told)
    job["state"] = "done"
    node.tell()
    expect(said).to_have_text("mistral-nemo-12b-instruct: done")


def test_what_moves_leaves_the_focus_where_it_is(node: StandIn, open_page: Open) -> None:
    now = overview()
    node.answers = {**node.answers, "overview": lambda query: now}
    page = open_page(f"{node.url}/")
    stop = page.get_by_role("button", name="Stop mistral-nemo-12b-instruct")
    stop.focus()
    now["jobs"][0]["rate"] = 12_300_000
    now["jobs"].insert(0, now["jobs"].pop(1))
    node.tell()
    expect(page.get_by_text("at 12.3\u00a0MB/s")).to_be_visible()
    expect(stop).to_be_focused()
    settled(page)
