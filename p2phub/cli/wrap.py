"""How a line of prose fits a terminal: broken between words, what goes on hanging below where its text began."""

from __future__ import annotations

import os
import re
from typing import TextIO

_COMMANDS = ("p2phub ", "export ", "ollama ")
"""What a line that is to be copied into a shell begins with; a break in it would run half of it."""
_LABEL = re.compile(r" *\S+(?: \S+)? {2,}")
_LABEL_MAX = 24
"""A label that is longer would leave no room beside it at 80 columns."""


def columns_of(stream: TextIO) -> int | None:
    """Return the width of the terminal that `stream` writes to, None if it is none."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except (OSError, ValueError):  # It is a file or a pipe, is closed, or has no descriptor.
        return None


def wrapped(line: str, columns: int | None) -> str:
    """Break a line between words where the terminal would within one; what is longer than it runs over.

    What goes on is indented as the text after a label of its own column (`About      …`), else by two more than the
    line. A command to copy stays in one piece.
    """
    line = line.rstrip()
    if columns is None or len(line) <= columns or line.lstrip().startswith(_COMMANDS):
        return line
    import textwrap  # Only long lines on a terminal need it.

    label = _LABEL.match(line)
    begin = label.end() if label is not None and label.end() <= min(_LABEL_MAX, columns // 2) else 0
    indent = " " * (begin or len(line) - len(line.lstrip()) + 2)
    first = line[:begin]
    parts = textwrap.wrap(
        line[begin:],
        columns,
        initial_indent=" " * begin,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join([first + parts[0][begin:], *parts[1:]])
