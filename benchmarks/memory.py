"""Watch how much memory processes take: one thread looks every 50 ms and remembers each one's peak."""

import threading
from collections.abc import Callable
from types import TracebackType

from benchmarks.procfs import anonymous_bytes

SAMPLE_S = 0.05  # shorter peaks can be missed; more often would take time from the contestants


class MemoryWatch:
    """Peaks of the memory of some processes, each with its descendants, while the `with` block runs: of anonymous
    memory, or of what `measure` returns for a process id."""

    def __init__(self, measure: Callable[[int], int] = anonymous_bytes) -> None:
        self._measure = measure
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
                self._peaks[pid] = max(self._peaks[pid], self._measure(pid))
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
