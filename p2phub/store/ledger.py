"""The `Ledger` on `state.log`: publications, accepted releases and names, typed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar, cast

from p2phub import limits
from p2phub.content import Digest
from p2phub.errors import Damaged
from p2phub.identity import PeerId, parse_peer_id
from p2phub.store.disk import Disk
from p2phub.store.ledger_port import Accepted, Publication
from p2phub.store.state_log import Key, StateLog, Value

PUBLICATION = "publication"
ACCEPTED = "accepted"
NAME = "name"
HISTORY = "history"
WITHHELD = "withheld"
PIN = "pin"

T = TypeVar("T")


class FileLedger:
    """The ledger of one home. Thread-safe; several processes may have one each."""

    def __init__(self, home: Path, disk: Disk | None = None, *, log: StateLog | None = None) -> None:
        """`log`: that of `home`, for whoever has it open already: to read it takes a second where it is large."""
        self._log = log or StateLog(home, disk)
        self._made: dict[str, tuple[int, object]] = {}  # By kind, of which version of it, what was made of all of it.

    def publish(self, publication: Publication) -> None:
        key = (str(publication.publisher), publication.name, publication.tag)
        with self._log.changing():
            self._keep_private(key, publication.manifest)
            self._log.set(
                PUBLICATION,
                key,
                [
                    publication.manifest.raw,
                    os.fsencode(publication.folder),
                    publication.signed,
                    publication.private,
                    [peer.raw for peer in publication.allow],
                ],
            )
            self._note(key, publication.signed)

    def withdraw(self, publisher: PeerId, name: str, tag: str) -> None:
        key = (str(publisher), name, tag)
        with self._log.changing():
            self._keep_private(key, None)
            self._log.remove(PUBLICATION, key)

    def _keep_private(self, key: Key, now: Digest | None) -> None:
        """Withhold what a name meant privately, if it means `now` from now on: it may still be held."""
        value = self._log.get(PUBLICATION, key)
        was = None if value is None else _publication(key, value)
        if was is not None and was.private and was.manifest != now:
            self.withhold(was.manifest, withheld=True)  # First: a crash between the two must not make it public.

    def publications(self) -> tuple[Publication, ...]:
        return self._all(PUBLICATION, _publication)

    def accepted(self, publisher: PeerId, name: str, tag: str) -> Accepted | None:
        value = self._log.get(ACCEPTED, (str(publisher), name, tag))
        return None if value is None else _accepted(value)

    def accept(self, publisher: PeerId, name: str, tag: str, accepted: Accepted) -> None:
        key = (str(publisher), name, tag)
        with self._log.changing():
            value = self._log.get(ACCEPTED, key)
            if value is None or accepted.sequence >= _accepted(value).sequence:
                self._log.set(ACCEPTED, key, [accepted.sequence, accepted.signed, list(accepted.evidence)])
                self._note(key, accepted.signed)

    def all_accepted(self) -> Iterable[tuple[PeerId, str, str, Accepted]]:
        return self._all(ACCEPTED, _named)

    def _all(self, kind: str, made_of: Callable[[Key, Value], T]) -> tuple[T, ...]:
        """Return what is made of all settings of a kind, in order of their keys; made once, until one changes: of ten
        thousand it takes longer than a user who types would wait."""
        version = self._log.version(kind)  # First: what changes meanwhile makes it old.
        known = self._made.get(kind)
        if known is None or known[0] != version:
            found = tuple(made_of(key, value) for key, value in sorted(self._log.all(kind).items()))
            self._made[kind] = known = version, found
        return cast("tuple[T, ...]", known[1])

    def history(self, publisher: PeerId, name: str, tag: str) -> tuple[bytes, ...]:
        value = self._log.get(HISTORY, (str(publisher), name, tag)) or []
        return tuple(signed for signed in value if isinstance(signed, bytes))

    def _note(self, key: Key, signed: bytes) -> None:
        """Add to the history of a name, the newest last; the oldest fall out."""
        known = self._log.get(HISTORY, key) or []
        if signed not in known:
            self._log.set(HISTORY, key, [*known, signed][-limits.HISTORY_MAX :])

    def withhold(self, manifest: Digest, *, withheld: bool) -> None:
        self._mark(WITHHELD, manifest, marked=withheld)

    def withheld(self) -> frozenset[Digest]:
        return self._marked(WITHHELD)

    def pin(self, manifest: Digest, *, pinned: bool) -> None:
        self._mark(PIN, manifest, marked=pinned)

    def pins(self) -> frozenset[Digest]:
        return self._marked(PIN)

    def _mark(self, kind: str, manifest: Digest, *, marked: bool) -> None:
        key = mark_key(manifest)
        with self._log.changing():
            if marked and self._log.get(kind, key) is None:
                self._log.set(kind, key, [])
            elif not marked and self._log.get(kind, key) is not None:
                self._log.remove(kind, key)

    def _marked(self, kind: str) -> frozenset[Digest]:
        return frozenset(Digest(bytes.fromhex(manifest)) for (manifest,) in self._log.all(kind))

    def stamp(self) -> object:
        return self._log.stamp()

    def names(self) -> dict[str, str]:
        return {alias: str(target) for (alias,), (target,) in sorted(self._log.all(NAME).items())}

    def name(self, alias: str, target: str | None) -> None:
        if target is None:
            self._log.remove(NAME, (alias,))
        else:
            self._log.set(NAME, (alias,), [target])

    def close(self) -> None:
        self._log.close()


def mark_key(manifest: Digest) -> Key:
    """Return the key under which the log says of a manifest whether it is marked so (withheld, pinned)."""
    return (manifest.raw.hex(),)


def _publication(key: Key, value: Value) -> Publication:
    match (key, value):
        case ((publisher, name, tag), [bytes(manifest), bytes(folder), bytes(signed), bool(private), list(allow)]):
            peers = tuple(PeerId(peer[-32:]) for peer in allow if isinstance(peer, bytes))
            path = Path(os.fsdecode(folder))
            return Publication(parse_peer_id(publisher), name, tag, Digest(manifest), path, signed, private, peers)
        case _:
            raise Damaged(f"state.log holds a publication of another form: {key}")


def _named(key: Key, value: Value) -> tuple[PeerId, str, str, Accepted]:
    publisher, name, tag = key
    return parse_peer_id(publisher), name, tag, _accepted(value)


def _accepted(value: Value) -> Accepted:
    match value:
        case [int(sequence), bytes(signed), list(evidence)]:
            return Accepted(signed, sequence, tuple(item for item in evidence if isinstance(item, bytes)))
        case _:
            raise Damaged("state.log holds an accepted release of another form")
