"""What those who were asked for a name answered: which release to believe, and what to say where there is none.

Whoever was named for it is believed or refused; what strangers have that does not hold, or is older than what was
accepted before, is passed over. The rule itself is `manifest.judge`. Source: proto/release.md §4.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

from p2phub.discovery import Asked
from p2phub.errors import Malformed, NoProvider, NotFound, NotTrusted
from p2phub.identity import MirrorId, PeerAddress
from p2phub.manifest import MIRROR_FOLDER, Known, Name, Verdict, check_answers, judge, read_release
from p2phub.observe import printable

NO_RELEASE = "has no release of it, or does not serve it"
"""What is said of a mirror that answers, and has nothing of p2phub below its URL."""

_HAS_NO_RELEASE = (  # Which has more causes than a name that is wrong.
    f"is the mirror's URL that of the folder in which {MIRROR_FOLDER}/ stands, as `publish --mirror-files` wrote it, "
    "does the web server serve hidden folders, and is the name right? or name somebody with --provider or --bootstrap"
)


class Told:
    """What those said who were asked by name: how many answered, the releases they have, and why there is none of the
    others, by whom."""

    def __init__(self) -> None:
        self.reached = 0
        self.found: list[bytes] = []
        self.without: dict[object, str] = {}

    def heard(self, whom: PeerAddress | MirrorId, signed: bytes | None, *, without: str) -> None:
        self.reached += 1
        if signed:
            self.found.append(signed)
        else:
            self.without[whom] = without


class Answers:
    """Judges what came, one after the other: `known` is what to believe now."""

    def __init__(self, known: Known | None, name: Name) -> None:
        self.known = known
        self.good = False  # Whether some answer is what we believe now.
        self.changed = False
        self.refusals: list[NotTrusted | Malformed] = []
        self.passed_over: list[NotTrusted | Malformed] = []  # What nobody said to ask for, and does not hold either.
        self._name = name

    def judge(self, signed: bytes) -> None:
        try:
            release = read_release(signed)
            check_answers(release, *self._name)
            judgement = judge(self.known, Known(signed, release), now=time.time())
        except (NotTrusted, Malformed) as error:
            self.refusals.append(error)
            return
        if judgement.verdict is Verdict.OLDER:
            assert self.known is not None
            self.refusals.append(
                NotTrusted(
                    f"a release with sequence {release.sequence} was offered, but {self.known.release.sequence} was "
                    f"accepted before: it is an old copy or was rolled back",
                    hint="ask another provider, or fetch the manifest by its digest if the old one is what you want",
                )
            )
            return
        self.good = True
        self.changed = self.changed or judgement.verdict is not Verdict.SAME
        self.known = judgement.known

    def judge_strangers(self, found: Iterable[bytes]) -> bool:
        """Judge what those have whom nobody said to ask; return whether any is what we believe now. One that does not
        hold, or is older than what is known, is only passed over: anybody may have one, and say it."""
        refused = len(self.refusals)
        for signed in found:
            self.judge(signed)
        self.passed_over += self.refusals[refused:]
        del self.refusals[refused:]
        return self.good

    def believed(
        self, text: str, whom: Sequence[object], without: Mapping[object, str], *, reached: bool, waits: bool
    ) -> Known:
        """Return what to believe of `text` now that all of `whom` were asked. Raises what there is to say if that is
        nothing, or somebody who was named for it had something worse. `without`: why some of them have none of it;
        `reached`: some of those who were named answered, if any were; `waits`: as for `_look_up`."""
        if not self.good and self.refusals:
            raise self.refusals[0]
        if self.known is not None:
            return self.known
        if self.passed_over:
            refusal = self.passed_over[0]
            raise NotFound(f"nobody knows a {text} that holds: {refusal.message}") if waits else refusal
        raise _unknown(text, whom, without, reached=reached)


def _unknown(
    text: str, whom: Sequence[object], without: Mapping[object, str], *, reached: bool
) -> NotFound | NoProvider:
    """Return what to say of a name that none of `whom` knows: whether it is that, or that nobody could be asked."""
    asked = printable(", ".join(f"{each}: {without[each]}" if each in without else str(each) for each in whom))
    if not reached:
        return NoProvider(
            f"none of the providers and mirrors given for {text} could be reached, and nobody else knows it "
            f"(asked: {asked})",
            hint="are they running, and are the addresses right?",
        )
    if _reached_nobody(whom):
        return NoProvider(
            f"nobody who may know {text} could be reached (asked: {asked})",
            hint="is the bootstrap node running, and is its address right?",
        )
    if not whom:
        return NoProvider(
            f"nobody could be asked for {text}: no peer is known",
            hint="name one with --provider or --bootstrap; within one local network none is needed, unless "
            "--no-lan, P2PHUB_NO_LAN or `lan = false` is set",
        )
    return NotFound(
        f"nobody knows {text} (asked: {asked})",
        hint=_HAS_NO_RELEASE
        if NO_RELEASE in without.values()
        else "is the name right, and its publisher's node running? name one with --provider or --bootstrap",
    )


def _reached_nobody(whom: Sequence[object]) -> bool:
    """Whether all that was asked are peers at addresses where nobody answered."""
    asked = [each for each in whom if isinstance(each, Asked)]
    failed = any(each.failed for each in asked)
    return failed and len(asked) == len(whom) and not any(each.answered for each in asked)
