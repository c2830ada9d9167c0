"""What somebody does with a page, with real nodes: find, fetch, watch, cap, stop, publish, pin, look at rows and cards.

Two nodes for all tests of the file; each test has repositories of its own, so that their order does not matter.
"""

from __future__ import annotations

import os
import pickle
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Locator, Page, expect
from safetensors.numpy import save

from p2phub import limits
from tests.support.covers import covers
from tests.support.folders import write_files
from tests.support.page_views import Open, settled
from tests.support.processes import Node, Scene

pytestmark = pytest.mark.page

ARRIVES_MS = 60_000
"""How long a fetch, or a publication, may take to end on a busy machine."""
ROWS = 1000
ATTACKS = """# A card

<script>document.title = "taken"; fetch("https://192.0.2.1/from-script")</script>
<img src="https://192.0.2.1/picture.png" onerror="document.title='taken'">
<iframe src="https://192.0.2.1/frame"></iframe> <svg onload="document.title='taken'"></svg>
<form action="https://192.0.2.1/form"><button>Send it</button></form>
<meta http-equiv="refresh" content="0;url=https://192.0.2.1/meta"><base href="https://192.0.2.1/">
<style>@import url("https://192.0.2.1/style.css"); body { background: url(https://192.0.2.1/ground.png) }</style>

[run](javascript:document.title='taken') ![](https://192.0.2.1/other.png) [away](https://192.0.2.1/away)
"""


class Town:
    """Ann publishes; bob knows her, and his page is looked at. `page` is the address of a node's, with its token."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.ann = scene.node("ann", "--gateway", "127.0.0.1:0")
        self.bob = scene.node("bob", "--gateway", "127.0.0.1:0", bootstrap=[self.ann.address])

    def publish(self, name: str, files: dict[str, bytes], *, of: str = "ann", kind: str = "model") -> str:
        """Have files published; return their reference."""
        folder = self.folder(name, files)
        return str(self.scene.publish(of, folder, name=name, arguments=["--kind", kind])["reference"])

    def folder(self, name: str, files: dict[str, bytes]) -> Path:
        return write_files(self.scene.folder / "published" / name, files)

    def page(self, node: Node, *, with_token: bool = True) -> str:
        title = "ann" if node is self.ann else "bob"
        token = self.scene.gateway_token(title)
        return f"{node.ready['gateway']}/" + (f"#token={token}" if with_token else "")


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("page") / "scene"
    with Scene(folder) as scene:
        yield Town(scene)
    shutil.rmtree(folder, ignore_errors=True)


def test_what_another_node_has_is_fetched_by_its_reference_and_watched_as_it_comes(
    town: Town, open_page: Open, shots: Path
) -> None:
    reference = town.publish("watched", {"model.safetensors": weights(24 * limits.MIB), "README.md": b"# Watched"})
    page = open_page(town.page(town.bob))
    cap(page, "4")
    page.get_by_label("Search models and datasets").fill(reference)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Fetch it").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("watched")
    source = page.get_by_role("row").filter(has_text=town.ann.peer_id[-4:])
    expect(source).to_contain_text(re.compile(r"[kM]B/s"), timeout=ARRIVES_MS)
    far = page.get_by_role("region", name="Progress").locator(".figure")
    expect(far).to_have_text(re.compile(r"^[1-9]\d?\s%$"), timeout=ARRIVES_MS)
    expect(page.locator("main .notice")).to_contain_text(re.compile("cap", re.I))  # Why it is no faster.
    expect(page.get_by_role("slider", name="Tensors of model.safetensors")).to_be_visible(timeout=ARRIVES_MS)
    page.screenshot(path=shots / "real-job.png", full_page=True)
    cap(page, "")
    page.go_back()
    expect(far).to_have_text(re.compile(r"^100\s%$"), timeout=ARRIVES_MS)
    expect(page.locator("main .tag").first).to_have_text("done")
    page.get_by_role("link", name="What it is").click()
    expect(page.get_by_text("All of it is here.")).to_be_visible()
    page.get_by_role("link", name="Tensors").click()
    expect(page.get_by_role("row").filter(has_text="layers.1.weight")).to_contain_text("yes")
    page.screenshot(path=shots / "real-tensors.png", full_page=True)
    page.get_by_label("Search models and datasets").fill("watched")
    page.keyboard.press("Enter")
    expect(page.get_by_role("row").filter(has_text="watched")).to_contain_text("held")


def test_a_fetch_that_is_stopped_keeps_what_came_and_goes_on_when_it_is_fetched_again(
    town: Town, open_page: Open
) -> None:
    reference = town.publish("stopped", {"model.safetensors": weights(12 * limits.MIB)})
    page = open_page(town.page(town.bob))
    cap(page, "1")
    page.get_by_label("Search models and datasets").fill(reference)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Fetch it").click()
    far = page.get_by_role("region", name="Progress").locator(".figure")
    expect(far).to_have_text(re.compile(r"^[1-9]\d?\s%$"), timeout=ARRIVES_MS)
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.locator("main .tag").first).to_have_text("stopped")
    expect(far).not_to_have_text(re.compile(r"^(0|100)\s%$"))
    cap(page, "")
    page.go_back()
    page.get_by_role("button", name="Fetch again").click()
    expect(page.locator("main .tag").first).to_have_text("done", timeout=ARRIVES_MS)


def publish_form(page: Page, folder: Path) -> Locator:
    """The form by path, with the folder's path in it, which suggests a name."""
    page.get_by_role("link", name="Publish", exact=True).click()
    form = page.get_by_role("region", name="A folder on the node’s machine")
    form.get_by_label("Path").fill(str(folder))
    form.get_by_label("Tag").focus()
    return form


