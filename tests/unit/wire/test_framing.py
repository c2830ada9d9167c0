"""Frames: cut anywhere, bounded before they are allocated."""

from __future__ import annotations

import pytest

from p2phub import limits
from p2phub.errors import Malformed
from p2phub.wire import FrameDecoder
from p2phub.wire.framing import frame, header_length
from tests.support.covers import covers

TWO_FRAMES = frame(b"first") + frame(b"the second")


@pytest.mark.parametrize("split", range(len(TWO_FRAMES) + 1))
def test_frames_survive_any_split(split: int) -> None:
    decoder = FrameDecoder()
    headers = decoder.receive(TWO_FRAMES[:split]) + decoder.receive(TWO_FRAMES[split:])
    assert headers == [b"first", b"the second"]
    assert decoder.is_empty


def test_frames_survive_byte_by_byte() -> None:
    decoder = FrameDecoder()
    assert [header for byte in TWO_FRAMES for header in decoder.receive(bytes([byte]))] == [b"first", b"the second"]


def test_a_begun_frame_is_noticed() -> None:
    decoder = FrameDecoder()
    decoder.receive(TWO_FRAMES[:-1])
    assert not decoder.is_empty


@covers("T27")
@pytest.mark.parametrize("length", [0, limits.FRAME_HEADER_BYTES_MAX + 1, (1 << 32) - 1])
def test_a_length_out_of_bounds_is_refused_before_anything_follows(length: int) -> None:
    prefix = length.to_bytes(4, "big")
    with pytest.raises(Malformed, match="frame-length"):
        header_length(prefix)
    with pytest.raises(Malformed, match="frame-length"):
        FrameDecoder().receive(prefix)


def test_the_longest_header_is_allowed() -> None:
    assert header_length(frame(bytes(limits.FRAME_HEADER_BYTES_MAX))[:4]) == limits.FRAME_HEADER_BYTES_MAX
