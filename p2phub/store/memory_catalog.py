"""The catalog's index in memory: the second implementation of the port, and what its answers are by definition."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence

from p2phub.catalog import SEEN, Entry, Query, class_of, is_called, matches, page, position_of
from p2phub.store.catalog import Told


class MemoryCatalog:
    """The `CatalogIndex` in memory. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told: dict[bytes, Told] = {}
        self.generation = 1

    def put(self, told: Sequence[Told]) -> None:
        with self._lock:
            for each in told:
                self._told.pop(each.entry.key, None)
                self._told[each.entry.key] = each

    def remove(self, keys: Iterable[bytes]) -> None:
        with self._lock:
            for key in keys:
                self._told.pop(key, None)

    def own(self) -> Mapping[bytes, bytes]:
        with self._lock:
            return {key: each.mark for key, each in self._told.items() if class_of(each.entry) != SEEN}

    def marks(self, keys: Iterable[bytes]) -> Mapping[bytes, bytes]:
        with self._lock:
            return {key: self._told[key].mark for key in keys if key in self._told}

    def entry(self, key: bytes) -> Entry | None:
        with self._lock:
            told = self._told.get(key)
            return None if told is None else told.entry

    def find(self, query: Query, first: int, count: int) -> list[Entry]:
        found = self._in_order(query)
        called = [entry for entry in found if is_called(query, entry)]
        others = [entry for entry in found if not is_called(query, entry)]
        return page(
            query,
            first,
            count,
            called=lambda count: called[:count],
            others=lambda first, count: others[first : first + count],
        )

    def count(self, query: Query) -> int:
        return len(self._in_order(query))

    def _in_order(self, query: Query) -> list[Entry]:
        with self._lock:
            entries = [told.entry for told in self._told.values()]
        return sorted((entry for entry in entries if matches(query, entry)), key=position_of)

    def trim(self, seen_max: int) -> int:
        with self._lock:
            seen = [each.entry for each in self._told.values() if class_of(each.entry) == SEEN]
            gone = sorted(seen, key=lambda entry: entry.seen)[: max(0, len(seen) - seen_max)]
            for entry in gone:
                del self._told[entry.key]
            return len(gone)

    def close(self) -> None:
        """Nothing to let go of."""