def test_a_folder_is_published_by_its_path_after_a_look_at_what_that_takes(town: Town, open_page: Open) -> None:
    folder = town.folder("by-path", {"config.json": b"{}", "model.safetensors": weights(100_000), ".git/HEAD": b"no"})
    page = open_page(town.page(town.ann))
    form = publish_form(page, folder)
    expect(form.get_by_label("Name")).to_have_value("by-path")
    form.get_by_role("button", name="Look first").click()
    expect(form.get_by_role("row").filter(has_text="config.json")).to_contain_text("2\u00a0B")
    expect(form.get_by_text("2 files,")).to_be_visible()
    expect(form.get_by_text("left out")).to_be_visible()
    form.get_by_role("button", name="Publish").click()
    page.get_by_role("link", name="What it is").click(timeout=ARRIVES_MS)
    expect(page.get_by_text("published here")).to_be_visible()
    expect(page.locator("main")).to_contain_text(str(folder))  # It stays where it is.
    page.get_by_role("link", name="Files").click()
    expect(page.get_by_role("row").filter(has_text="model.safetensors")).to_contain_text("yes")


@pytest.mark.parametrize("way", ["picked", "dropped"])
def test_a_folder_that_is_dropped_or_picked_is_published(way: str, town: Town, open_page: Open) -> None:
    content = weights(3 * limits.MIB)
    folder = town.folder(f"Of this browser {way}", {"a b/c#d ü.txt": b"odd", "model.safetensors": content, "e": b""})
    page = open_page(town.page(town.ann))
    page.get_by_role("link", name="Publish", exact=True).click()
    form = page.get_by_role("region", name="A folder of this browser’s machine")
    if way == "picked":
        form.get_by_label("Folder").set_input_files(folder)
    else:
        drop(page, folder)
    expect(form.get_by_text("3 files,")).to_be_visible()
    expect(form.get_by_label("Name")).to_have_value(f"of-this-browser-{way}")
    form.get_by_role("button", name="Publish").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(f"of-this-browser-{way}", timeout=ARRIVES_MS)
    settled(page)
    expect(page.get_by_text("All of it is here.")).to_be_visible()
    page.get_by_role("link", name="Files").click()
    expect(page.get_by_role("rowheader", name="a b/c#d ü.txt", exact=True)).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="model.safetensors")).to_contain_text("3.1")


def test_what_is_published_for_some_is_fetched_by_them_with_its_ticket_and_by_nobody_else(
    town: Town, open_page: Open, shots: Path
) -> None:
    folder = town.folder("for-some", {"config.json": b'{"for": "some"}'})
    page = open_page(town.page(town.ann))
    form = publish_form(page, folder)
    expect(form.get_by_label("Name")).to_have_value("for-some")
    form.get_by_label("Who may fetch it").select_option("Certain nodes")
    form.get_by_label("The peer ids of these nodes").fill(town.bob.peer_id)
    form.get_by_role("button", name="Publish").click()
    page.get_by_role("region", name="Ticket").wait_for(timeout=ARRIVES_MS)
    page.screenshot(path=shots / "real-ticket.png", full_page=True)
    ticket = page.get_by_role("region", name="Ticket").locator("code").get_attribute("title")
    assert ticket is not None
    cy = town.scene.node("cy", "--gateway", "127.0.0.1:0")
    for who, node, ends in (("cy", cy, "failed"), ("bob", town.bob, "done")):
        theirs = open_page(f"{node.ready['gateway']}/#token={town.scene.gateway_token(who)}")
        theirs.get_by_role("link", name="Jobs", exact=True).click()
        theirs.get_by_label("Fetch a reference or ticket").fill(ticket)
        theirs.get_by_role("button", name="Fetch", exact=True).click()
        expect(theirs.locator("main .tag").first).to_have_text(ends, timeout=ARRIVES_MS)


