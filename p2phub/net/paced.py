"""A channel whose payload waits for its share of the caps.

Waiting for our own cap is never the peer's fault: the peer's time runs only while a call on the connection does, and
`received` grows meanwhile, so that a capped link does not look like a stalled one. What is counted is what bulk
connections carry inside TLS, in the direction of the payload. Source: proto/transfer.md §5; docs/decisions/0060.
"""

from __future__ import annotations

from collections.abc import Callable

from p2phub import limits
from p2phub.errors import PeerGone, PeerStalled
from p2phub.identity import PeerId
from p2phub.net.channel import Channel, Progress
from p2phub.net.throttle import Throttle
from p2phub.transfer import Flow

_TOLD_BYTES = 4 * limits.KIB  # Less is told with what follows it, or at the end: a header with its payload.
_LOOK_BYTES = 4 * limits.RATE_MIN  # What a look at a waiting thread counts for: links are looked at each second.


class PacedChannel:
    """A channel whose payload, which flows one way, passes in shares of `flow`: sent if `sends`, else received."""

    def __init__(
        self,
        channel: Channel,
        throttle: Throttle,
        flow: Flow,
        *,
        sends: bool,
    ) -> None:
        self._channel, self._throttle, self._flow, self._sends = channel, throttle, flow, sends
        self.peer: PeerId = channel.peer
        self.progress: Progress = channel.progress
        self._stop = throttle.stop()
        self._waits = False
        self._credit = 0
        self._untold = 0  # Bytes that go out without a wait, and the throttle has not heard of.

    def fill(self, into: memoryview) -> None:
        if self._sends or not self._throttle.is_limited:
            self._channel.fill(into)
        else:
            self._in_pieces(into, self._channel.fill)

    def send(self, data: memoryview | bytes) -> None:
        if not self._sends or not self._throttle.is_limited:
            self._untold += len(data)
            if self._untold >= _TOLD_BYTES:
                self._tell()
            self._channel.send(data)
        else:
            self._in_pieces(memoryview(data), self._channel.send)

    def wait(self, timeout_s: float) -> bool:
        return self._channel.wait(timeout_s)

    def nothing_for_us(self) -> bool:
        return self._channel.nothing_for_us()

    def received(self) -> int:
        # A thread that waits for its share is no sign of the peer: let looks count as bytes, or the link seems stalled.
        if self._waits:
            self._credit += _LOOK_BYTES
        return self._channel.received() + self._credit

    def wake(self) -> None:
        self._channel.wake()

    def cancel(self) -> None:
        self._channel.cancel()
        self._stop.call()

    def close(self) -> None:
        self._tell()
        self._channel.close()

    def _tell(self) -> None:
        if self._untold:
            self._throttle.gave(self._flow, self._untold)
            self._untold = 0

    def _in_pieces(self, data: memoryview, move: Callable[[memoryview], None]) -> None:
        # The peer's time is bounded for all pieces together, as it is for the one call that would move them all.
        allowed_s = limits.SOCKET_CALL_S + len(data) / limits.RATE_MIN
        while data:
            piece = data[: self._wait_for_share(len(data))]
            began = self._throttle.clock()
            move(piece)
            allowed_s -= self._throttle.clock() - began
            if allowed_s < 0:
                raise PeerStalled("the peer is too slow to go on with", peer=str(self.peer))
            data = data[len(piece) :]

    def _wait_for_share(self, most: int) -> int:
        self._waits = True
        try:
            with self.progress.ours():
                count = self._throttle.take(self._flow, most, self._stop)
        finally:
            self._waits = False
            self._credit += _LOOK_BYTES
        if not count:
            raise PeerGone("the connection was ended", peer=str(self.peer))
        return count
