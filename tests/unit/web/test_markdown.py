"""A model card shows what its author wrote, and nothing of it is markup, runs, or asks for anything."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2phub import limits
from p2phub.web.markdown import card_document, pictures_of
from p2phub.web.policy import CARD_CONTENT_POLICY
from tests.support.covers import covers

TAGS = {
    "a", "blockquote", "body", "br", "code", "details", "em", "h1", "h2", "h3", "h4", "h5", "h6", "head", "hr", "html",
    "img", "li", "meta", "ol", "p", "pre", "s", "strong", "style", "summary", "table", "tbody", "td", "th", "thead",
    "title", "tr", "ul",
}  # fmt: skip
ATTRIBUTES = {
    "a": {"href", "target", "rel"},
    "img": {"src", "alt"},
    "html": {"lang"},
    "meta": {"charset", "http-equiv", "content", "name"},
    "code": {"class"},
    "ol": {"start"},
    "th": {"class"},
    "td": {"class"},
}


class Seen(HTMLParser):
    """What a browser would make of a document."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(document)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def seen(text: str, **more: str) -> Seen:
    return Seen(card_document(text, title="README.md", pictures=more))


def check_harmless(document: str) -> None:
    found = Seen(document)
    for tag, attributes in found.tags:
        assert tag in TAGS, f"<{tag}> came through"
        assert set(attributes) <= ATTRIBUTES.get(tag, set()), f"<{tag} {attributes}> came through"
    for link in found.of("a"):
        assert link.get("href", "https:").split(":")[0].lower() in ("http", "https", "mailto")  # type: ignore[union-attr]
    for picture in found.of("img"):
        assert (picture["src"] or "").startswith("data:image/")
    assert [meta for meta in found.of("meta") if meta.get("http-equiv")] == [
        {"http-equiv": "Content-Security-Policy", "content": CARD_CONTENT_POLICY}
    ]
    assert len(found.of("style")) == 1


HOSTILE = [
    "<script>alert(1)</script>",
    "text <script src=https://evil.example/x.js></script>",
    "<img src=x onerror=alert(1)>",
    "a <img src=x onerror=alert(1)> b",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java\tscript:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "<javascript:alert(1)>",
    "[x](vbscript:x)",
    "[x](data:text/html,<script>alert(1)</script>)",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "![x](data:text/html,<script>alert(1)</script>)",
    "![x](data:image/svg+xml,<svg onload=alert(1)>)",
    "![x](javascript:alert(1))",
    "![x](https://evil.example/track.png)",
    '<meta http-equiv="refresh" content="0;url=https://evil.example/">',
    "<svg onload=alert(1)><script>alert(1)</script></svg>",
    "<svg><style>@import 'https://evil.example/x.css'</style></svg>",
    "<style>body{background:url(https://evil.example/)}</style>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<object data=x></object><embed src=x><base href=https://evil.example/><form action=https://evil.example/>",
    "<link rel=stylesheet href=https://evil.example/x.css>",
    "<a href=javascript:alert(1)>x</a>",
    "[x]: javascript:alert(1)\n\n[x]\n\n![y][x]",
    '[x](https://e.example/ "onmouseover=alert(1)")',
    "[x](https://e.example/\"onmouseover='alert(1)')",
    '```"><script>alert(1)</script>\nx\n```',
    '![x" onerror="alert(1)](picture.png)',
    "---\n</pre><script>alert(1)</script>\n---\n# x",
    "<details open ontoggle=alert(1)>x</details>",
    "<math><mi//xlink:href='data:x,<script>alert(1)</script>'>",
    "<!--><script>alert(1)</script>-->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "<?php <script>alert(1)</script> ?>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "| <script> | b |\n|---|---|\n| <img src=x onerror=1> | [x](javascript:1) |",
    "<scr<script>ipt>alert(1)</script>",
    "</body></html><script>alert(1)</script>",
    "\x00<scr\x00ipt>alert(1)</script>",
]


@covers("T46")
@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_that_an_author_wrote_is_markup(text: str) -> None:
    check_harmless(card_document(text, title="README.md", pictures={"picture.png": "data:image/png;base64,AAAA"}))
    check_harmless(card_document(f"# A card\n\n> - x\n>   {text}\n", title=text))


@covers("T46")
@given(st.lists(st.sampled_from([*HOSTILE, "<", ">", '"', "'", "`", "[", "](", ")", "!", "&", "\n", "\n\n", "---\n"])))
def test_nothing_is_markup_however_it_is_put_together(parts: list[str]) -> None:
    check_harmless(card_document("".join(parts), title="README.md"))


def test_a_card_is_shown_with_its_headings_tables_code_and_links() -> None:
    found = seen(
        "# One\n\n* a\n* b\n\n|x|y|\n|-|-|\n|1|2|\n\n`code` ~~gone~~\n\n```py\nprint('<b>')\n```\n<https://e.example/>"
    )
    assert [len(found.of(tag)) for tag in ("h1", "li", "td", "s", "pre")] == [1, 2, 2, 1, 1]
    assert found.of("a") == [{"href": "https://e.example/", "target": "_blank", "rel": "noopener noreferrer nofollow"}]
    assert "print('<b>')" in found.text


