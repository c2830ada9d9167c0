"""One way of a long line, as arithmetic: packets wait in a queue, leave it at a rate, and arrive after a delay.

Pure: the caller tells the time and moves the packets (`programs.line`). Bytes, and seconds of whatever clock the caller
reads. What finds the queue full is dropped, as by a router without any other rule, and TCP has to notice.
"""

from __future__ import annotations

from collections import deque


class Lane:
    """A queue of `queue_bytes`, emptied at `bytes_per_s`, and a line behind it that takes `delay_s`."""

    def __init__(self, *, bytes_per_s: float, delay_s: float, queue_bytes: int) -> None:
        self._bytes_per_s, self._delay_s = bytes_per_s, delay_s
        self._queue_s = queue_bytes / bytes_per_s  # A queue is as long as what is in it takes to leave.
        self._free_at = 0.0  # When all that was taken so far has left the queue.
        self._under_way: deque[tuple[float, bytes]] = deque()
        self.taken, self.dropped = 0, 0

    def take(self, packet: bytes, *, now: float) -> None:
        """Take a packet into the queue, or drop it if there is no room for the whole of it."""
        leaves_at = max(self._free_at, now) + len(packet) / self._bytes_per_s
        if leaves_at - now > self._queue_s:
            self.dropped += 1
            return
        self.taken += 1
        self._free_at = leaves_at
        self._under_way.append((leaves_at + self._delay_s, packet))

    def arrived(self, *, now: float) -> list[bytes]:
        """Return, once, the packets that have arrived by now, in their order."""
        arrived = []
        while self._under_way and self._under_way[0][0] <= now:
            arrived.append(self._under_way.popleft()[1])
        return arrived

    @property
    def next_arrival(self) -> float | None:
        """When the next packet arrives; None if none is under way."""
        return self._under_way[0][0] if self._under_way else None
