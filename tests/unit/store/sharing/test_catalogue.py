"""The catalogue of a shared place: what is written is read back, and everything else is refused, whoever wrote it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from p2phub import limits
from p2phub.content import Digest, pack
from p2phub.errors import Damaged
from p2phub.identity import PeerId
from p2phub.store.records import encode_record
from p2phub.store.sharing import Catalogue, Listed, Named
from p2phub.store.sharing.catalogue import Space, decode_catalogue, encode_catalogue
from tests.support.covers import covers

ONE, TWO = Digest(b"1" * 32), Digest(b"2" * 32)
KEY = PeerId(b"k" * 32)
CATALOGUE = Catalogue(
    "12D3KooWriter",
    (Listed("", TWO, 1, 0), Listed("a", ONE, 2, 3), Listed("a", TWO, 0, 0), Listed("b/c d", ONE, 2, 3)),
    (Named(KEY, "m", "main", b"one"), Named(KEY, "m", "main", b"two"), Named(KEY, "m", "old", b"")),
)


def body(**changed: Any) -> list[Any]:
    """A right body, but for some of its parts."""
    parts = {"version": 1, "writer": "w", "listed": [["a", ONE.raw, 1, 1]], "named": [[b"k" * 32, "m", "main", b"s"]]}
    return list((parts | changed).values())


def test_what_is_written_is_read_back() -> None:
    assert decode_catalogue(encode_catalogue(CATALOGUE)) == CATALOGUE
    assert decode_catalogue(encode_catalogue(Catalogue("w"))) == Catalogue("w")
    assert decode_catalogue(encode_record(pack(body()), 0)).listed == (Listed("a", ONE, 1, 1),)


@pytest.mark.parametrize("cut", range(0, len(encode_catalogue(CATALOGUE)), 7))
def test_a_catalogue_that_was_cut_short_is_refused(cut: int) -> None:
    with pytest.raises(Damaged, match="checksum"):
        decode_catalogue(encode_catalogue(CATALOGUE)[:cut])


def test_a_catalogue_with_a_wrong_byte_or_one_too_many_is_refused() -> None:
    right = encode_catalogue(CATALOGUE)
    with pytest.raises(Damaged, match="checksum"):
        decode_catalogue(right[:-3] + bytes([right[-3] ^ 1]) + right[-2:])
    with pytest.raises(Damaged, match="checksum"):
        decode_catalogue(right + b"x")
    with pytest.raises(Damaged, match="checksum"):
        decode_catalogue(right + encode_record(b"", len(right)))


@covers("T27", "T54")
@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"version": 2}, "newer p2phub"),
        ({"version": 0}, "another form"),
        ({"version": True}, "another form"),
        ({"writer": 7}, "another form"),
        ({"writer": "w" * (limits.SHARED_WRITER_BYTES_MAX + 1)}, "who wrote it"),
        ({"writer": "\x1b[2J"}, "who wrote it"),
        ({"listed": {}}, "another form"),
        ({"more": 1}, "another form"),
        ({"listed": [["/etc", ONE.raw, 1, 1]]}, "path-absolute"),
        ({"listed": [["../a", ONE.raw, 1, 1]]}, "path-dots"),
        ({"listed": [["a/../../b", ONE.raw, 1, 1]]}, "path-dots"),
        ({"listed": [["a//b", ONE.raw, 1, 1]]}, "path-empty"),
        ({"listed": [["a\0", ONE.raw, 1, 1]]}, "path-control"),
        ({"listed": [[".p2phub/x", ONE.raw, 1, 1]]}, "path-own"),
        ({"listed": [["x" * 2000, ONE.raw, 1, 1]]}, "path-long"),
        ({"listed": [["a", b"short", 1, 1]]}, "digest-length"),
        ({"listed": [["a", ONE.raw, -1, 1]]}, "no folder with a manifest"),
        ({"listed": [["a", ONE.raw, 1, True]]}, "no folder with a manifest"),
        ({"listed": [["a", ONE.raw, 1]]}, "no folder with a manifest"),
        ({"listed": [["b", ONE.raw, 1, 1], ["a", ONE.raw, 1, 1]]}, "do not ascend"),
        ({"listed": [["a", ONE.raw, 1, 1], ["a", ONE.raw, 2, 1]]}, "do not ascend"),
        ({"listed": [["a", ONE.raw, limits.SHARED_FILES_MAX, 1], ["b", ONE.raw, 1, 1]]}, "more than a place may have"),
        ({"listed": [["a", ONE.raw, 1, limits.SHARED_CHUNKS_MAX + 1]]}, "more than a place may have"),
        ({"named": [[b"k", "m", "main", b"s"]]}, "peer-id"),
        ({"named": [[b"k" * 32, "m", "main", b"s" * (limits.RELEASE_BYTES_MAX + 1)]]}, "no release"),
        ({"named": [[b"k" * 32, "m", "main", b"s"]] * 2}, "do not ascend"),
    ],
)
def test_what_is_no_catalogue_is_refused(changed: dict[str, Any], match: str) -> None:
    with pytest.raises(Damaged, match=match):
        decode_catalogue(encode_record(pack(body(**changed)), 0))


def test_a_catalogue_in_another_encoding_is_refused() -> None:
    packed = pack(body())
    with pytest.raises(Damaged):
        decode_catalogue(encode_record(b"\xdc\x00\x04" + packed[1:], 0))  # The same list, its length spelled longer.


def test_more_than_a_catalogue_may_have_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SHARED_CATALOGUE_BYTES_MAX", 100)
    with pytest.raises(Damaged, match="more than 100 bytes"):
        decode_catalogue(encode_catalogue(CATALOGUE))


@pytest.mark.parametrize(
    ("bound", "value", "match"),
    [("SHARED_LISTED_MAX", 3, "4 folders"), ("SHARED_NAMED_MAX", 2, "3 names")],
)
def test_more_entries_than_it_may_have_are_refused(
    bound: str, value: int, match: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, bound, value)
    with pytest.raises(Damaged, match=match):
        decode_catalogue(encode_catalogue(CATALOGUE))


@pytest.mark.parametrize(
    ("bound", "value"),
    [
        ("SHARED_CATALOGUE_BYTES_MAX", 3_000),
        ("SHARED_LISTED_MAX", 5),
        ("SHARED_FILES_MAX", 20),
        ("SHARED_CHUNKS_MAX", 31),
        ("SHARED_NAMED_MAX", 4),
    ],
)
def test_what_was_said_to_fit_is_a_catalogue_that_can_be_read(
    bound: str, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, bound, value)
    space = Space("w" * 50)
    listed = [each for n in range(40) if space.take(each := Listed(f"folder {n:02}", ONE, 3, 5))]
    named = [each for n in range(40) if space.take_name(each := Named(KEY, "m", f"{n:02}", b"s" * 300))]
    catalogue = Catalogue("w" * 50, tuple(listed), tuple(named))
    assert decode_catalogue(encode_catalogue(catalogue)) == catalogue
    assert 0 < len(listed) + len(named) < 80
    refused: Callable[[], Any] = lambda: space.take(replace(listed[0], files=1 << 40))  # noqa: E731
    assert not refused()