def test_columns_of_a_table_are_aligned_by_classes_of_the_cards_own_sheet() -> None:
    found = seen("|a|b|c|d|\n|-|:-|:-:|-:|\n|1|2|3|4|")
    for cell in ("th", "td"):
        assert found.of(cell) == [{}, {"class": "left"}, {"class": "center"}, {"class": "right"}]
    assert ".center{text-align:center}" in found.text
    assert ".right{text-align:right}" in found.text


@pytest.mark.parametrize(
    "address", ["other.md", "#part", "/x", "//e.example/", "ftp://e.example/", "p2phub:x", "tel:1"]
)
def test_links_lead_to_web_pages_and_nothing_else(address: str) -> None:
    found = seen(f"[words]({address}) <mailto:a@b.example>")
    assert [link.get("href") for link in found.of("a")] == [None, "mailto:a@b.example"]
    assert "words" in found.text


def test_what_markup_encloses_stays_as_text() -> None:
    found = seen('<div align="center"><b>Bold &amp; centred</b><br></div>\n\nA <sub>small</sub> line<br>and more')
    assert "Bold & centred" in found.text
    assert "A small line" in found.text
    assert len(found.of("br")) == 1


def test_metadata_is_folded_up_and_no_part_of_the_card() -> None:
    found = seen("---\nlicense: mit\n---\n# A card\n")
    assert found.of("details") == [{}]
    assert "license: mit" in found.text
    assert len(found.of("h1")) == 1
    assert not found.of("hr")


def test_pictures_of_the_repository_are_shown_and_others_are_links() -> None:
    text = "![one](./img/a.png) ![two](img/b.png) ![three](https://e.example/c.png) [![badge](https://e.example/d)](https://f.example/)"
    assert pictures_of(text) == ["img/a.png", "img/b.png"]
    found = Seen(card_document(text, title="x", pictures={"img/a.png": "data:image/png;base64,AAAA"}))
    assert found.of("img") == [{"src": "data:image/png;base64,AAAA", "alt": "one"}]
    assert [link["href"] for link in found.of("a")] == ["https://e.example/c.png", "https://f.example/"]
    assert "two" in found.text


@pytest.mark.parametrize(
    "source", ["../x.png", "/etc/passwd", "a/../../x.png", "file:///etc/passwd", "//e.example/x.png", "", "."]
)
def test_no_picture_is_looked_for_outside_of_the_repository(source: str) -> None:
    assert pictures_of(f"![x]({source})") == []


def test_there_are_bounds_on_pictures_and_lines() -> None:
    assert len(pictures_of("".join(f"![x]({n}.png)\n" for n in range(100)))) == limits.CARD_PICTURES_MAX
    assert len(card_document("a" * limits.CARD_BYTES_MAX, title="x")) < limits.CARD_BYTES_MAX


def test_a_card_that_is_cut_says_so() -> None:
    assert "left out" in card_document("# x", title="x", is_cut=True)


@covers("T46")
def test_a_card_that_is_hard_to_read_is_shown_as_it_was_written() -> None:
    hard = "![<script>\n" * (limits.CARD_BRACKETS_MAX + 1)
    shown = card_document(hard, title="x")
    assert "shown as it was written" in shown
    assert "<script>" not in shown
    assert shown.count("![&lt;script&gt;") == limits.CARD_BRACKETS_MAX + 1
    assert pictures_of("![a](a.png)\n" * (limits.CARD_BRACKETS_MAX + 1)) == []


@covers("T46")
@pytest.mark.parametrize(
    "hard",
    [
        ("|a" * 256 + "\n" + "|-" * 256 + "\n" + "a\n" * 255 + "\n") * 4,  # Each row gets all cells.
        ">" * 19 + "a\n" + "|\n" * 16_000,  # Each level reads all of it.
        "> - " * 9 + "a\n" + "b\n" * 16_000,
        "- " * 9 + "a\n" + "b\n" * 16_000,
    ],
    ids=["tables", "quotes", "quotes and lists", "lists"],
)
def test_a_card_whose_lines_are_read_many_times_is_shown_as_it_was_written(hard: str) -> None:
    assert len(hard) < limits.CARD_BYTES_MAX
    assert "shown as it was written" in card_document(hard, title="x")
    assert pictures_of(hard + "\n\n![a](a.png)\n") == []


@pytest.mark.parametrize(
    "ordinary",
    [
        "# Results\n\n" + "|a" * 20 + "|\n" + "|-" * 20 + "|\n" + ("|1.0" * 20 + "|\n") * 500,
        "Some words of a line, as people write them, and some more.\n" * 2000,
        "```\n" + "cat file | sort | uniq -c | sort -n\n" * 2000 + "```\n",
        "- one\n  - two\n    - three\n" * 1000,
        "> a quote\n> of two lines\n\n" * 2000,
    ],
    ids=["table", "words", "code", "lists", "quotes"],
)
def test_a_long_card_is_no_hard_one(ordinary: str) -> None:
    assert "shown as it was written" not in card_document(ordinary, title="x")


def test_a_picture_in_a_link_is_words_of_that_link_and_one_behind_it_a_link() -> None:
    text = "[![in](https://a.example/x.png)](https://b.example) ![out](https://c.example/y.png)"
    shown = card_document(text, title="x")
    assert "https://a.example" not in shown
    assert shown.count("https://b.example") == shown.count("https://c.example") == 1