@pytest.mark.parametrize("who", ["Everybody", "Who has its ticket"])
def test_what_is_dropped_is_published_for_whom_it_is_meant(who: str, town: Town, open_page: Open) -> None:
    name = f"dropped-for-{who.split()[0].lower()}"
    page = open_page(town.page(town.ann))
    page.get_by_role("link", name="Publish", exact=True).click()
    form = page.get_by_role("region", name="A folder of this browser’s machine")
    form.get_by_label("Folder").set_input_files(town.folder(name, {"config.json": name.encode()}))
    form.get_by_label("Who may fetch it").select_option(who)
    form.get_by_role("button", name="Publish").click()
    if who == "Everybody":
        expect(page.get_by_role("heading", level=1)).to_contain_text(name, timeout=ARRIVES_MS)
        expect(page.get_by_text("private", exact=True)).to_have_count(0)
    else:
        expect(form.get_by_role("heading", name="Ticket")).to_be_visible(timeout=ARRIVES_MS)
        form.get_by_role("link", name="what it is now").click()
        expect(page.get_by_text("private", exact=True)).to_be_visible()


def test_a_node_that_nobody_told_of_is_asked_by_its_address_and_again_after_it_failed(
    town: Town, open_page: Open, shots: Path
) -> None:
    reference = town.publish("by-address", {"config.json": b"{}"})
    dee = town.scene.node("dee", "--gateway", "127.0.0.1:0")
    page = open_page(f"{dee.ready['gateway']}/#token={town.scene.gateway_token('dee')}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Welcome")  # It holds nothing, and knows nobody.
    maps: list[str] = []
    page.on("request", lambda request: maps.append(request.url) if "/-/api/map" in request.url else None)

    def fetch(*providers: str) -> None:
        page.goto("about:blank")
        page.goto(f"{dee.ready['gateway']}/#/welcome")
        page.get_by_label("Reference or ticket", exact=True).fill(reference)
        if providers:
            page.get_by_text("Ask a certain node first").click()
            page.get_by_label("Its address").fill(" ".join(providers))
        page.get_by_role("button", name="Fetch", exact=True).click()

    fetch("/ip4/192.0.2.7/tcp/4717")
    expect(page.get_by_role("alert").filter(has_text="a provider is named by its address")).to_be_visible()
    page.screenshot(path=shots / "real-wrong-provider.png", full_page=True)
    fetch(town.bob.address)
    expect(page.locator("main .tag").first).to_have_text("failed", timeout=ARRIVES_MS)
    expect(page.locator("main .notice.bad")).to_be_visible()
    page.screenshot(path=shots / "real-failed.png", full_page=True)
    assert maps == []  # Of what nobody told of there is none.
    expect(page.get_by_role("region", name="Chunk map")).to_have_count(0)
    with page.expect_request("**/-/api/fetch") as again:
        page.get_by_role("button", name="Fetch again").click()
    assert again.value.post_data_json["providers"] == [town.bob.address]
    fetch(town.ann.address)
    expect(page.locator("main .tag").first).to_have_text("done", timeout=ARRIVES_MS)
    expect(page.get_by_role("region", name="Chunk map")).to_be_visible()


def test_what_is_held_is_pinned_and_let_go_of(town: Town, open_page: Open) -> None:
    town.publish("to-pin", {"config.json": b"{}"})
    page = open_page(town.page(town.ann))
    page.get_by_role("link", name="Held", exact=True).click()
    page.get_by_role("searchbox", name="Names that hold").fill("to-pin")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Pin to-pin", exact=True).click()
    page.get_by_role("button", name="Unpin to-pin").wait_for()
    page.reload()
    page.get_by_role("button", name="Unpin to-pin").click()
    page.get_by_role("button", name="Pin to-pin", exact=True).wait_for()
    page.reload()
    page.get_by_role("button", name="Pin to-pin", exact=True).wait_for()


def test_the_first_rows_of_a_table_are_shown_where_it_is_not_held(town: Town, open_page: Open, shots: Path) -> None:
    table = pa.table({"id": list(range(ROWS)), "text": [f"row {n} <b>of</b> all" for n in range(ROWS)]})
    folder = town.folder("with-rows", {"README.md": b"# Rows"})
    pq.write_table(table, folder / "train.parquet")
    reference = town.publish("with-rows", {}, kind="dataset")
    page = open_page(town.page(town.bob))
    page.goto(f"{town.bob.ready['gateway']}/#/model/{reference}?part=rows")
    expect(page.get_by_role("row").filter(has_text="row 19 <b>of</b> all")).to_be_visible(timeout=ARRIVES_MS)
    expect(page.get_by_text("The first 20 rows of 1,000")).to_be_visible()
    page.screenshot(path=shots / "real-rows.png", full_page=True)
    page.get_by_role("link", name="Columns").click()
    expect(page.get_by_role("table", name="Columns of with-rows")).to_contain_text("text")
    page.get_by_role("link", name="Chunk map").click()
    expect(page.get_by_role("slider", name="Columns of train.parquet")).to_be_visible()


