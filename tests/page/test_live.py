"""What the page makes of what it is told: live, broken off, hostile; and the few sums that it does by itself."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.support.covers import covers
from tests.support.page_answers import item, model, overview, page_of
from tests.support.page_stand_in import StandIn
from tests.support.page_views import VIEWS, Open, settled

pytestmark = pytest.mark.page

HOSTILE = "<img src=x onerror=document.title='taken'><script>document.title='taken'</script>"


def test_a_node_that_went_away_is_said_and_found_again(node: StandIn, open_page: Open) -> None:
    page = open_page(f"{node.url}/")
    state = page.locator("#state")
    expect(state).to_contain_text("61.5\u00a0MB/s")
    node.ended = True
    node.tell()
    expect(state).to_have_text("The node does not answer; asking again")
    node.ended = False
    expect(state).to_contain_text("61.5\u00a0MB/s")


@covers("T46")
def test_what_strangers_wrote_is_shown_as_text_in_every_view(node: StandIn, open_page: Open) -> None:
    now = overview()
    for job in now["jobs"]:
        job |= {"name": HOSTILE, "why": HOSTILE, "error": HOSTILE, "hint": HOSTILE}
        for source in job["sources"]:
            source |= {"peer_id": HOSTILE, "address": HOSTILE, "kind": HOSTILE, "note": HOSTILE}
    held = {**item(0), "name": HOSTILE, "title": HOSTILE, "licence": HOSTILE, "origin": HOSTILE}
    what = model(HOSTILE) | {"name": HOSTILE, "description": HOSTILE, "licence": HOSTILE, "folder": HOSTILE}
    for file in what["files"]:
        file |= {"path": f"{HOSTILE}.parquet", "danger": HOSTILE}
    node.answers = {
        **node.answers,
        "overview": lambda query: now,
        "repositories": lambda query: page_of(1, query, lambda number: held),
        "search": lambda query: page_of(1, query, lambda number: held | {"held": True}),
        "model": lambda query: what,
        "rows": lambda query: {
            "columns": [{"name": HOSTILE, "type": HOSTILE}], "columns_total": 1, "rows": [[HOSTILE]], "total": 1,
            "cut": False,
        },
    }  # fmt: skip
    page = open_page(f"{node.url}/")
    for place in VIEWS.values():
        page.goto("about:blank")
        page.goto(f"{node.url}/{place}")
        settled(page)
        assert page.locator("main img, main script").count() == 0
        assert "taken" not in page.title().removeprefix(HOSTILE)
    page.goto(f"{node.url}/#/held")
    expect(page.get_by_text(HOSTILE).first).to_be_visible()


def test_a_refusal_is_shown_in_the_words_of_the_node(node: StandIn, open_page: Open) -> None:
    node.answers = {name: answer for name, answer in node.answers.items() if name != "model"}
    page = open_page(f"{node.url}/{VIEWS['model-files']}")
    expect(page.get_by_role("alert")).to_have_text("nothing is made up for model")


def test_the_token_leaves_the_address_bar_and_goes_along_with_what_is_asked(node: StandIn, open_page: Open) -> None:
    page = open_page(f"{node.url}/#token=s3cret")
    assert page.evaluate("location.href") == f"{node.url}/#/"
    with page.expect_request("**/-/api/repositories**") as asked:
        page.get_by_role("link", name="Held", exact=True).click()
    assert asked.value.headers["authorization"] == "Bearer s3cret"


SUMS = {
    "size(811)": "811\u00a0B",
    "size(45_200_000)": "45.2\u00a0MB",
    "size(1_310_000_000)": "1.31\u00a0GB",
    "size(null)": "–",
    "percent(999, 1000)": "99\u00a0%",
    "percent(1, 1000)": "<\u00a01\u00a0%",
    "percent(5, 0)": "–",
    "duration(99)": "99\u00a0s",
    "duration(187)": "3:07",
    "duration(7387)": "2:03:07",
    "plural(12000, 'file')": "12,000 files",
}


def test_numbers_are_as_the_command_line_has_them(node: StandIn, open_page: Open) -> None:
    page = open_page(f"{node.url}/")
    assert {text: worked_out(page, "units.js", text) for text in SUMS} == SUMS


MAPS = {
    # Two rows of 10 px for 200 bytes: 10 bytes a pixel, and what begins in one row goes on in the next.
    "pieces(0, 50, {bytes: 200, rows: 2, width: 10})": [[0, 0, 5]],
    "pieces(50, 150, {bytes: 200, rows: 2, width: 10})": [[0, 5, 5], [1, 0, 5]],
    "heldIn([[0, 10], [20, 40]], 5, 30)": 15,
    "heldIn([], 0, 10)": 0,
    "shade('encoder.layer.3.norm')": "odd",
    "shade('model.layers.12.mlp')": "even",
    "shade('blk.7.attn_q.weight')": "odd",
    "shade('lm_head.weight')": "other",
    "spansOf({size: 10, tensors: [{name: 'a', start: 2, stop: 6, count: 1}]}).map((s) => [s.start, s.stop])": [
        [0, 2], [2, 6], [6, 10],
    ],
    "spansOf({size: 10, tensors: []}).map((s) => s.name)": ["the file"],
}  # fmt: skip


def test_a_map_is_drawn_where_its_bytes_are(node: StandIn, open_page: Open) -> None:
    page = open_page(f"{node.url}/")
    assert {text: worked_out(page, "chunk-map.js", text) for text in MAPS} == MAPS


def worked_out(page: Page, module: str, text: str) -> object:
    """Return what a call of a module's function gives in the browser."""
    name = text.partition("(")[0]
    found: object = page.evaluate(f"import('/-/static/{module}').then(({{ {name} }}) => {text})")
    return found
