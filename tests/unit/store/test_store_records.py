"""A log that was cut or damaged is believed exactly as far as it is whole."""

from __future__ import annotations

from io import BytesIO

import pytest

from p2phub.store.records import decode_records, encode_record, next_record, read_records

BODIES = [b"one", b"", b"three" * 8, b"4"]


def log_of(bodies: list[bytes]) -> bytes:
    log = b""
    for body in bodies:
        log += encode_record(body, len(log))
    return log


ENDS = [len(log_of(BODIES[:count])) for count in range(len(BODIES) + 1)]


def test_records_come_back_in_order() -> None:
    assert decode_records(log_of(BODIES)) == (BODIES, len(log_of(BODIES)))


@pytest.mark.parametrize("length", range(len(log_of(BODIES))))
def test_a_log_cut_anywhere_gives_its_whole_records(length: int) -> None:
    whole = max(count for count, end in enumerate(ENDS) if end <= length)
    assert decode_records(log_of(BODIES)[:length]) == (BODIES[:whole], ENDS[whole])


@pytest.mark.parametrize("at", range(len(log_of(BODIES))))
def test_a_flipped_bit_ends_belief_before_its_record_and_what_follows_is_found(at: int) -> None:
    log = bytearray(log_of(BODIES))
    log[at] ^= 0x10
    before = max(count for count, end in enumerate(ENDS) if end <= at)
    assert decode_records(bytes(log)) == (BODIES[:before], ENDS[before])
    assert next_record(bytes(log), ENDS[before]) == (ENDS[before + 1] if before + 1 < len(BODIES) else None)


def test_a_tail_of_zeros_is_no_record() -> None:
    log = log_of(BODIES)
    assert decode_records(log + bytes(4096)) == (BODIES, len(log))
    assert next_record(log + bytes(4096), len(log)) is None


def test_a_record_holds_only_where_it_was_written() -> None:
    inner = encode_record(b"stale", 0)
    log = encode_record(inner, 0)
    assert decode_records(log) == ([inner], len(log))
    assert next_record(log[1:], 0) is None


@pytest.mark.parametrize("length", range(len(log_of(BODIES)) + 1))
def test_read_one_at_a_time_a_log_gives_the_same(length: int) -> None:
    cut = log_of(BODIES)[:length]
    found = list(read_records(BytesIO(cut).read, body_bytes_max=1_000, bytes_max=1_000))
    assert ([body for _, body in found], [at for at, _ in found]) == (decode_records(cut)[0], ENDS[: len(found)])


def test_a_record_beyond_the_bounds_is_not_even_read() -> None:
    asked: list[int] = []

    def read(count: int) -> bytes:
        asked.append(count)
        return stream.read(count)

    stream = BytesIO(log_of(BODIES))
    assert [body for _, body in read_records(read, body_bytes_max=39, bytes_max=1_000)] == [b"one", b""]
    assert max(asked) < 40
    stream = BytesIO(log_of(BODIES))
    assert [body for _, body in read_records(read, body_bytes_max=1_000, bytes_max=ENDS[2] + 1)] == [b"one", b""]
    assert max(asked) < 40
