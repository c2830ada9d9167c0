"""Who gave what in a swarm, as far as this node can believe it: told to whoever shares out its upload.

A fetch notes what it was given and tells the providers that it asks; the control desk hears the same of others. What of
that counts is `transfer.Credit`'s decision, what follows from it that of `transfer.Slots`. One for a node, in its loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from p2phub.content import Digest
from p2phub.identity import PeerAddress, PeerId
from p2phub.transfer import Credit, party_of
from p2phub.wire import GetNews

Show = Callable[[Digest, Mapping[PeerId, int]], None]
"""Told what peers are now seen to have given of a manifest, in all: `net.throttle.Throttle.show`."""


class Thanks:
    def __init__(self, show: Show) -> None:
        self._show = show
        self._credit = Credit()

    def gave_us(self, manifest: Digest, totals: Mapping[PeerId, int]) -> None:
        """A fetch of ours has had so many verified bytes of each."""
        self._tell(manifest, self._credit.gave_us(manifest, totals))

    def heard(self, teller: PeerAddress, request: GetNews, *, bytes_total: int) -> None:
        """`teller`, who may have the manifest, says what it got."""
        party = party_of(teller.peer, teller.address)
        news = self._credit.told(request.manifest, teller.peer, party, dict(request.got), bytes_total=bytes_total)
        self._tell(request.manifest, news)

    def _tell(self, manifest: Digest, shown: Mapping[PeerId, int]) -> None:
        if shown:
            self._show(manifest, shown)
