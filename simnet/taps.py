"""Listens at the connections of the nodes: what is asked for, what comes, and what a node tells others that it holds.

Only on the way of bytes, which it neither holds up nor changes; what it hears it says to the judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from p2phub import limits
from p2phub.content import RangeSet
from p2phub.errors import Malformed, ProtocolViolation
from p2phub.net.lease import WINDOW_BYTES_NEAR_MAX
from p2phub.wire import (
    BlobsFollow,
    Chunks,
    FrameDecoder,
    News,
    Opening,
    Refuse,
    Want,
    decode_control_answer,
)
from p2phub.wire.codec import decode_bulk_answer, decode_bulk_request
from p2phub.wire.framing import LENGTH_BYTES, header_length
from simnet.network import Stream
from simnet.truth import Truth

_HELD = b"\xa4held"
"""The field of an answer that says what is held, as it is packed. Most answers have none, and need not be read."""


class Tap(Protocol):
    """Listens at one bulk connection, at one end."""

    def said(self, data: bytes | memoryview) -> None: ...

    def heard(self, data: memoryview) -> None: ...

    def closed(self) -> None: ...


class Judge(Protocol):
    """Who is told what was heard: the witness."""

    truth: Truth

    def fail(self, sentence: str) -> None: ...

    def counts(self, stream: Stream) -> None: ...

    def opens_with(self, stream: Stream, held: RangeSet) -> None: ...

    def tells(self, node: str, held: RangeSet) -> None: ...

    def took(self, node: str, chunks: RangeSet) -> None: ...

    def threw_away(self, node: str, chunks: RangeSet) -> None: ...

    def let_go(self, channel: object) -> None: ...


def _most_under_way(stream: Stream) -> float:
    """Return how much a requester may have under way over `stream`: more from afar, by what its line really is."""
    host, other = stream.host, stream.other
    trip_s = 2 * (host.latency_s + other.latency_s)
    line = min(host.down.rate, other.up.rate)
    return min(limits.WINDOW_BYTES_MAX, WINDOW_BYTES_NEAR_MAX + 2 * line * trip_s)


class ProviderTap:
    """Reads the answer to Open, in which a provider says what it holds."""

    def __init__(self, judge: Judge, channel: object, stream: Stream) -> None:
        self._judge, self._channel, self._stream = judge, channel, stream
        self._opened = False

    def said(self, data: bytes | memoryview) -> None:
        if self._opened:
            return
        self._opened = True
        end = LENGTH_BYTES + header_length(data[:LENGTH_BYTES])
        answer = decode_bulk_answer(bytes(data[LENGTH_BYTES:end]))
        if isinstance(answer, Opening):
            self._judge.opens_with(self._stream, answer.held)

    def heard(self, data: memoryview) -> None:
        pass

    def closed(self) -> None:
        self._judge.let_go(self._channel)


class RequesterTap:
    """Reads requests and answers, and adds up how much is under way, and has come."""

    def __init__(self, judge: Judge, channel: object, stream: Stream) -> None:
        self._judge, self._channel, self._stream = judge, channel, stream
        self._table = judge.truth.table
        self._whole = RangeSet.whole(len(self._table))
        self._requests, self._answers = FrameDecoder(), FrameDecoder()
        self._owed = 0
        self._payload = 0  # Bytes announced that have not come,
        self._coming = RangeSet()  # and the chunks that they are.
        self._came = RangeSet()  # The chunks of the last answer that came.
        self._deaf = False

    def said(self, data: bytes | memoryview) -> None:
        for header in self._requests.receive(bytes(data)):
            request = decode_bulk_request(header)
            if isinstance(request, Want):
                self._owed += self._length(request.ranges)
        most = _most_under_way(self._stream)
        if self._owed > most and not self._deaf:
            self._deaf = True
            self._judge.fail(
                f"{self._stream.host.name} has {self._owed} bytes under way from {self._stream.other.name}, "
                f"more than the window of {most:.0f}"
            )

    def heard(self, data: memoryview) -> None:
        if self._deaf:
            return
        if self._payload:
            self._payload -= len(data)
            if not self._payload and self._coming:
                self._came, self._coming = self._coming, RangeSet()
                self._judge.took(self._stream.host.name, self._came)
            return
        try:
            answers = [decode_bulk_answer(header) for header in self._answers.receive(bytes(data))]
        except (Malformed, ProtocolViolation):
            self._deaf = True  # Garbage: the code under test has to notice, too.
            return
        for answer in answers:
            match answer:
                case Opening():
                    self._payload = sum(answer.blob_lengths) + answer.chunk_bytes
                    self._coming = self._known(((0, answer.chunk_count),))
                case BlobsFollow():
                    self._payload = sum(answer.lengths)
                case Chunks():
                    self._payload = answer.length
                    self._coming = self._known(answer.ranges)
                    self._owed -= self._table.bytes_of(self._coming)
                case Refuse():
                    self._owed -= self._length(answer.ranges)

    def closed(self) -> None:
        self._judge.let_go(self._channel)
        self._judge.threw_away(self._stream.host.name, self._came)

    def _known(self, ranges: Sequence[tuple[int, int]]) -> RangeSet:
        return self._whole & RangeSet.of((first, first + count) for first, count in ranges if count)

    def _length(self, ranges: Sequence[tuple[int, int]]) -> int:
        return self._table.bytes_of(self._known(ranges))


class ControlTap:
    """Reads what is answered on one control connection: above all what the answerer says that it holds."""

    def __init__(self, judge: Judge, stream: Stream) -> None:
        self._judge, self._stream = judge, stream
        self._answers = FrameDecoder()
        self._told = b""

    def said(self, data: bytes) -> None:
        for header in self._answers.receive(data):
            if self._stream.kind != "control" and not self._is_first(header):
                return
            at = header.find(_HELD)
            if at < 0 or header[at:] == self._told:
                continue
            self._told = header[at:]  # Said again and again while nothing comes.
            answer = decode_control_answer(header)
            if isinstance(answer, News) and answer.held is not None:
                self._judge.tells(self._stream.host.name, answer.held)

    def _is_first(self, header: bytes) -> bool:
        """Whether this is the first answer of a control connection. A bulk connection may be refused there."""
        try:
            decode_control_answer(header)
        except Malformed:
            return False
        self._stream.kind = "control"
        self._judge.counts(self._stream)
        return True
