"""A fault of our own that shows in what one peer sends ends what was begun with that peer, and nothing beside it.

`net.listen` and `net.direct` see to that for who dials us; here it is for whom we dial and ask, where whoever waits
for the answer counts on a `PeerError`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from p2phub.errors import HubError, PeerGone
from p2phub.identity import SourceId

_log = logging.getLogger(__name__)


@contextmanager
def alone(what: str, peer: SourceId) -> Iterator[None]:
    """Log an exception that is none of ours as the bug that it is, and raise PeerGone in its place. `what`: what ends
    with it, as "a dial"."""
    try:
        yield
    except HubError:
        raise
    except Exception as exc:
        _log.exception("a fault of our own ended %s to %s", what, peer)
        raise PeerGone(f"a fault of our own ended {what}", peer=str(peer)) from exc
