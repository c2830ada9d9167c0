"""A connection as a blocking thread sees it: exact reads into the caller's buffer, whole writes, and a way to stop it.

A channel belongs to one thread; only `wake`, `cancel`, `received` and `progress` are for others. After any error it is
closed, never reused. A socket timeout is no deadline (a peer that sends a byte now and then never trips one), so each
call states by when it must end, and a watchdog cancels what is overdue.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from p2phub import limits
from p2phub.errors import PeerError, PeerGone, PeerStalled
from p2phub.identity import PeerId


class Channel(Protocol):
    """One proven connection, blocking."""

    peer: PeerId
    progress: Progress

    def fill(self, into: memoryview) -> None:
        """Receive exactly len(into) bytes. Raises PeerGone, PeerStalled."""

    def send(self, *parts: memoryview | bytes) -> None:
        """Send all of `parts`, one behind the other. Raises PeerGone, PeerStalled."""

    def widen(self) -> None:
        """Go over to larger records, in both directions, if the carrier agreed on them with the other end. By both ends
        at the same point of what is said: when the first flight is over."""

    def wait(self, timeout_s: float) -> bool:
        """Wait until something came or `wake` is called; return whether something came: bytes, or the end."""

    def nothing_for_us(self) -> bool:
        """Return whether what came was the carrier's own affair (a TLS ticket, a key update), now taken care of."""

    def received(self) -> int:
        """Return a count that grows while bytes come, in whatever unit. From any thread."""

    def wake(self) -> None:
        """End a `wait` from another thread, or the next one."""

    def cancel(self) -> None:
        """End whatever call is running, and all later ones, with PeerGone. From any thread, any number of times."""

    def close(self) -> None:
        """Let go of what it holds. By the thread that owns it, once, at the end."""


class Progress:
    """What a watchdog sees of a channel: by when its present call must end."""

    def __init__(self) -> None:
        self.deadline = math.inf
        self.overdue = False
        self.idle_since = time.monotonic()  # Since when no call has been running; of no meaning while one is.

    def begin(self, length: int) -> None:
        """Bound the call that begins now and moves `length` bytes. `end` follows in any case.

        Plain methods: a context manager costs 3 us, six times for each MiB.
        """
        self.deadline = time.monotonic() + limits.SOCKET_CALL_S + length / limits.RATE_MIN

    def end(self) -> None:
        """Note that no call is running."""
        self.idle_since = time.monotonic()  # First: who looks in between must not find it idle since the call before.
        self.deadline = math.inf

    def begin_ours(self) -> None:
        """Mark a wait of our own making: the connection is at work, and the peer's time does not run. `end` follows."""
        self.deadline = sys.float_info.max

    def lost(self, message: str, peer: PeerId) -> PeerError:
        """Return the error for a call that failed: the watchdog's doing, or the peer's."""
        if self.overdue:
            return PeerStalled("the peer is too slow to go on with", peer=str(peer))
        return PeerGone(message, peer=str(peer))


def longest_idle(channels: Iterable[Channel], *, at_least_s: float) -> Channel | None:
    """Return the channel that has had no call running for longest, at least so long; None if there is none."""
    now = time.monotonic()
    idle = [channel for channel in channels if channel.progress.deadline == math.inf]
    longest = min(idle, key=lambda channel: channel.progress.idle_since, default=None)
    if longest is None or now - longest.progress.idle_since < at_least_s:
        return None
    return longest


class Watched:
    """The channels of one plane that blocking threads are at work on."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._channels: set[Channel] = set()
        self._lock = threading.Lock()

    def add(self, channel: Channel) -> None:
        with self._lock:
            self._channels.add(channel)

    def discard(self, channel: Channel) -> None:
        with self._lock:
            self._channels.discard(channel)

    def cancel_overdue(self) -> None:
        """End every call that should have ended by now."""
        now = self._clock()
        with self._lock:
            overdue = [channel for channel in self._channels if channel.progress.deadline < now]
        for channel in overdue:
            channel.progress.overdue = True
            channel.cancel()
