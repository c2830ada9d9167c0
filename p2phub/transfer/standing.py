"""What a fetch thinks of its peers, also after their links are gone: evidence of a lie, stalls, lost connections.

A provable lie is for good. All else passes: who was lost rests for a moment and who stalled is shunned while there are
others, each time longer, until bytes come again. Times are of one monotonic clock.
"""

from __future__ import annotations

from p2phub.errors import PeerError
from p2phub.identity import SourceId

STALL_REST_S = 30.0  # A provider that stalled is left alone this long, doubled each time, while there are others.
GONE_REST_S = 0.5  # One whose connection failed is dialled again this much later, doubled each time up to the next.
GONE_REST_S_MAX = 30.0


class _Standing:
    __slots__ = ("evidence", "failures", "rest_until", "shun_until", "stalls")

    def __init__(self, *, now: float) -> None:
        self.evidence: PeerError | None = None
        self.failures = 0
        self.stalls = 0
        self.rest_until = now  # Not dialled before.
        self.shun_until = now  # Not dialled before, while there are others.


class Standings:
    """The standing of every peer of one fetch; one that nothing is known of is in good standing."""

    def __init__(self) -> None:
        self._of: dict[SourceId, _Standing] = {}

    def evidence(self, peer: SourceId) -> PeerError | None:
        """Return the proof that `peer` lied, or None."""
        known = self._of.get(peer)
        return known.evidence if known else None

    def rests(self, peer: SourceId, *, now: float) -> bool:
        """Whether `peer` is not to be asked now, whoever else there is: it lied, or was lost a moment ago."""
        known = self._of.get(peer)
        return known is not None and (known.evidence is not None or now < known.rest_until)

    def shunned(self, peer: SourceId, *, now: float) -> bool:
        """Whether `peer` stalled lately, so that others are asked while there are any."""
        known = self._of.get(peer)
        return known is not None and now < known.shun_until

    def rests_end(self) -> list[float]:
        """Return when the rests of those who did not lie end, or ended."""
        return [known.rest_until for known in self._of.values() if known.evidence is None]

    def delivered(self, peer: SourceId) -> None:
        """Bytes came from `peer`: what it did before is forgiven, if it was no lie."""
        known = self._of.get(peer)
        if known is not None:
            known.stalls = known.failures = 0

    def lost(self, peer: SourceId, *, now: float) -> None:
        """The connection to `peer` failed."""
        known = self._known(peer, now=now)
        known.rest_until = now + min(GONE_REST_S * 2**known.failures, GONE_REST_S_MAX)
        known.failures = min(known.failures + 1, 10)

    def stalled(self, peer: SourceId, *, now: float) -> None:
        """`peer` held up the fetch."""
        known = self._known(peer, now=now)
        if now < known.shun_until:
            return  # Told already: by our own Drop.
        known.shun_until = now + STALL_REST_S * 2 ** min(known.stalls, 6)
        known.stalls += 1

    def lied(self, peer: SourceId, evidence: PeerError, *, now: float) -> None:
        """`peer` lied, and `evidence` proves it. The first proof is kept."""
        known = self._known(peer, now=now)
        known.evidence = known.evidence or evidence

    def _known(self, peer: SourceId, *, now: float) -> _Standing:
        return self._of.setdefault(peer, _Standing(now=now))
