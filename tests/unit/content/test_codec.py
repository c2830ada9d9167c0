"""Canonical msgpack: one value, one encoding. The rules one by one stand in the vectors."""

from __future__ import annotations

import contextlib
import tracemalloc

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2phub.content import codec, has_controls, pack, packed_lengths, unpack, unpack_record
from p2phub.errors import Malformed
from tests.support.covers import covers

scalars = st.one_of(st.booleans(), st.integers(-(1 << 63), (1 << 64) - 1), st.text(max_size=40), st.binary(max_size=40))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(st.text(max_size=9), inner, max_size=5)),
)


@given(values)
def test_what_is_packed_is_unpacked(value: object) -> None:
    assert unpack(pack(value)) == value


@given(values)
def test_any_msgpack_reader_reads_it(value: object) -> None:
    assert msgpack.unpackb(pack(value), strict_map_key=False) == value


@given(st.dictionaries(st.text(max_size=9), st.integers(0, 5), min_size=2), st.randoms())
def test_the_order_in_which_a_map_was_made_does_not_matter(value: dict[str, int], chance: object) -> None:
    shuffled = list(value.items())
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert pack(dict(shuffled)) == pack(value)


@covers("T19", "T27")
@given(st.binary(max_size=60))
def test_any_bytes_are_refused_or_are_the_encoding_of_what_they_give(data: bytes) -> None:
    try:
        value = unpack(data)
    except Malformed:
        return
    assert pack(value) == data


@covers("T19")
@given(st.one_of(st.binary(max_size=60), values.map(pack)), st.data())
def test_the_short_way_gives_what_the_long_way_does(data: bytes, chance: st.DataObject) -> None:
    if data and chance.draw(st.booleans()):
        at = chance.draw(st.integers(0, len(data) - 1))
        data = data[:at] + bytes([chance.draw(st.integers(0, 255))]) + data[at + 1 :]
    with pytest.MonkeyPatch.context() as patch:
        short = _outcome(data)
        patch.setattr(codec, "_SHORT_BYTES_MAX", 0)
        assert short == _outcome(data)


def _outcome(data: bytes) -> object:
    try:
        return unpack(data)
    except Malformed as exc:
        return exc.rule


@covers("T27")
@pytest.mark.parametrize("level", [b"\x91", b"\x81\xa0", b"\x81"])
def test_what_is_deeper_than_the_interpreter_goes_is_malformed(level: bytes) -> None:
    with pytest.raises(Malformed):
        unpack((level * 1024)[: codec._SHORT_BYTES_MAX])


@covers("T19")
@given(values, st.data())
def test_a_changed_byte_gives_another_value_or_none(value: object, data: st.DataObject) -> None:
    packed = pack(value)
    at = data.draw(st.integers(0, len(packed) - 1))
    changed = packed[:at] + bytes([packed[at] ^ data.draw(st.integers(1, 255))]) + packed[at + 1 :]
    try:
        other = unpack(changed)
    except Malformed:
        return
    assert pack(other) == changed


@given(st.lists(values, max_size=5))
def test_lengths_are_those_of_the_encodings(items: list[object]) -> None:
    ordered = [unpack(pack(item)) for item in items]
    assert list(packed_lengths(ordered)) == [len(pack(item)) for item in items]


@pytest.mark.parametrize("value", [None, 1.5, {1: 2}, {b"a": 1}, {"a": None}, [object()], {1, 2}])
def test_what_has_no_encoding_is_a_mistake_of_ours(value: object) -> None:
    with pytest.raises(TypeError):
        pack(value)


def test_too_deep_a_value_is_a_mistake_of_ours() -> None:
    value: list[object] = []
    for _ in range(16):
        value = [value]
    with pytest.raises(ValueError, match="levels"):
        pack(value)


@covers("T27")
@pytest.mark.parametrize(
    "data",
    [
        b"\xdd\x00\x0f\xff\xff" * 1000,  # A million elements claimed, a thousand levels deep.
        b"\xdf\x0f\xff\xff\xff" * 1000,
        b"\xc6\xff\xff\xff\xff",
        b"\xdd\xff\xff\xff\xff" + bytes(1000),
    ],
)
def test_what_is_claimed_and_not_there_costs_no_memory(data: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(Malformed) as raised:
            unpack(data)
        assert tracemalloc.get_traced_memory()[1] < 64 * 1024
    finally:
        tracemalloc.stop()
    raised.match("msgpack-truncated")  # To compile the pattern takes more memory than that.


@covers("T27")
@pytest.mark.parametrize(
    "part", [b"\x00", b"\x90", b"\x80", b"\x91\x92\x90\x90", b"\xa2ab", b"\xc4\x02ab", b"\xcd\x01\x00"]
)
def test_memory_is_bounded_by_the_length_of_the_input(part: bytes) -> None:
    count = (1 << 20) // len(part)
    data = b"\xdd" + count.to_bytes(4, "big") + part * count
    tracemalloc.start()
    try:
        with contextlib.suppress(Malformed):
            unpack(data)
        assert tracemalloc.get_traced_memory()[1] < 35 * len(data)
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=60), values)
def test_any_bytes_are_a_record_or_malformed(data: bytes, value: object) -> None:
    for each in (data, pack(value), pack(["p2phub test", 1, value])):
        with contextlib.suppress(Malformed):
            unpack_record(each, "p2phub test", 1)


@pytest.mark.parametrize("text", ["plain", "ünïcode 概要", "👩\u200d💻", "می\u200cخواهم", " ", ""])
def test_text_as_people_write_it_has_no_controls(text: str) -> None:
    assert not has_controls(text)


@covers("T59")
@pytest.mark.parametrize("text", ["\0", "\n", "\x7f", "\x9b", "\u2028", "\u202e", "\ud800", "\ufeff", "é\u2066x"])
def test_what_moves_a_cursor_or_turns_text_around_is_a_control(text: str) -> None:
    assert has_controls(text)
