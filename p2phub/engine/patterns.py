"""Patterns by which a user means some files, or some tensors, of many whose names come from a stranger.

Files have gitignore syntax, as the patterns of `publish` have, but no more than STARS_MAX stars: they become
expressions that try each way to match. Tensors and columns have shell patterns (`*`, `?`, `[a-z]`) over the whole name;
what Python makes of those takes each star's first match and never goes back, so their stars need no bound.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fnmatch import translate
from typing import TYPE_CHECKING

from p2phub import limits
from p2phub.errors import UsageError

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

STARS_MAX = 2  # With so many a name of PATH_BYTES_MAX takes milliseconds; with each one more a hundred times that.
Pattern = tuple[str, Callable[[str], bool]]
"""As it was given, and whether a name matches it."""


def file_patterns(given: Sequence[str], what: str) -> list[Pattern]:
    """Return patterns of paths; `what` ("files that are wanted first") is what they mean, for errors. Raises
    UsageError."""
    _check(given, what)
    for pattern in given:
        if len(re.findall(r"\*+", pattern)) > STARS_MAX:
            raise UsageError(
                f"{pattern[:80]!r} has more than {STARS_MAX} stars",
                hint="Fewer say nearly the same: '*-of-*.safetensors', or 'data/*' for all that is in a folder.",
            )
    if not given:
        return []
    from pathspec import GitIgnoreSpec  # A tenth of a second, which most fetches do without.

    def compiled(pattern: str) -> GitIgnoreSpec:
        try:
            return GitIgnoreSpec.from_lines([pattern])
        except ValueError as exc:
            raise UsageError(f"{pattern[:80]!r} is no pattern of file names") from exc

    return [(pattern, compiled(pattern).match_file) for pattern in given]


def name_patterns(given: Sequence[str], what: str) -> list[Pattern]:
    """Return patterns of the names of tensors or columns, likewise."""
    _check(given, what)

    def matches(pattern: str) -> Callable[[str], bool]:
        compiled = re.compile(translate(pattern)).match
        return lambda name: compiled(name) is not None

    return [(pattern, matches(pattern)) for pattern in given]


def _check(given: Sequence[str], what: str) -> None:
    if len(given) > limits.FIRST_PATTERNS_MAX:
        raise UsageError(f"more than {limits.FIRST_PATTERNS_MAX} patterns of {what}")
    for pattern in given:
        if not pattern.strip():
            raise UsageError(f"an empty pattern of {what}")
