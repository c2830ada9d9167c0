"""A doorway that many pass at once, and that whoever tears the house down waits at until the last has left.

For descriptors that many threads open files below: one lock held while a file is made would have them queue up behind
each other's disk. Here a lock is held for a moment, to count.
"""

from __future__ import annotations

import threading


class Doorway:
    """`with doorway:` is inside. Thread-safe; never entered twice by one thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._inside = 0

    def __enter__(self) -> None:
        with self._changed:
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._inside -= 1
            if not self._inside:
                self._changed.notify_all()

    def wait_until_empty(self) -> None:
        """Return when nobody is inside. Who comes from now on must be turned away by other means."""
        with self._changed:
            self._changed.wait_for(lambda: not self._inside)
