"""Which release of a name we believe, given what was believed before. Pure.

The highest sequence wins, and what was once accepted is never rolled back. Two different releases with one sequence are
a lie that the publisher's own signature proves: both are kept as evidence, and meanwhile everybody takes the same one,
that with the lowest digest. Source: proto/release.md §4.
"""

from __future__ import annotations

from enum import Enum

import msgspec

from p2phub.content import digest_of
from p2phub.manifest.release import Release, check_answers, check_release


class Verdict(Enum):
    """What a candidate is, compared with what was known."""

    NEWER = "newer"  # Believe it from now on, and remember it durably.
    SAME = "same"  # Already believed.
    OLDER = "older"  # Refused: an old copy, or a rollback.
    CONFLICT = "conflict"  # Another release with the same sequence: remember the evidence, show it.


class Known(msgspec.Struct, frozen=True):
    """A release that is believed, as signed and as read. `evidence`: two signed releases of one sequence, or none."""

    signed: bytes
    release: Release
    evidence: tuple[bytes, ...] = ()


class Judgement(msgspec.Struct, frozen=True):
    """`known` is what to believe now, which for SAME and OLDER is what it was."""

    verdict: Verdict
    known: Known


def judge(known: Known | None, candidate: Known, *, now: float) -> Judgement:
    """Return what to believe after `candidate` came, whose signature was checked by `read_release`.

    `now` is seconds since 1970. Raises NotTrusted as `check_release` does, and release-name if the candidate is about
    another name than `known`.
    """
    release = candidate.release
    check_release(release, now=now)
    if known is None:
        return Judgement(Verdict.NEWER, candidate)
    check_answers(release, known.release.publisher, known.release.name, known.release.tag)
    if release.sequence < known.release.sequence:
        return Judgement(Verdict.OLDER, known)
    if release.sequence > known.release.sequence:
        # A lie once proven stays proven.
        return Judgement(Verdict.NEWER, Known(candidate.signed, release, known.evidence))
    if release == known.release:
        return Judgement(Verdict.SAME, known)
    first, second = sorted((known, candidate), key=_rank)
    evidence = known.evidence or (first.signed, second.signed)
    return Judgement(Verdict.CONFLICT, Known(first.signed, first.release, evidence))


def _rank(known: Known) -> bytes:
    return known.release.manifest.raw + digest_of(known.signed).raw
