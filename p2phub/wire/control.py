"""The control protocol: small questions, answered in order, one answer each. Sans I/O; bytes come as they come.

    client    idle -ask-> waiting -answer of the right kind-> idle     anything else: dead
    server    each whole question is returned in order; at most REQUESTS_WAITING_MAX may wait for their answer

Source: proto/transfer.md §6.
"""

from __future__ import annotations

from p2phub import limits
from p2phub.errors import Malformed, ProtocolViolation
from p2phub.wire.codec import decode_control_answer, decode_control_request, encode
from p2phub.wire.framing import FrameDecoder
from p2phub.wire.messages import (
    ControlAnswer,
    ControlRequest,
    GetNews,
    GetRelease,
    News,
    Ping,
    Pong,
    Probe,
    Probed,
    ReleaseIs,
)

ANSWER_TO: dict[type, type] = {
    Ping: Pong,
    GetRelease: ReleaseIs,
    Probe: Probed,
    GetNews: News,
}


class ControlClient:
    """The side that asks. After an error the connection is to be closed."""

    def __init__(self, *, peer: str | None = None) -> None:
        self._peer = peer
        self._frames = FrameDecoder()
        self._due: type | None = None
        self._dead = False

    def ask(self, request: ControlRequest) -> bytes:
        """Return the frame that asks; the next question waits for this one's answer."""
        assert self._due is None
        assert not self._dead
        self._due = ANSWER_TO[type(request)]
        return encode(request)

    def receive(self, data: bytes) -> ControlAnswer | None:
        """Take bytes as they come. Returns the answer once it is whole. Raises ProtocolViolation."""
        try:
            return self._receive(data)
        except Malformed as exc:
            self._dead = True
            raise ProtocolViolation(str(exc), peer=self._peer) from exc
        except ProtocolViolation:
            self._dead = True
            raise

    def _receive(self, data: bytes) -> ControlAnswer | None:
        if self._dead or (self._due is None and data):
            raise ProtocolViolation("an answer to no question [unasked]", peer=self._peer)
        headers = self._frames.receive(data)
        if not headers:
            return None
        if len(headers) > 1 or not self._frames.is_empty:
            raise ProtocolViolation("more than the answer [unasked]", peer=self._peer)
        answer = decode_control_answer(headers[0])
        if type(answer) is not self._due:
            raise ProtocolViolation(f"{type(answer).__name__} is no answer to this [out-of-order]", peer=self._peer)
        self._due = None
        return answer


class ControlServer:
    """The side that answers. After an error the connection is to be closed."""

    def __init__(self, *, peer: str | None = None) -> None:
        self._peer = peer
        self._frames = FrameDecoder()
        self._waiting: list[type] = []
        self._dead = False

    def receive(self, data: bytes) -> list[ControlRequest]:
        """Take bytes as they come. Returns the questions that are whole now, in order. Raises ProtocolViolation."""
        if self._dead:
            raise ProtocolViolation("bytes after an error [out-of-order]", peer=self._peer)
        try:
            requests = [decode_control_request(header) for header in self._frames.receive(data)]
        except Malformed as exc:
            self._dead = True
            raise ProtocolViolation(str(exc), peer=self._peer) from exc
        return self.begin(*requests)

    def begin(self, *requests: ControlRequest) -> list[ControlRequest]:
        """Take questions that somebody else read: whoever had to tell a control from a bulk connection."""
        self._waiting += [type(request) for request in requests]
        if len(self._waiting) > limits.REQUESTS_WAITING_MAX:
            self._dead = True
            raise ProtocolViolation(f"{len(self._waiting)} questions at once [too-many]", peer=self._peer)
        return list(requests)

    def answer(self, answer: ControlAnswer) -> bytes:
        """Return the frame that answers the oldest question."""
        assert self._waiting
        assert type(answer) is ANSWER_TO[self._waiting[0]]
        del self._waiting[0]
        return encode(answer)
