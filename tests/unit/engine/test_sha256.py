"""A SHA-256 that was written down and gone on with is hashlib's, wherever that was; and where it cannot be there, or is
not right, there is none."""

from __future__ import annotations

import hashlib
import struct
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2phub.engine import sha256
from p2phub.engine.sha256 import Sha256

pytestmark = pytest.mark.skipif(sha256.begin() is None, reason="this Python has no OpenSSL whose state can be saved")


@pytest.fixture
def looked_for_anew() -> Iterator[None]:
    sha256._library.cache_clear()
    yield
    sha256._library.cache_clear()


def begun(data: bytes = b"") -> Sha256:
    found = sha256.begin()
    assert found is not None
    found.update(data)
    return found


def resumed(state: bytes, length: int) -> Sha256:
    found = sha256.resume(state, length)
    assert found is not None
    return found


@given(st.lists(st.tuples(st.binary(max_size=300), st.booleans(), st.booleans()), max_size=12))
def test_any_pieces_saved_and_gone_on_with_anywhere_have_the_digest_of_the_whole(
    pieces: list[tuple[bytes, bool, bool]],
) -> None:
    at, so_far = begun(), b""
    for piece, as_view, saved in pieces:
        at.update(memoryview(bytearray(piece)) if as_view else piece)
        so_far += piece
        if saved:
            at = resumed(at.state(), len(so_far))
        assert at.digest() == hashlib.sha256(so_far).digest()


@given(st.binary(max_size=400), st.integers(0, 400))
def test_what_a_state_is_has_one_form_however_it_was_come_by(data: bytes, at: int) -> None:
    at = min(at, len(data))
    other = begun(data[:at])
    other.update(data[at:])
    assert begun(data).state() == other.state() == resumed(other.state(), len(data)).state()
    assert len(other.state()) == 32 + len(data) % 64


@pytest.mark.parametrize("length", [2**29 - 64, 2**29, 2**32, 2**32 + 61, 2**41 + 64, 2**61 - 128])
def test_files_of_more_bits_than_32_bits_can_count_have_the_digest_that_the_standard_says(length: int) -> None:
    words, tail, more = tuple(range(7, 15)), bytes(length % 64), b"\xa5" * 64
    at = resumed(struct.pack(">8I", *words) + tail, length)
    at.update(more)
    assert at.digest() == by_the_standard(words, tail + more, length + len(more))


@pytest.mark.parametrize(
    ("cut", "length"), [(112, 64), (31, 0), (33, 0), (32, 1), (95, 62), (96, 64), (0, 0), (32, -64)]
)
def test_a_state_of_another_size_than_its_length_has_is_none(cut: int, length: int) -> None:
    assert sha256.resume(bytes(cut), length) is None


@pytest.mark.usefixtures("looked_for_anew")
@pytest.mark.parametrize("lacking", ["ctypes", "_hashlib"])
def test_a_python_without_ctypes_or_openssl_has_none(lacking: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, lacking, None)
    assert sha256.begin() is None
    assert sha256.resume(bytes(32), 0) is None


