"""The port of the search index: entries of the catalog, found by their words.

All of it can be told again, by the ledger, the holdings and the places that are attached, but for what was only seen;
so losing it costs a while. Calls block and are thread-safe. Adapters: `store.catalog_database`, `store.memory_catalog`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from p2phub.catalog import Entry, Query


class Told(msgspec.Struct, frozen=True):
    """An entry, and what it was made of in a few bytes: `mark` says whether it is to be told anew."""

    entry: Entry
    mark: bytes


class CatalogIndex(Protocol):
    """The catalog of one home. Methods raise DiskError."""

    @property
    def generation(self) -> int:
        """A number that changes when it is begun anew, and so has forgotten what it was told."""

    def put(self, told: Sequence[Told]) -> None:
        """Keep these, in place of what was known of the same keys; all of them or, if it fails, none."""

    def remove(self, keys: Iterable[bytes]) -> None: ...

    def own(self) -> Mapping[bytes, bytes]:
        """Return by key the marks of what is held or has a name of the user's, of whatever else it knows."""

    def marks(self, keys: Iterable[bytes]) -> Mapping[bytes, bytes]:
        """Return the marks of those of these keys that it knows."""

    def entry(self, key: bytes) -> Entry | None: ...

    def find(self, query: Query, first: int, count: int) -> list[Entry]:
        """Return `count` of the entries that answer a query from number `first` on, as `catalog.page` orders them."""

    def count(self, query: Query) -> int:
        """Return how many answer it, which takes longer than to find the first of them."""

    def trim(self, seen_max: int) -> int:
        """Forget what was only seen, beyond so many entries of that: the one first that was seen longest ago. Returns
        how many went; some thousands at most, so that nobody waits long: call it until it returns 0."""

    def close(self) -> None: ...
