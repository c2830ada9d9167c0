"""A record of a journal speaks under one secret, header and folder, and at one offset; nowhere else."""

from __future__ import annotations

import pytest

from p2phub.store.seal import TAG_BYTES, Seal

SECRET, HEADER = b"home" * 8, b"manifest, table, nonce"
OURS = Seal(SECRET, HEADER, device=1, inode=2)


def test_a_tag_holds_for_what_it_was_made_for() -> None:
    tag = OURS.tag(b"record", 90)
    assert len(tag) == TAG_BYTES
    assert Seal(SECRET, HEADER, device=1, inode=2).holds(tag, b"record", 90)


@pytest.mark.parametrize(
    "other",
    [
        Seal(b"evil" * 8, HEADER, device=1, inode=2),
        Seal(SECRET, HEADER + b"!", device=1, inode=2),
        Seal(SECRET, HEADER, device=3, inode=2),
        Seal(SECRET, HEADER, device=1, inode=3),
    ],
    ids=["secret", "header", "device", "inode"],
)
def test_a_tag_holds_for_no_other_journal(other: Seal) -> None:
    assert not other.holds(OURS.tag(b"record", 90), b"record", 90)


def test_a_tag_holds_for_no_other_record_or_place() -> None:
    tag = OURS.tag(b"record", 90)
    assert not OURS.holds(tag, b"another", 90)
    assert not OURS.holds(tag, b"record", 91)
    assert not OURS.holds(tag[:-1], b"record", 90)
    assert not OURS.holds(b"", b"record", 90)
