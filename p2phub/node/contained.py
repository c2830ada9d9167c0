"""A fault of our own in one thing that a daemon does ends that one alone, is logged, and is told as an error.

Others use the node meanwhile, and what a stranger sent may be what brings the fault out. A command that does the work
itself crashes, which says more to who can mend it. Threat F31.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from p2phub.errors import HubError

_log = logging.getLogger(__name__)


@contextmanager
def contained(what: str) -> Iterator[None]:
    """Raise a HubError in the place of an exception that is none of ours. `what`: what ends with it."""
    try:
        yield
    except HubError:
        raise
    except Exception as error:
        bare = _bare(error)
        if isinstance(bare, HubError):
            raise bare from error
        _log.exception("a fault of our own ended %s", what)
        raise HubError(f"internal error in the node: {type(bare).__name__}: {bare}", hint="see its log") from error


def _bare(error: BaseException) -> BaseException:
    """Return the one error in an ExceptionGroup of one, however deep."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
