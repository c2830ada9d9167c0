"""Foreign text on its way to a log line or a terminal: control characters and direction tricks become visible.

A file name, description or error from a stranger may hold escape sequences that repaint a terminal or forge a log line
(threat T59).
"""

from __future__ import annotations

import unicodedata


def printable(text: str, *, length_max: int = 512) -> str:
    """Return `text` with control, format, surrogate and line-separating characters escaped, cut to `length_max`."""
    shown = "".join(
        letter
        if unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
        else letter.encode("unicode_escape").decode("ascii")
        for letter in text[:length_max]
    )
    return shown if len(text) <= length_max else shown + "…"