@pytest.mark.usefixtures("looked_for_anew")
@pytest.mark.parametrize(
    "given",
    [
        {"get_fips_mode": lambda: 0},  # Built into the Python: no file.
        {"get_fips_mode": lambda: 1, "__file__": sha256.__file__},
        {"get_fips_mode": lambda: 0, "__file__": "/nothing/here.so"},
        {"get_fips_mode": lambda: 0, "__file__": struct.__file__},
        {"get_fips_mode": lambda: 0, "__file__": getattr(sys.modules["_ctypes"], "__file__", "")},  # No OpenSSL's.
        {},
    ],
    ids=["built in", "fips", "gone", "no library", "another library", "another build"],
)
def test_a_hashlib_that_is_linked_otherwise_has_none(given: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    other = ModuleType("_hashlib")
    other.__dict__.update(given)
    monkeypatch.setitem(sys.modules, "_hashlib", other)
    assert sha256.begin() is None


def _count_first(real: Any) -> Any:
    """A library whose struct has the count of bits before the words."""

    def update(context: Any, data: Any, length: int) -> int:
        done: int = real.update(context, data, length)
        context.raw = context.raw[:32][::-1] + context.raw[32:]
        return done

    return real._replace(update=update)


def _forgets_the_upper_half(real: Any) -> Any:
    def update(context: Any, data: Any, length: int) -> int:
        done: int = real.update(context, data, length)
        context.raw = context.raw[:36] + bytes(4) + context.raw[40:]
        return done

    return real._replace(update=update)


def _is_longer(real: Any) -> Any:
    def init(context: Any) -> int:
        done: int = real.init(context)
        context.raw = context.raw[:200] + b"x" + context.raw[201:]
        return done

    return real._replace(init=init)


def _is_another_hash(real: Any) -> Any:
    def final(found: Any, context: Any) -> int:
        done: int = real.final(found, context)
        found.raw = found.raw[:31] + bytes([found.raw[31] ^ 1])
        return done

    return real._replace(final=final)


@pytest.mark.usefixtures("looked_for_anew")
@pytest.mark.parametrize("change", [_count_first, _forgets_the_upper_half, _is_longer, _is_another_hash])
def test_a_library_that_does_otherwise_in_anything_is_found_out(change: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = sha256._found()
    assert real is not None
    monkeypatch.setattr(sha256, "_found", lambda: change(real))
    assert sha256.begin() is None


# --- by the standard (FIPS 180-4), for lengths that nobody hashes in a test -------------------------------------------


def by_the_standard(words: tuple[int, ...], rest: bytes, length: int) -> bytes:
    """Return the digest of a message of `length` bytes, of which all but `rest` are in `words` already."""
    padded = rest + b"\x80" + bytes((55 - length) % 64) + struct.pack(">Q", 8 * length)
    for at in range(0, len(padded), 64):
        words = _compressed(words, padded[at : at + 64])
    return struct.pack(">8I", *words)


def _roots(power: int) -> list[int]:
    """Return 32 bits of the fractional parts of the square or cube roots of the first 64 primes."""
    primes = [n for n in range(2, 312) if all(n % d for d in range(2, n))][:64]
    found = []
    for prime in primes:
        low, high = 0, prime << 32
        while low < high:  # The largest whole number whose power is at most prime * 2^(32 * power).
            middle = (low + high + 1) // 2
            low, high = (middle, high) if middle**power <= prime << 32 * power else (low, middle - 1)
        found.append(low % 2**32)
    return found


_K = _roots(3)


def _compressed(words: tuple[int, ...], block: bytes) -> tuple[int, ...]:
    def turned(word: int, *by: int) -> int:
        return 0 if not by else (word >> by[0] | word << 32 - by[0]) % 2**32 ^ turned(word, *by[1:])

    schedule = list(struct.unpack(">16I", block))
    for _ in range(48):
        less, more = schedule[-15], schedule[-2]
        small, large = turned(less, 7, 18) ^ less >> 3, turned(more, 17, 19) ^ more >> 10
        schedule.append((schedule[-16] + small + schedule[-7] + large) % 2**32)
    a, b, c, d, e, f, g, h = words
    for constant, word in zip(_K, schedule, strict=True):
        one = h + turned(e, 6, 11, 25) + (e & f ^ ~e & g) + constant + word
        two = turned(a, 2, 13, 22) + (a & b ^ a & c ^ b & c)
        a, b, c, d, e, f, g, h = (one + two) % 2**32, a, b, c, (d + one) % 2**32, e, f, g
    return tuple((was + now) % 2**32 for was, now in zip(words, (a, b, c, d, e, f, g, h), strict=True))


def test_the_standard_as_written_here_is_hashlibs() -> None:
    first = tuple(_roots(2)[:8])
    assert by_the_standard(first, b"abc", 3) == hashlib.sha256(b"abc").digest()
    assert by_the_standard(first, bytes(130), 130) == hashlib.sha256(bytes(130)).digest()