@covers("T31")
@pytest.mark.parametrize("holds", [True, False])
def test_a_file_that_may_run_code_is_marked_among_the_files(holds: bool, town: Town, open_page: Open) -> None:
    name = f"risky-{'here' if holds else 'elsewhere'}"
    files = {"model.bin": pickle.dumps(os.system), "other.bin": bytes(1000) + name.encode()}
    reference = town.publish(name, files)
    page = open_page(f"{(town.ann if holds else town.bob).ready['gateway']}/#/model/{reference}?part=files")
    expect(page.get_by_role("row").filter(has_text="model.bin")).to_contain_text("may run code", timeout=ARRIVES_MS)
    expect(page.get_by_role("row").filter(has_text="other.bin")).not_to_contain_text("may run code")


@covers("T46")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_card_that_tries_script_does_nothing_in_a_browser(
    scheme: str, town: Town, open_page: Open, shots: Path
) -> None:
    """That no request leaves the page is what `open_page` minds."""
    reference = town.publish(f"attacks-{scheme}", {"README.md": ATTACKS.encode(), "config.json": b"{}"})
    page = open_page(town.page(town.ann), scheme=scheme)
    page.goto(f"{town.ann.ready['gateway']}/#/model/{reference}?part=card")
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading", name="A card")).to_be_visible()
    assert page.locator("iframe").get_attribute("sandbox") == "allow-popups allow-popups-to-escape-sandbox"
    card = page.frames[1]
    assert card.locator("script, iframe, form, svg, base, [onerror], [onload]").count() == 0
    assert [each for each in links(card.locator("a[href]")) if not each.startswith("https://")] == []
    page.screenshot(path=shots / f"real-card-{scheme}.png", full_page=True)
    expect(page).to_have_title(f"attacks-{scheme} · p2phub")
    document = page.request.get(f"{town.ann.ready['gateway']}/-/card?ref={reference}")
    assert document.headers["content-security-policy"].startswith("sandbox")
    assert "script-src" not in document.headers["content-security-policy"]


def test_without_a_token_all_is_shown_and_a_change_asks_for_it(town: Town, open_page: Open) -> None:
    town.publish("asked-for", {"config.json": b"{}"})
    page = open_page(town.page(town.ann, with_token=False))
    page.goto(f"{town.ann.ready['gateway']}/#/held?q=asked-for")
    page.get_by_role("button", name="Pin asked-for", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Token").fill("wrong")
    dialog.get_by_role("button", name="Go on").click()
    expect(dialog.get_by_role("alert")).to_have_text("That is not the token of this node.")
    dialog.get_by_label("Token").fill(town.page(town.ann).partition("#token=")[2])
    dialog.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="Unpin asked-for").wait_for()


def test_the_address_with_the_token_answers_a_page_that_asks_for_it_and_leaves_its_view(
    town: Town, open_page: Open
) -> None:
    town.publish("asked-again", {"config.json": b"[1]"})
    page = open_page(town.page(town.ann, with_token=False))
    page.goto(f"{town.ann.ready['gateway']}/#/held?q=asked-again")
    page.get_by_role("button", name="Pin asked-again", exact=True).click()
    page.get_by_role("dialog").wait_for()
    page.goto(town.page(town.ann))  # Nothing is loaded for it: only what is behind "#" is another.
    page.get_by_role("button", name="Unpin asked-again").wait_for()
    assert page.get_by_role("dialog").count() == 0
    assert page.evaluate("location.hash") == "#/held?q=asked-again"


def cap(page: Page, megabytes: str) -> None:
    """Set how fast the node may receive; "" for no cap."""
    page.get_by_role("link", name="Overview", exact=True).click()
    page.get_by_role("button", name="Set caps").click()
    page.get_by_label("Receiving, MB/s").fill(megabytes)
    page.get_by_role("dialog").get_by_role("button", name="Set").click()
    expect(page.get_by_text(f"Caps: {megabytes}.00\u00a0MB/s down" if megabytes else "Caps: none down")).to_be_visible()


def drop(page: Page, folder: Path) -> None:
    """Drop a folder as a desktop does: the browser is given its path, and makes entries of it."""
    box = page.locator(".zone").bounding_box()
    assert box is not None
    where = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    data = {"items": [], "files": [os.fspath(folder)], "dragOperationsMask": 1}
    session = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "data": data, **where})


def links(found: Locator) -> list[str]:
    return [str(each.get_attribute("href")) for each in found.all()]


def weights(length: int) -> bytes:
    """A safetensors file of two layers, of some `length` bytes."""
    layer = np.frombuffer(os.urandom(length // 2), np.uint8)
    return save({"layers.0.weight": layer, "layers.1.weight": layer[::-1].copy()})
