"""Whether an entry answers a query: what every index has to agree with."""

from __future__ import annotations

from p2phub.catalog.entry import Entry, index_words, kind_word, whole_word
from p2phub.catalog.query import Query


def matches(query: Query, entry: Entry) -> bool:
    """Return whether an entry has all words of a query, and is of its kind, and held if that was asked for."""
    if query.held and not entry.is_held:
        return False
    words = frozenset(index_words(entry))
    if query.kind is not None and kind_word(query.kind) not in words:
        return False
    if not words.issuperset(query.words):
        return False
    return query.prefix is None or any(word.startswith(query.prefix) for word in words)


def is_called(query: Query, entry: Entry) -> bool:
    """Return whether one of its names is what was typed, as a whole."""
    return bool(query.whole) and whole_word(list(query.whole)) in index_words(entry)
