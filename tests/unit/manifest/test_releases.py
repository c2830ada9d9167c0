"""Releases, and which of them to believe. Rules one by one stand in the vectors."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2phub import limits
from p2phub.content import Digest, digest_of
from p2phub.errors import Malformed, NotTrusted
from p2phub.identity import SecretKey, seal
from p2phub.manifest import (
    KINDS,
    Known,
    Release,
    Verdict,
    check_release,
    dht_key,
    judge,
    kept_release,
    next_sequence,
    read_release,
    sign_release,
)
from p2phub.manifest.release import DOMAIN
from tests.support.covers import covers

KEY = SecretKey(bytes(range(32)))
NOW = 1_800_000_000
digests = st.binary(min_size=32, max_size=32).map(Digest)
words = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=9)
releases = st.builds(
    Release,
    publisher=st.just(KEY.peer_id),
    name=st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True).filter(lambda text: len(text) < 59),
    manifest=digests,
    sequence=st.integers(1, limits.SEQUENCE_MAX),
    bytes_total=st.integers(0, 1 << 50),
    created=st.just(NOW),
    expires=st.integers(NOW + 1, NOW + limits.RELEASE_LIFETIME_S),
    tag=st.sampled_from(["main", "v1.5", "2026-11"]),
    kind=st.sampled_from(KINDS),
    previous=st.none() | digests,
    licence=words,
    parents=st.lists(st.tuples(digests, st.sampled_from(["finetune", "merge"])), max_size=16).map(tuple),
    description=words,
    private=st.booleans(),
)


def release(**changed: object) -> Release:
    fields: dict[str, object] = {
        "publisher": KEY.peer_id,
        "name": "minilm",
        "manifest": digest_of(b"a"),
        "sequence": NOW * 1000,
        "bytes_total": 5,
        "created": NOW,
        "expires": NOW + 86_400,
    }
    return Release(**{**fields, **changed})  # type: ignore[arg-type]


def known(**changed: object) -> Known:
    made = release(**changed)
    return Known(sign_release(KEY, made), made)


@settings(max_examples=60)
@given(releases)
def test_what_is_signed_is_read(made: Release) -> None:
    signed = sign_release(KEY, made)
    assert read_release(signed) == made
    assert len(signed) <= limits.RELEASE_BYTES_MAX


@given(releases)
@settings(max_examples=20)
def test_what_we_kept_reads_the_same_without_a_look_at_its_signature(made: Release) -> None:
    signed = sign_release(KEY, made)
    assert kept_release(signed) == read_release(signed)
    assert kept_release(signed[:-1] + bytes([signed[-1] ^ 1])) == made
    with pytest.raises(Malformed):
        kept_release(signed[:-1])


def test_private_is_written_only_when_it_is_true_so_that_public_releases_keep_their_bytes() -> None:
    assert b"private" not in sign_release(KEY, release(private=False))
    assert sign_release(KEY, release(private=False)) == sign_release(KEY, release())
    assert b"\xa7private\xc3" in sign_release(KEY, release(private=True))
    assert not read_release(sign_release(KEY, release())).private


@settings(max_examples=60)
@given(st.data())
@covers("T16", "T19")
def test_no_changed_byte_reads(data: st.DataObject) -> None:
    signed = known().signed
    at = data.draw(st.integers(0, len(signed) - 1))
    changed = signed[:at] + bytes([signed[at] ^ data.draw(st.integers(1, 255))]) + signed[at + 1 :]
    with pytest.raises((Malformed, NotTrusted)):
        read_release(changed)


@given(st.binary(max_size=300))
def test_any_bytes_are_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        read_release(data)


@settings(max_examples=60)
@given(st.binary(min_size=1, max_size=300))
def test_any_signed_bytes_are_a_release_or_malformed(payload: bytes) -> None:
    with contextlib.suppress(Malformed):
        read_release(seal(KEY, DOMAIN, payload))


@covers("T19")
@pytest.mark.parametrize(
    "changed",
    [
        {"name": "Mini LM"},
        {"expires": NOW + limits.RELEASE_LIFETIME_S + 1},
        {"description": "x" * 513},
        {"kind": "weights"},
        {"sequence": 0},
        {"tag": digest_of(b"").text()},
    ],
)
def test_what_would_be_refused_is_not_signed(changed: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        sign_release(KEY, release(**changed))


@covers("T16")
def test_a_release_is_signed_by_its_publisher_only() -> None:
    with pytest.raises(NotTrusted):
        sign_release(SecretKey(bytes(32)), release())


@covers("T12", "T52")
@pytest.mark.parametrize(
    ("now", "good"),
    [(NOW - 300.5, False), (NOW - 299.5, True), (NOW + 86_399.5, True), (NOW + 86_400.5, False)],
)
def test_a_release_is_good_from_skew_before_to_expiry(now: float, good: bool) -> None:
    with contextlib.nullcontext() if good else pytest.raises(NotTrusted):
        check_release(release(), now=now)


@covers("T13")
def test_nobody_can_be_locked_out_by_the_highest_number() -> None:
    with pytest.raises(NotTrusted, match="far ahead"):
        judge(None, known(sequence=limits.SEQUENCE_MAX), now=NOW)


@covers("T11", "T51")
@settings(max_examples=60)
@given(
    st.permutations(
        [known(sequence=NOW * 1000 + step, description=text) for step, text in ((0, "a"), (1, "b"), (2, "c"))]
    )
)
def test_in_whatever_order_releases_come_the_highest_is_believed(candidates: list[Known]) -> None:
    belief: Known | None = None
    highest = 0
    for candidate in candidates:
        judgement = judge(belief, candidate, now=NOW)
        belief = judgement.known
        assert belief.release.sequence >= highest, "a belief is never rolled back"
        highest = belief.release.sequence
    assert belief is not None
    assert belief.release.description == "c"
    assert belief.evidence == ()


@covers("T11")
def test_all_who_see_a_lie_believe_the_same_and_hold_proof_of_it() -> None:
    lies = [known(manifest=digest_of(text)) for text in (b"a", b"b", b"c")]
    lowest = min(lies, key=lambda lie: lie.release.manifest)
    for order in itertools.permutations(lies):
        belief = judge(judge(None, order[0], now=NOW).known, order[1], now=NOW).known
        evidence = belief.evidence
        belief = judge(belief, order[2], now=NOW).known
        assert belief.evidence == evidence, "one proof is enough: a liar cannot make us write without end"
        assert belief is not None
        assert belief.signed == lowest.signed
        first, second = map(read_release, belief.evidence)
        assert first != second
        assert first.sequence == second.sequence


@covers("T11")
def test_a_proven_lie_stays_proven_after_a_newer_release() -> None:
    belief = judge(known(), known(manifest=digest_of(b"b")), now=NOW).known
    judgement = judge(belief, known(sequence=NOW * 1000 + 1), now=NOW)
    assert judgement.verdict is Verdict.NEWER
    assert len(judgement.known.evidence) == 2


@covers("T16")
def test_each_name_tag_and_publisher_has_a_key_of_its_own() -> None:
    other = SecretKey(bytes(32)).peer_id
    asked = [(KEY.peer_id, "ab", "c"), (KEY.peer_id, "a", "bc"), (KEY.peer_id, "ab", "d"), (other, "ab", "c")]
    keys = {dht_key(*each) for each in asked}
    assert len(keys) == 4
    assert all(key.startswith("/p2phub/") and len(key) <= limits.DHT_KEY_BYTES_MAX for key in keys)


@given(st.none() | st.integers(1, 1 << 50), st.integers(0, 1 << 50))
def test_the_next_number_is_above_the_last_and_not_before_the_clock(before: int | None, now_ms: int) -> None:
    number = next_sequence(before, now_ms)
    assert number > (before or 0)
    assert number >= now_ms
