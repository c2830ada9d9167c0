"""Hand reports from a thread to a trio task, with few wake-ups: 10 us each, where a call into the loop costs 50."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress

import trio

from p2phub.errors import HubError
from p2phub.net.interface import Closed, Report, Returned, Verified


class Reports:
    """A queue from any thread to one trio task. Made in trio.

    It needs no bound of its own: `Verified` reports that nobody took yet become one, and all others answer a call.
    """

    def __init__(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._lock = threading.Lock()
        self._waiting: deque[Report] = deque()
        self._ready = trio.Event()
        self._armed = False
        self.put_count = 0

    def put(self, report: Report) -> None:
        """Add a report. From any thread."""
        with self._lock:
            self.put_count += 1
            last = self._waiting[-1] if self._waiting else None
            if isinstance(report, Verified) and isinstance(last, Verified):
                self._waiting[-1] = Verified(
                    last.chunks | report.chunks, last.bytes + report.bytes, last.spent + report.spent
                )
            elif isinstance(report, Returned) and isinstance(last, Closed):
                # A grant crossed the end of the link: Closed is the last report, so it tells of these chunks too.
                self._waiting[-1] = Closed(last.error, last.returned | report.chunks)
            else:
                self._waiting.append(report)
            wake, self._armed = self._armed, False
        if wake:
            with suppress(trio.RunFinishedError):  # Then nobody is left to be told.
                self._token.run_sync_soon(self._set_ready)

    async def take(self) -> Report:
        """Wait for the oldest report."""
        await trio.lowlevel.checkpoint()
        while True:
            with self._lock:
                if self._waiting:
                    return self._waiting.popleft()
                self._armed = True  # Under the lock with the look above, so that no put goes unseen between them.
                self._ready = ready = trio.Event()
            await ready.wait()

    def _set_ready(self) -> None:
        self._ready.set()


def as_value(error: HubError) -> HubError:
    """Return `error` without the frames it came through: it is kept as a report, they hold the buffer."""
    part: BaseException | None = error
    while part is not None:
        part.__traceback__ = None
        part = part.__cause__ or part.__context__
    return error
