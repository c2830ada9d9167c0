"""Bugs to plant, by name: each breaks one promise of the production code, and some scenario must notice.

    bytes_held   wrong bytes are counted as right            waste     work is done again, others are burdened
    guilt        the wrong one is blamed, or a liar is not   shares    the wrong one does the work
    endings      a fetch never ends, or too early            telling   the user is told what is not so
    names        the wrong release is believed               excess    more is kept, or said, than may be

A green run means something only as far as these are caught (`tests/simulation/test_planted_bugs.py`). Each is a patch
of a production class for the length of a run; nothing in p2phub knows of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from simnet.bugs import bytes_held, endings, excess, guilt, names, shares, telling, waste
from simnet.bugs.planting import EXCESSES, PLANTS, Plant

__all__ = ["EXCESSES", "PLANTS", "planted", "plants"]
_KINDS = (bytes_held, endings, excess, guilt, names, shares, telling, waste)  # Each has named its own as it was loaded.


def plants() -> dict[str, Plant]:
    """Return every bug that there is to plant, by its name."""
    return PLANTS | EXCESSES


@contextmanager
def planted(names: Sequence[str]) -> Iterator[None]:
    """Have these bugs for a while."""
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(plants()[name]())
        yield
