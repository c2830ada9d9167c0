"""The words of a text, as they are searched for: what counts as the same word, and where one ends.

Text is taken in Unicode's form NFKC and without case, and cut at everything that is no letter or digit, so `-`, `_`,
`.` and `/` separate. Scripts that are written without spaces give a word for each character. Foreign text: what is
longer than a bound is cut, and each word is letters and digits alone.
"""

from __future__ import annotations

import re
import unicodedata

from p2phub import limits

_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Kana, and the ideographs of Chinese and Japanese.
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")
_STEM = re.compile(r" ([^\W\d_]{3,})(?=\d)")
_SEPARATORS = {number: " " for number in range(128) if not chr(number).isalnum()}


def words_of(text: str) -> list[str]:
    """Return the words of `text` in order, as often as they occur."""
    return [word[: limits.SEARCH_WORD_CHARS_MAX] for word in spaced(text).split()]


def spaced(text: str) -> str:
    """Return the words of `text` with spaces before, between and behind them: many texts are looked through faster so
    than word by word."""
    text = text[: limits.SEARCH_TEXT_CHARS_MAX]
    if text.isascii():
        return f" {text.lower().translate(_SEPARATORS)} "
    # Without case first, since that may leave a form that is not normal.
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return f" {' '.join(_WORD.findall(folded))} "


def stems_of(text: str) -> list[str]:
    """Return, of words with spaces before each, the letters that those with a number behind them begin with, for which
    they are found, too: `llama3` by `llama`. Two letters or one say nothing."""
    return _STEM.findall(text)
