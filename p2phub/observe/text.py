"""Text on its way to people: foreign text in a log line or on a terminal, and a few names that stand for many.

Control characters and direction tricks become visible: a file name, description or error from a stranger may hold
escape sequences that repaint a terminal or forge a log line (threat T59).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence


def printable(text: str, *, length_max: int = 512) -> str:
    """Return `text` with control, format, surrogate and line-separating characters escaped, cut to `length_max`."""
    shown = "".join(
        letter
        if unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
        else letter.encode("unicode_escape").decode("ascii")
        for letter in text[:length_max]
    )
    return shown if len(text) <= length_max else shown + "…"


def legible(name: str) -> str:
    """Return the name of a file as text that can be written anywhere: bytes of it that are not UTF-8, for which Python
    has half characters, are escaped."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def some_of(names: Sequence[str], *, most: int = 3) -> str:
    """Return the first `most` of `names` and how many more there are: what a message says of many."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
