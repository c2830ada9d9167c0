"""How long a peer may take before it counts as gone: the dial, the handshake, the first bytes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio

from p2phub.errors import PeerGone
from p2phub.identity import PeerAddress


@contextmanager
def within(seconds: float, peer: PeerAddress) -> Iterator[None]:
    """Raise PeerGone if what is awaited of `peer` takes longer."""
    try:
        with trio.fail_after(seconds):
            yield
    except trio.TooSlowError as exc:
        raise PeerGone(f"{peer.address} did not answer within {seconds:g} s", peer=str(peer.peer)) from exc
