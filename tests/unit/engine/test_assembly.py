"""What describes a manifest is gathered, and let go of once it is stored."""

from __future__ import annotations

from p2phub.content import Digest, digest_of
from p2phub.engine.assembly import Assembly
from tests.support.content import content_of, random_files

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
