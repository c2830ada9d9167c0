"""A publisher's name in a scene: who says what of it, what those who ask are to believe, and whether they do.

The production resolver and ledgers; releases are really signed. What must come of a question is worked out here anew,
from what was said and not from what the code under test did with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import trio

from p2phub import limits
from p2phub.content import Digest, digest_of
from p2phub.engine.resolve import Resolver
from p2phub.engine.workers import Workers
from p2phub.errors import HubError, NotFound, NotTrusted
from p2phub.identity import SecretKey
from p2phub.manifest import DEFAULT_TAG, Release, sign_release
from p2phub.store import Publication
from simnet.det import EPOCH_S
from simnet.finding import SimFinder
from simnet.node import Node
from simnet.scene import Asks, Says, Scene
from simnet.truth import Truth
from simnet.witness import Witness

PUBLISHER = SecretKey(b"p" * 32)
NAME = "model"
Meaning = tuple[int, Digest]
"""What a release says: its sequence, and the manifest."""


@dataclass
class Belief:
    """What one who asks must believe: the highest sequence heard, and of two that differ the lower digest; whether it
    must have kept the proof that there were two."""

    meaning: Meaning | None = None
    contradicted: bool = False

    def hear(self, said: list[Meaning]) -> bool:
        """Take in what was said in answer to one question; return whether any of it may be believed."""
        known = [] if self.meaning is None else [self.meaning]
        if not said or max(said)[0] < max(known + said)[0]:
            return False
        top = max(sequence for sequence, _ in known + said)
        best = {meaning for meaning in known + said if meaning[0] == top}
        self.contradicted = self.contradicted or len(best) > 1
        self.meaning = min(best, key=lambda meaning: meaning[1].raw)
        return True


class Naming:
    """Plays what `scene` has of the name."""

    def __init__(self, scene: Scene, nodes: dict[str, Node], truth: Truth, witness: Witness) -> None:
        self._scene, self._nodes, self._truth, self._witness = scene, nodes, truth, witness
        self._said: dict[str, Meaning] = {}  # By whom: what it answers now.
        self._beliefs = {each.who: Belief() for each in scene.asks}

    async def run(self) -> None:
        """Return when all was said and asked."""
        plays: list[Says | Asks] = [*self._scene.says, *self._scene.asks]
        for each in sorted(plays, key=lambda play: play.at_s):
            await trio.sleep_until(each.at_s)
            if isinstance(each, Says):
                self._says(each)
            else:
                await self._asks(each)

    def _says(self, saying: Says) -> None:
        manifest = digest_of(b"something else") if saying.other else self._truth.root
        release = Release(
            publisher=PUBLISHER.peer_id,
            name=NAME,
            manifest=manifest,
            sequence=saying.sequence,
            bytes_total=self._truth.bytes_total,
            created=EPOCH_S,
            expires=EPOCH_S + limits.RELEASE_LIFETIME_S,
        )
        node = self._nodes[saying.who]
        signed = sign_release(PUBLISHER, release)
        node.ledger.publish(
            Publication(PUBLISHER.peer_id, NAME, DEFAULT_TAG, manifest, node.folder, signed)  # Its own word, or not.
        )
        self._said[saying.who] = (saying.sequence, manifest)

    async def _asks(self, question: Asks) -> None:
        node = self._nodes[question.who]
        assert node.plane is not None, "who asks is alive"
        alive = [name for name in self._said if self._nodes[name].host.listener is not None]
        given = [self._nodes[name].where for name in question.whom]
        finder = SimFinder([], node.chance)
        finder.releases = tuple(
            publication.signed for name in alive for publication in self._nodes[name].ledger.publications()
        )

        async def open_finder() -> SimFinder:
            return finder

        resolver = Resolver(ledger=node.ledger, workers=Workers(2), dialler=node.plane, open_finder=open_finder)
        outcome: Meaning | HubError
        try:
            resolved = await resolver.resolve(f"{PUBLISHER.peer_id}/{NAME}", given)
        except HubError as error:
            outcome = error
        else:
            assert resolved.release is not None
            outcome = (resolved.release.sequence, resolved.manifest)
        self._judge(question, alive, outcome)

    def _judge(self, question: Asks, alive: list[str], outcome: Meaning | HubError) -> None:
        belief = self._beliefs[question.who]
        named = [self._said[name] for name in question.whom if name in alive]
        good = belief.hear(named)
        everybody = [self._said[name] for name in alive]
        if not good:
            good = belief.hear(everybody)
        who = question.who
        if good and outcome != belief.meaning:
            self._witness.fail(f"{who} believes {_told(outcome)}, and not {_told(belief.meaning)}, which it was told")
        # What those have whom the user named is refused to their face. What strangers have is passed over, since
        # anybody can have an old release: then it is what was believed before, and never less.
        elif not good and everybody and not isinstance(outcome, NotTrusted) and (named or outcome != belief.meaning):
            self._witness.fail(f"{who} was told of old releases alone and came to {_told(outcome)}")
        elif not good and not everybody and belief.meaning is None and not isinstance(outcome, NotFound):
            self._witness.fail(f"{who} was told nothing and came to {_told(outcome)}")
        kept = self._nodes[who].ledger.accepted(PUBLISHER.peer_id, NAME, DEFAULT_TAG)
        if belief.meaning is not None and (kept is None or kept.sequence != belief.meaning[0]):
            self._witness.fail(f"{who} does not remember that it was told of {_told(belief.meaning)}")
        if belief.contradicted != bool(kept is not None and kept.evidence):
            proof = "has no proof of" if belief.contradicted else "claims"
            self._witness.fail(f"{who} {proof} a contradiction of the publisher")


def _told(outcome: Meaning | HubError | None) -> str:
    if isinstance(outcome, HubError):
        return f"{type(outcome).__name__} ({outcome.message})"
    return "nothing" if outcome is None else f"release {outcome[0]} ({outcome[1].text()[-8:]})"
