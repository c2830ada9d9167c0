"""A model card as HTML: headings, lists, tables, code, links. Nothing of what its author wrote is passed on as markup.

The text is a stranger's. Markup in it is told from text only to leave it out: what it encloses stays, as text, and its
tags go. Links lead to web pages and nothing else, in a window of their own that is told nothing; a picture is shown if
it is in the repository and whoever asks hands it in, else there is a link. What begins a card as metadata is folded up.
Pure; it takes some milliseconds for a card, and how much is read is bounded, as is how deep it nests.
Source: CommonMark, with tables and strikethrough of GFM; docs/threat-model.md, T46.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from html import escape, unescape
from typing import Any
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

from p2phub import limits
from p2phub.web.policy import CARD_CONTENT_POLICY, CARD_STYLE

_TAG = re.compile(r"<[^<>]*>")
_LEFT_OUT = re.compile(
    r"<(script|style|title|textarea|iframe|svg|math|template)\b.*?(</\1\s*>|\Z)", re.IGNORECASE | re.DOTALL
)
_METADATA = re.compile(r"\A---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*$\n?", re.DOTALL | re.MULTILINE)

_MARKS = re.compile(r"[ \t>*+-]*")

_LINKED = "linked"
"""Marks a picture within a link: it is that link's words."""

Pictures = Mapping[str, str]
"""`data:` URLs by path in the repository."""


def card_document(text: str, *, title: str, pictures: Pictures | None = None, is_cut: bool = False) -> str:
    """Return a whole HTML document that shows a card. `pictures`: those of `pictures_of` that are to be shown."""
    metadata, text = _split(text)
    folded = f"<details><summary>Metadata</summary><pre>{escape(metadata)}</pre></details>" if metadata.strip() else ""
    cut = "<p><em>The rest is left out: it is very long.</em></p>" if is_cut else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" '
        f'content="{escape(CARD_CONTENT_POLICY)}"><meta name="referrer" content="no-referrer">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
        f"<style>{CARD_STYLE}</style></head><body>{folded}{_html(text, pictures or {})}{cut}</body></html>"
    )


def pictures_of(text: str) -> list[str]:
    """Return the paths of a repository's own files that its card wants to show, CARD_PICTURES_MAX at most."""
    found: dict[str, None] = {}
    card = _split(text)[1]
    for token in () if _is_too_hard(card) else _tokens(card):
        for child in token.children or ():
            if child.type == "image" and (path := _path_of(str(child.attrs.get("src", "")))) is not None:
                found[path] = None
    return list(found)[: limits.CARD_PICTURES_MAX]


def _split(text: str) -> tuple[str, str]:
    """Return the metadata of a card, and the rest."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    text = "\n".join(line[: limits.CARD_LINE_LETTERS_MAX] for line in text.split("\n"))
    found = _METADATA.match(text)
    return (found[1], text[found.end() :]) if found is not None else ("", text)


def _html(text: str, pictures: Pictures) -> str:
    if _is_too_hard(text):
        return f"<p><em>This is shown as it was written: it has too much markup.</em></p><pre>{escape(text)}</pre>"
    told: str = _PARSER.renderer.render(_tokens(text), _PARSER.options, {"pictures": pictures})
    return told


def _is_too_hard(text: str) -> bool:
    """Whether a card takes seconds to read: each bracket that nothing closes is looked after to its paragraph's end, a
    row of a table gets as many cells as the widest, and each level of quotes and lists reads all that follows without
    its mark. So a line weighs as much as the heaviest before it in its paragraph."""
    weight = sum_of_all = 0
    for line in text.split("\n"):
        marks = _MARKS.match(line)
        assert marks is not None, "it may be empty"
        heavy = 1 + line.count("|") + len(marks[0].replace(" ", ""))
        weight = max(weight, heavy) if line.strip() else 0
        sum_of_all += weight
    return sum_of_all > limits.CARD_WEIGHT_MAX or text.count("[") > limits.CARD_BRACKETS_MAX


def _tokens(text: str) -> list[Token]:
    tokens = _PARSER.parse(text)
    for token in tokens:
        # The parser writes how a column is aligned as a style of each cell, which cards' policy forbids, and a browser
        # complains of one by one. The card's own sheet knows the classes.
        if token.type in ("th_open", "td_open") and (style := token.attrs.pop("style", None)) is not None:
            token.attrSet("class", str(style).removeprefix("text-align:"))
        open_links = 0
        for child in token.children or ():
            open_links += {"link_open": 1, "link_close": -1}.get(child.type, 0)
            if child.type == "image" and open_links:
                child.meta[_LINKED] = True
    return tokens


def _path_of(source: str) -> str | None:
    """Return the path in the repository that a picture's address leads to, None if it leads elsewhere."""
    try:
        parts = urlsplit(source)
    except ValueError:
        return None
    if parts.scheme or parts.netloc or not parts.path or parts.path.startswith("/"):
        return None
    path = posixpath.normpath(unquote(parts.path))
    return None if path.startswith("..") or path == "." else path


def _leads_to_a_page(address: str) -> bool:
    try:
        return urlsplit(address.strip()).scheme.lower() in ("http", "https", "mailto")
    except ValueError:
        return False


# --- how tokens are told --------------------------------------------------------------------------------------------

_Rule = Callable[[RendererHTML, Sequence[Token], int, Any, MutableMapping[str, Any]], str]


def _link_open(
    renderer: RendererHTML, tokens: Sequence[Token], number: int, options: Any, env: MutableMapping[str, Any]
) -> str:
    address = str(tokens[number].attrs.get("href", ""))
    return _link(address) if _leads_to_a_page(address) else "<a>"


def _image(
    renderer: RendererHTML, tokens: Sequence[Token], number: int, options: Any, env: MutableMapping[str, Any]
) -> str:
    token = tokens[number]
    address = str(token.attrs.get("src", ""))
    alternative = escape(renderer.renderInlineAsText(token.children, options, env) or "a picture")
    shown = env["pictures"].get(_path_of(address))
    if shown is not None:
        return f'<img src="{escape(shown)}" alt="{alternative}">'
    is_words = token.meta.get(_LINKED, False)
    return f"{_link(address)}{alternative}</a>" if not is_words and _leads_to_a_page(address) else alternative


def _link(address: str) -> str:
    return f'<a href="{escape(address)}" target="_blank" rel="noopener noreferrer nofollow">'


def _markup_in_line(
    renderer: RendererHTML, tokens: Sequence[Token], number: int, options: Any, env: MutableMapping[str, Any]
) -> str:
    return "<br>" if re.fullmatch(r"<br\s*/?>", tokens[number].content, re.IGNORECASE) else ""


def _markup_block(
    renderer: RendererHTML, tokens: Sequence[Token], number: int, options: Any, env: MutableMapping[str, Any]
) -> str:
    text = unescape(_TAG.sub(" ", _LEFT_OUT.sub(" ", tokens[number].content))).strip()
    return f"<p>{escape(text)}</p>" if text else ""


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": True, "maxNesting": limits.CARD_NESTING_MAX, "typographer": False})
    parser.enable(["table", "strikethrough"])
    rules: dict[str, _Rule] = {
        "link_open": _link_open,
        "image": _image,
        "html_inline": _markup_in_line,
        "html_block": _markup_block,
    }
    for name, rule in rules.items():
        parser.add_render_rule(name, rule)
    return parser


_PARSER = _parser()
