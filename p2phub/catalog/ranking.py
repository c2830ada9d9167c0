"""Which of the entries that have all words of a query comes first, and the pages in which they are told.

To score every entry of a million that has a common word takes half a second. So an index gives them by position
(`entry.position_of`), which costs nothing, and only the first SEARCH_RERANKED are scored and put in order; those
behind them follow, as many at a time, each lot in its own order. What is called exactly as was asked for is asked for
apart, so that it comes first however old it is.

The score is that of BM25F: how often a word stands in each field, by weight, saturated, and less in a long entry. It
has no factor for how rare a word is: every entry has all words, so this would move few, and to count the entries of a
common word takes longer than all else. Source: Robertson and Zaragoza, "The Probabilistic Relevance Framework" (2009),
section 3.6.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from p2phub import limits
from p2phub.catalog.entry import Entry, label_text, name_text, title_text
from p2phub.catalog.query import Query

_NAME, _LABEL, _TITLE = 4.0, 2.0, 1.0
_BEGUN = 0.7  # What a word counts that only begins with what was typed.
_SATURATION, _LENGTH = 1.2, 0.75  # k1 and b, as usual.
_USUAL_CHARS = 120
_HELD = 0.5  # Among equals what is here comes first, and among near ones.


def page(
    query: Query,
    first: int,
    count: int,
    *,
    called: Callable[[int], Sequence[Entry]],
    others: Callable[[int, int], Sequence[Entry]],
) -> list[Entry]:
    """Return `count` entries from number `first` on, as they are told.

    `called(count)`: the first entries by position of which a whole name is the query's; `others(first, count)`: the
    first, by position, that have its words and are not called so.
    """
    if query.is_empty:
        return list(others(first, count))
    lot = limits.SEARCH_RERANKED
    same = ranked(query, called(lot)) if query.whole else []
    number = max(0, (first - len(same)) // lot)  # The lot that `first` is in. Before lot 0 are those called so.
    skipped = first - (len(same) + number * lot if number else 0)
    found: list[Entry] = []
    while len(found) < skipped + count:
        entries = list(others(number * lot, lot))
        found += [*(same if number == 0 else ()), *ranked(query, entries)]
        if len(entries) < lot:
            break
        number += 1
    return found[skipped : skipped + count]


def ranked(query: Query, entries: Sequence[Entry]) -> list[Entry]:
    """Return them with the best first, equal ones in the order in which they came."""
    return sorted(entries, key=lambda entry: -score(query, entry))


def score(query: Query, entry: Entry) -> float:
    """Return how well an entry that has all words of a query answers it: more is better."""
    # Some hundred entries a question: text is searched as it is, and words are not made of it first.
    fields = ((_NAME, name_text(entry)), (_LABEL, label_text(entry)), (_TITLE, title_text(entry)))
    usual = sum(len(text) for _, text in fields) / _USUAL_CHARS
    length = _SATURATION * (1 - _LENGTH + _LENGTH * usual)
    total = _HELD if entry.is_held else 0.0
    for word in query.words if query.prefix is None else (*query.words, query.prefix):
        whole, begun = f" {word} ", f" {word}"
        weight = sum(weight * text.count(whole) for weight, text in fields)
        # Where it only begins so: the last word of a query, or `llama` of `llama3`.
        weight = max(weight, _BEGUN * max((weight for weight, text in fields if begun in text), default=0.0))
        total += weight * (_SATURATION + 1) / (weight + length)
    return total
