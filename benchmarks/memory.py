"""Watch how much anonymous memory processes take: one thread looks every 50 ms and remembers each one's peak."""

import threading
from types import TracebackType

from benchmarks.procfs import anonymous_bytes

SAMPLE_S = 0.05  # shorter peaks can be missed; more often would take time from the contestants


class MemoryWatch:
    """Peaks of anonymous memory of some processes, each with its descendants, while the `with` block runs."""

    def __init__(self) -> None:
        self._peaks: dict[int, int] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def add(self, pid: int) -> None:
        """Watch this process from now on."""
        self._peaks[pid] = 0

    def peak_bytes(self, pid: int) -> int:
        """Return the highest sum seen; 0 if the process ended before the first look."""
        return self._peaks[pid]

    def _watch(self) -> None:
        while True:
            for pid in tuple(self._peaks):
                self._peaks[pid] = max(self._peaks[pid], anonymous_bytes(pid))
            if self._stop.wait(SAMPLE_S):
                return

    def __enter__(self) -> "MemoryWatch":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
