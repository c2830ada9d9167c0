"""What somebody typed to find something: the words that must all be there, the last of them perhaps unfinished."""

from __future__ import annotations

import msgspec

from p2phub import limits
from p2phub.catalog.words import words_of
from p2phub.errors import UsageError
from p2phub.manifest import KINDS


class Query(msgspec.Struct, frozen=True):
    """`words` that an entry must have, each once, and one that begins with `prefix`. `whole`: the same words as they
    were typed, in order. `kind` and `held` narrow it: None and False are any."""

    words: tuple[str, ...] = ()
    prefix: str | None = None
    whole: tuple[str, ...] = ()
    kind: str | None = None
    held: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether it asks for everything."""
        return not self.words and self.prefix is None


def parse_query(text: str, *, kind: str | None = None, held: bool = False) -> Query:
    """Read what was typed. What it ends with counts as begun, and finds what goes on from there, unless a space or
    another separator follows. Raises UsageError for what is too long, or a kind that there is not."""
    if len(text) > limits.SEARCH_QUERY_CHARS_MAX:
        raise UsageError(
            f"that is {len(text)} characters to search for; {limits.SEARCH_QUERY_CHARS_MAX} at most",
            hint="a few words find more than a sentence",
        )
    if kind is not None and kind not in KINDS:
        raise UsageError(f"there is no kind {kind[:40]!r}", hint=f"one of {', '.join(KINDS)}")
    words = words_of(text)
    if len(words) > limits.SEARCH_WORDS_MAX:
        raise UsageError(
            f"that is {len(words)} words to search for; {limits.SEARCH_WORDS_MAX} at most", hint="leave some out"
        )
    begun = words[-1] if words and text[-1].isalnum() else None
    done = words[:-1] if begun is not None else words
    return Query(tuple(dict.fromkeys(done)), begun, tuple(words), kind, held)
