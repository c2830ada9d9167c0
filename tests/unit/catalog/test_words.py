"""What counts as a word, and as the same one."""

from __future__ import annotations

import pytest

from p2phub import limits
from p2phub.catalog import words_of
from p2phub.catalog.words import spaced, stems_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("meta-llama/Llama-3.1_8B", ["meta", "llama", "llama", "3", "1", "8b"]),
        ("", []),
        ("--  ..", []),
        ("Großes Modèle", ["grosses", "modèle"]),
        ("mode\u0300le", ["modèle"]),
        ("ＦＵＬＬ ﬁne", ["full", "fine"]),
        ("日本語 モデル v2", ["日", "本", "語", "モ", "デ", "ル", "v2"]),
        ("a\0b\nc\u2028d", ["a", "b", "c", "d"]),
        ("İstanbul", ["i", "stanbul"]),
    ],
)
def test_words_are_letters_and_digits_without_case_in_one_form(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_ascii_and_other_text_are_cut_at_the_same_places() -> None:
    text = "".join(map(chr, range(128))) + " Llama-3.1_8B/x"
    assert words_of(text + " é") == [*words_of(text), "é"]


def test_a_word_that_is_too_long_is_cut_and_so_is_a_text() -> None:
    assert words_of("x" * 1000) == ["x" * limits.SEARCH_WORD_CHARS_MAX]
    assert len(spaced("a " * 10_000).split()) == limits.SEARCH_TEXT_CHARS_MAX // 2


def test_the_letters_before_a_number_are_a_word_too_if_they_are_three_or_more() -> None:
    assert stems_of(spaced("llama3 qwen2 t5 8b gpt2xl grün2 plain")) == ["llama", "qwen", "gpt", "grün"]
