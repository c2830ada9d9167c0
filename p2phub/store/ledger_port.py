"""The port of what no file of a home can tell again: what it publishes, believes, pins, keeps to itself and names.

All calls block and are thread-safe; what is noted is durable on return. Adapters: `store.ledger`,
`store.memory_ledger`. Errors: DiskError and its kinds; Damaged.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import msgspec

from p2phub.content import Digest
from p2phub.identity import PeerId


class Publication(msgspec.Struct, frozen=True):
    """One name that this home publishes."""

    publisher: PeerId
    name: str
    tag: str
    manifest: Digest
    folder: Path
    signed: bytes  # The release envelope.
    private: bool = False
    allow: tuple[PeerId, ...] = ()  # Empty with `private`: whoever has the ticket.


class Accepted(msgspec.Struct, frozen=True):
    """The newest release of a name that was ever accepted, as signed, and proof of a publisher's lie if any."""

    signed: bytes
    sequence: int
    evidence: tuple[bytes, ...] = ()


class Ledger(Protocol):
    """Append-only and checksummed (`state.log`): publications, releases, names. Several processes may append."""

    def publish(self, publication: Publication) -> None:
        """Durable on return; replaces an earlier one of the same name and tag. What that meant, if it was private, is
        withheld from then on: it may still be held."""

    def withdraw(self, publisher: PeerId, name: str, tag: str) -> None:
        """Remove a publication; what it meant is withheld from then on, if it was private."""

    def publications(self) -> tuple[Publication, ...]: ...

    def accepted(self, publisher: PeerId, name: str, tag: str) -> Accepted | None: ...

    def accept(self, publisher: PeerId, name: str, tag: str, accepted: Accepted) -> None:
        """Remember durably. The sequence is never lowered: a lower one is ignored."""

    def all_accepted(self) -> Iterable[tuple[PeerId, str, str, Accepted]]: ...

    def history(self, publisher: PeerId, name: str, tag: str) -> tuple[bytes, ...]:
        """Return the last HISTORY_MAX releases of a name, as signed, that were published or accepted here, in order."""

    def withhold(self, manifest: Digest, *, withheld: bool) -> None:
        """Note whether a manifest that is held is kept to ourselves: neither announced nor served to anybody."""

    def withheld(self) -> frozenset[Digest]: ...

    def pin(self, manifest: Digest, *, pinned: bool) -> None:
        """Note, durably, whether a manifest is kept from collection, held or not."""

    def pins(self) -> frozenset[Digest]: ...

    def stamp(self) -> object:
        """Return what is another when anything changed, here or by another process. Of a home's ledger also when what
        it holds by its own word did, and then at times when nothing did. Cheap."""

    def names(self) -> dict[str, str]:
        """Petnames and mapped `org/name`s: what they stand for (a peer id or a reference)."""

    def name(self, alias: str, target: str | None) -> None:
        """Set or (None) remove a name."""

    def close(self) -> None: ...
