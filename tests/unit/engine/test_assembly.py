"""What describes a manifest is gathered, and let go of once it is stored."""

from __future__ import annotations

from p2phub.content import Digest, digest_of
from p2phub.engine.assembly import Assembly
from p2phub.errors import DiskError
from tests.support.content import content_of, random_files
from tests.support.covers import covers

CONTENT = content_of(random_files(3, a=2_500, b=10, c=3_100), 1_000)


def test_what_was_added_is_handed_out_once_and_then_asked_of_the_store() -> None:
    stored: dict[Digest, bytes] = {}
    assembly = Assembly(CONTENT.root, stored.get)
    while missing := assembly.missing():
        assert [each.length for each in missing if each.digest != CONTENT.root] == [
            len(CONTENT.blobs[each.digest]) for each in missing if each.digest != CONTENT.root
        ]
        assembly.add(CONTENT.blobs[each.digest] for each in missing)
    taken = assembly.take_new()
    assert {digest_of(blob): blob for blob in taken} == CONTENT.blobs
    assert assembly.take_new() == ()
    assert assembly.blob(CONTENT.root) is None, "it is held twice"
    stored |= CONTENT.blobs
    assert assembly.missing() == []
    assert assembly.manifest() == CONTENT.manifest
    assert assembly.table().parts() == CONTENT.table.parts()


@covers("F03")
def test_what_the_disk_fails_at_is_asked_for_as_if_it_were_missing() -> None:
    """So that to fetch it again mends it: the store writes anew what it cannot read."""
    stored = dict(CONTENT.blobs)
    bad = set(CONTENT.blobs)

    def held(digest: Digest) -> bytes | None:
        if digest in bad:
            raise DiskError("an input/output error")
        return stored.get(digest)

    assembly = Assembly(CONTENT.root, held)
    while missing := assembly.missing():
        assembly.add(CONTENT.blobs[each.digest] for each in missing)
        bad -= {digest_of(blob) for blob in assembly.take_new()}
    assert not bad
    assert assembly.manifest() == CONTENT.manifest
    assert assembly.table().parts() == CONTENT.table.parts()
