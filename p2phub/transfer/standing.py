"""What a fetch thinks of its peers, also after their links are gone: evidence of a lie, stalls, lost connections.

A provable lie is for good. All else passes: who was lost rests for a moment and who stalled is shunned while there are
others, each time longer, until bytes come again.

Keys cost nothing, so a liar comes back as somebody else. Those who are found at one address with it (`party`) are
therefore judged together, though many who mean well may share one: on *parole* a peer is asked for a batch at a time
until PAROLE_BYTES of it were verified, one such of a party is tried at a time, and with each further liar the next one
waits longer while there are others. Nobody is banned for another. Who stalled is on parole, too, until bytes come.

Source: proto/transfer.md §5, docs/decisions/0067. Times are of one monotonic clock.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection

from p2phub import limits
from p2phub.errors import PeerError
from p2phub.identity import SourceId
from p2phub.transfer.party import Party

STALL_REST_S = 30.0  # A provider that stalled is left alone this long, doubled each time, while there are others.
GONE_REST_S = 0.5  # One whose connection failed is dialled again this much later, doubled each time up to the next.
GONE_REST_S_MAX = 30.0
PAROLE_BYTES = 4 * limits.BATCH_BYTES_MAX  # Of so much that one had to give a liar would have falsified some.
LIARS_REST_S = 5.0  # After the second liar of a party the next of it waits so long, doubled each time up to the next.
LIARS_REST_S_MAX = 60.0


class _Standing:
    __slots__ = ("evidence", "failures", "parties", "rest_until", "shun_until", "stalls")

    def __init__(self, *, now: float) -> None:
        self.evidence: PeerError | None = None
        self.failures = 0
        self.stalls = 0
        self.parties: set[Party] = set()  # Where it proved its key.
        self.rest_until = now  # Not dialled before.
        self.shun_until = now  # Not dialled before, while there are others.


class _Liars:
    __slots__ = ("count", "rest_until")

    def __init__(self) -> None:
        self.count = 0
        self.rest_until = -math.inf


class Standings:
    """The standing of every peer of one fetch; one that nothing is known of is in good standing."""

    def __init__(self) -> None:
        self._of: dict[SourceId, _Standing] = {}
        self._liars: defaultdict[Party, _Liars] = defaultdict(_Liars)  # Of parties that have some.

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

    def on_parole(self, peer: SourceId, *, given: int) -> bool:
        """Whether `peer`, of which `given` bytes were verified, is asked for a batch at a time only."""
        known = self._of.get(peer)
        return known is not None and (known.stalls > 0 or self._is_suspect(known.parties, given=given))

    @staticmethod
    def is_proven(given: int) -> bool:
        """Whether one of which `given` bytes were verified is judged by itself."""
        return given >= PAROLE_BYTES

    @property
    def liars_known(self) -> bool:
        """Whether anybody is a suspect for where it is."""
        return bool(self._liars)

    def kept_back(
        self, parties: Collection[Party], *, given: int, tried: Collection[Party], others: bool, now: float
    ) -> bool:
        """Whether a peer that is said to be at `parties`, and gave `given` bytes so far, is not to be dialled now.

        `tried`: the parties of those that are dialled, or were lately, and did not give PAROLE_BYTES yet; `others`:
        whether anybody is on the way to give something. One that is said to be elsewhere, too, may be met there.
        """
        suspect = [party for party in parties if party in self._liars]
        if self.is_proven(given) or not suspect or len(suspect) < len(parties):
            return False
        if any(party in tried for party in suspect):
            return True
        return others and any(now < self._liars[party].rest_until for party in suspect)

    def rests_end(self) -> list[float]:
        """Return when the rests of those who did not lie end, or ended."""
        ends = [known.rest_until for known in self._of.values() if known.evidence is None]
        return ends + [liars.rest_until for liars in self._liars.values()]

    def met(self, peer: SourceId, party: Party, *, now: float) -> None:
        """`peer` proved its key at an address of `party`."""
        self._known(peer, now=now).parties.add(party)

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
        if known.evidence is not None:
            return
        known.evidence = evidence
        for party in known.parties:
            liars = self._liars[party]
            if liars.count:
                liars.rest_until = now + min(LIARS_REST_S * 2 ** (liars.count - 1), LIARS_REST_S_MAX)
            liars.count = min(liars.count + 1, 10)

    def _is_suspect(self, parties: Collection[Party], *, given: int) -> bool:
        return not self.is_proven(given) and any(party in self._liars for party in parties)

    def _known(self, peer: SourceId, *, now: float) -> _Standing:
        known = self._of.get(peer)
        if known is None:
            known = self._of[peer] = _Standing(now=now)
        return known
