"""The ledger in memory: the second implementation of the port."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from copy import copy

from p2phub import limits
from p2phub.content import Digest
from p2phub.identity import PeerId
from p2phub.manifest import Name
from p2phub.store.ledger_port import Accepted, Publication


class MemoryLedger:
    """The `Ledger` in memory. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._publications: dict[Name, Publication] = {}
        self._accepted: dict[Name, Accepted] = {}
        self._history: dict[Name, list[bytes]] = {}
        self._withheld: set[Digest] = set()
        self._pins: set[Digest] = set()
        self._names: dict[str, str] = {}

    def publish(self, publication: Publication) -> None:
        with self._lock:
            key = (publication.publisher, publication.name, publication.tag)
            self._keep_private(key, publication.manifest)
            self._publications[key] = publication
            self._note(key, publication.signed)

    def withdraw(self, publisher: PeerId, name: str, tag: str) -> None:
        with self._lock:
            self._keep_private((publisher, name, tag), None)
            self._publications.pop((publisher, name, tag), None)

    def _keep_private(self, key: Name, now: Digest | None) -> None:
        """Withhold what a name meant privately, if it means `now` from now on."""
        was = self._publications.get(key)
        if was is not None and was.private and was.manifest != now:
            self._withheld.add(was.manifest)

    def publications(self) -> tuple[Publication, ...]:
        with self._lock:
            return tuple(
                self._publications[key] for key in sorted(self._publications, key=lambda key: (str(key[0]), *key[1:]))
            )

    def accepted(self, publisher: PeerId, name: str, tag: str) -> Accepted | None:
        with self._lock:
            return self._accepted.get((publisher, name, tag))

    def accept(self, publisher: PeerId, name: str, tag: str, accepted: Accepted) -> None:
        with self._lock:
            known = self._accepted.get((publisher, name, tag))
            if known is None or accepted.sequence >= known.sequence:
                self._accepted[publisher, name, tag] = accepted
                self._note((publisher, name, tag), accepted.signed)

    def all_accepted(self) -> Iterable[tuple[PeerId, str, str, Accepted]]:
        with self._lock:
            return [(*key, accepted) for key, accepted in self._accepted.items()]

    def history(self, publisher: PeerId, name: str, tag: str) -> tuple[bytes, ...]:
        with self._lock:
            return tuple(self._history.get((publisher, name, tag), ()))

    def _note(self, key: Name, signed: bytes) -> None:
        known = self._history.setdefault(key, [])
        if signed not in known:
            known.append(signed)
            del known[: -limits.HISTORY_MAX]

    def withhold(self, manifest: Digest, *, withheld: bool) -> None:
        with self._lock:
            (self._withheld.add if withheld else self._withheld.discard)(manifest)

    def withheld(self) -> frozenset[Digest]:
        with self._lock:
            return frozenset(self._withheld)

    def pin(self, manifest: Digest, *, pinned: bool) -> None:
        with self._lock:
            (self._pins.add if pinned else self._pins.discard)(manifest)

    def pins(self) -> frozenset[Digest]:
        with self._lock:
            return frozenset(self._pins)

    def stamp(self) -> object:
        with self._lock:
            values = (self._publications, self._accepted, self._withheld, self._pins, self._names)
            return tuple(copy(each) for each in values)

    def names(self) -> dict[str, str]:
        with self._lock:
            return dict(sorted(self._names.items()))

    def name(self, alias: str, target: str | None) -> None:
        with self._lock:
            if target is None:
                self._names.pop(alias, None)
            else:
                self._names[alias] = target

    def close(self) -> None:
        """Nothing to let go of."""
