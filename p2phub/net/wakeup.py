"""End a thread's wait in `poll` from another thread."""

from __future__ import annotations

import os
import threading


class Wakeup:
    """A descriptor that is readable once `set` was called, until `clear`."""

    def __init__(self) -> None:
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._lock = threading.Lock()
        self._is_set = False
        self._closed = False

    def fileno(self) -> int:
        return self._descriptor

    def set(self) -> None:
        with self._lock:
            if not self._is_set and not self._closed:  # Closed: the number may be another descriptor's by now.
                self._is_set = True
                os.eventfd_write(self._descriptor, 1)

    def clear(self) -> None:
        with self._lock:
            if self._is_set:
                self._is_set = False
                os.eventfd_read(self._descriptor)

    def close(self) -> None:
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._descriptor)
