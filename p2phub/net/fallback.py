"""Dial directly; where no direct connection comes about and a stream can be had, talk over the stream.

The machines are the same on both carriers. A peer that answers but is not who it should be is not tried again by other
means: it is refused.
"""

from __future__ import annotations

from p2phub.content import Digest
from p2phub.errors import PeerError, PeerGone
from p2phub.identity import PeerAddress
from p2phub.net.interface import Control, Dialler, Link


class Fallback:
    """A `Dialler` over two. `streams` is None until there is a host that can open any."""

    def __init__(self, direct: Dialler) -> None:
        self._direct = direct
        self.streams: Dialler | None = None

    async def open_link(self, provider: PeerAddress, manifest: Digest, *, prefix_bytes: int, via: str) -> Link:
        """Raises PeerGone, WrongPeer: of the direct attempt, which tells more, where both fail."""
        try:
            return await self._direct.open_link(provider, manifest, prefix_bytes=prefix_bytes, via=via)
        except PeerGone as gone:
            if self.streams is None:
                raise
            try:
                return await self.streams.open_link(provider, manifest, prefix_bytes=prefix_bytes, via=via)
            except PeerError:
                raise gone from None

    async def open_control(self, peer: PeerAddress) -> Control:
        """Raises as `open_link` does."""
        try:
            return await self._direct.open_control(peer)
        except PeerGone as gone:
            if self.streams is None:
                raise
            try:
                return await self.streams.open_control(peer)
            except PeerError:
                raise gone from None
