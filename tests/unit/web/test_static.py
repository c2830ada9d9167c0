"""What may stand in the page's files: nothing that the page's policy would stop, that leaves this machine, or is heavy.

In a browser the same is tested by `make test-page`; here it is read, so that whoever changes a file hears of it soon.
"""

from __future__ import annotations

import gzip
import re
from importlib.resources import files

import pytest

STATIC = {each.name: each.read_text() for each in files("p2phub.web").joinpath("static").iterdir() if each.is_file()}
SCRIPTS = sorted(name for name in STATIC if name.endswith(".js"))
ALL_BYTES_MAX = 100_000
FIRST_SCREEN_LINES = 25

MARKUP_FROM_TEXT = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|setHTML|\beval\("
    r"|new Function"
)
INLINE = re.compile(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)")
ELSEWHERE = re.compile(r"(?:https?:)?//(?!www\.w3\.org/2000/svg)[\w-]+\.[\w.-]+")


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_script_makes_markup_of_text(name: str) -> None:
    """One card is an exception: a frame's `srcdoc`, whose sandbox runs nothing."""
    assert MARKUP_FROM_TEXT.findall(STATIC[name]) == []
    assert STATIC[name].count("srcdoc") == (1 if name == "parts-of-model.js" else 0)


def test_the_page_has_no_script_and_no_style_within_it() -> None:
    assert INLINE.findall(STATIC["index.html"]) == []


@pytest.mark.parametrize("name", sorted(STATIC))
def test_no_file_names_another_place(name: str) -> None:
    code = re.sub(r"^\s*(//|\*|/\*\*).*$", "", STATIC[name], flags=re.M)
    assert ELSEWHERE.findall(code) == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_a_script_imports_is_there(name: str) -> None:
    imported = re.findall(r"(?:from|import\()\s*\"\./([^\"]+)\"", STATIC[name])
    assert [each for each in imported if each not in STATIC] == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_begins_by_saying_what_it_is_for(name: str) -> None:
    first = STATIC[name].splitlines()[:FIRST_SCREEN_LINES]
    assert first[0].startswith("// ")
    assert len(first[0]) > 30


def test_all_of_the_page_together_takes_less_than_a_first_view_may() -> None:
    assert sum(len(gzip.compress(text.encode(), 9)) for text in STATIC.values()) <= ALL_BYTES_MAX
