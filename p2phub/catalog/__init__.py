"""The catalog: what is known of releases here and elsewhere, as it is searched for. Pure.

    words     what counts as a word              entry     what is known of a name, and where it stands
    query     what somebody typed                matching  which entries answer it
    ranking   which of them comes first          formats   what files are, by their names
The index itself is behind a port (`store.CatalogIndex`). Source: docs/decisions/0110-search.md.
"""

from p2phub.catalog.entry import (
    HELD,
    NAMED,
    SEEN,
    SLOT_BITS,
    Entry,
    class_of,
    entry_key,
    first_position,
    index_words,
    kind_word,
    last_resort,
    position_of,
    whole_word,
)
from p2phub.catalog.formats import formats_of
from p2phub.catalog.matching import is_called, matches
from p2phub.catalog.query import Query, parse_query
from p2phub.catalog.ranking import page, score
from p2phub.catalog.words import words_of

__all__ = [
    "HELD",
    "NAMED",
    "SEEN",
    "SLOT_BITS",
    "Entry",
    "Query",
    "class_of",
    "entry_key",
    "first_position",
    "formats_of",
    "index_words",
    "is_called",
    "kind_word",
    "last_resort",
    "matches",
    "page",
    "parse_query",
    "position_of",
    "score",
    "whole_word",
    "words_of",
]
