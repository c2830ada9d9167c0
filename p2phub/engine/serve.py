"""What strangers may have of us: the shelf that bulk connections serve from. Their questions: `engine.desk`.

What a fetch has verified is on the shelf while the fetch still runs (`arriving`).

The shelf is called on serving threads, so what it keeps is behind one lock. A manifest that is only published privately
is "unknown" to whoever may not have it: the answer does not tell that it exists.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import msgspec

from p2phub import limits
from p2phub.content import Digest
from p2phub.engine.arriving import Arriving
from p2phub.engine.bulletin import Bulletin
from p2phub.errors import HubError, PeerRefused
from p2phub.identity import PeerId
from p2phub.manifest import decode_manifest
from p2phub.net import Offer
from p2phub.store import Arrival, Ledger, Store
from p2phub.wire import flight_order

log = logging.getLogger(__name__)
_CHUNK_BYTES, _FILE_BYTES, _BLOB_BYTES = 40, 600, 200  # What an offer has in memory for each, about.


class StoreShelf(msgspec.Struct):
    """Serves every holding of `store`, and what is arriving, within what `ledger` says about privacy."""

    store: Store
    ledger: Ledger
    bytes_sent: Counter[Digest] = msgspec.field(default_factory=Counter)
    bulletin: Bulletin = msgspec.field(default_factory=Bulletin)
    in_doubt: Callable[[Digest, int], None] = lambda manifest, file: None
    """Told of a file that is not what was hashed, on a serving thread."""
    _offers: OrderedDict[Digest, Offer] = msgspec.field(default_factory=OrderedDict)
    _offers_bytes: int = 0
    _making: dict[Digest, threading.Lock] = msgspec.field(default_factory=dict)
    _changes: int = 0  # How often something was forgotten.
    _arriving: dict[Digest, Arriving] = msgspec.field(default_factory=dict)
    _lock: threading.Lock = msgspec.field(default_factory=threading.Lock)

    def offer(self, manifest: Digest, requester: PeerId) -> Offer:
        if not self.may_have(manifest, requester):
            raise PeerRefused(f"{manifest} is not for {requester}", reason="unknown")
        with self._lock:
            if (offer := self._known(manifest)) is not None:
                return offer
            making = self._making.setdefault(manifest, threading.Lock())
        with making:  # Of a million files it takes a while, which is nobody else's; and once for all who ask.
            try:
                return self._make_and_keep(manifest)
            finally:
                with self._lock:
                    if self._making.get(manifest) is making:
                        del self._making[manifest]

    def _make_and_keep(self, manifest: Digest) -> Offer:
        with self._lock:
            if (offer := self._known(manifest)) is not None:
                return offer
            changes = self._changes
        offer = self._make(manifest)
        with self._lock:
            if changes == self._changes:  # Else it may be of before that.
                self._offers[manifest] = offer
                self._offers_bytes += _weight(offer)
                # The newest stays, however much it is: who asked for it goes on to ask.
                while self._offers_bytes > limits.OFFERS_BYTES_MAX and len(self._offers) > 1:
                    self._drop_offer(next(iter(self._offers)))
        return offer

    def at_hand(self, manifest: Digest) -> bool:
        """Whether an offer of it is made: then the next who may have it is answered at no cost."""
        with self._lock:
            return manifest in self._offers

    def _drop_offer(self, manifest: Digest) -> None:
        offer = self._offers.pop(manifest, None)
        if offer is not None:
            self._offers_bytes -= _weight(offer)

    def _known(self, manifest: Digest) -> Offer | None:
        offer = self._offers.get(manifest)
        if offer is not None:
            self._offers.move_to_end(manifest)
        return offer

    @property
    def changes(self) -> int:
        """How often what is held, or may be given away, changed since this node began."""
        return self._changes

    def bytes_sent_in_all(self) -> int:
        """Return how many payload bytes went out since this node began, of whatever."""
        with self._lock:
            return self.bytes_sent.total()

    def sent(self, manifest: Digest, requester: PeerId, bytes_sent: int) -> None:
        with self._lock:
            self.bytes_sent[manifest] += bytes_sent

    def changed(self, manifest: Digest, file: int) -> None:
        self.store.mark_changed(manifest, file)
        self.forget(manifest)
        self.in_doubt(manifest, file)

    @contextmanager
    def serving(self, arrival: Arrival) -> Iterator[None]:
        """Serve what `arrival` has, as it grows, until it is finished or given up. Call `close` of it after that."""
        arriving = Arriving(arrival, self.store)
        with self._lock:
            mine = self._arriving.setdefault(arriving.manifest, arriving) is arriving
        self.forget(arriving.manifest)
        try:
            yield
        finally:
            if mine:
                arriving.ended()
                with self._lock:
                    del self._arriving[arriving.manifest]
                self.forget(arriving.manifest)
            self.bulletin.tell(arriving.manifest)

    def forget(self, manifest: Digest) -> None:
        """Look the manifest up anew at the next offer: something about it changed."""
        with self._lock:
            self._changes += 1
            self._drop_offer(manifest)
            # A file alone may have been one of its files.
            for alone in [digest for digest, offer in self._offers.items() if offer.plan.table.files == 1]:
                self._drop_offer(alone)

    def may_have(self, manifest: Digest, requester: PeerId) -> bool:
        """Whether `requester` may: what we publish by what it was published for, the rest unless it is withheld; a file
        alone if it may have anything that the file is in."""
        holders = self.store.manifests_with(manifest) or (manifest,)
        return any(self._may_have_whole(holder, requester) for holder in holders)

    def _may_have_whole(self, manifest: Digest, requester: PeerId) -> bool:
        publications = [item for item in self.ledger.publications() if item.manifest == manifest]
        if not publications:
            return manifest not in self.ledger.withheld()
        if any(not item.private for item in publications):
            return True
        return any(not item.allow or requester in item.allow for item in publications)

    def _make(self, manifest: Digest) -> Offer:
        try:
            plan, held = self.store.read_plan(manifest), None
            arriving = self._arriving.get(manifest)
            if arriving is not None and (plan is None or len(plan.held) < len(plan.table)):
                plan, held = arriving.plan, arriving.held
            root = self.store.blob(manifest)
            if plan is None or root is None:
                raise PeerRefused(f"{manifest} is not held", reason="unknown")
            order = flight_order(manifest, self.store.blob)
        except PeerRefused:
            raise
        except HubError as error:
            raise PeerRefused(f"{manifest} cannot be served: {error}", reason="disk") from error
        return Offer(plan=plan, order=order, blob=_Blobs(manifest, root, order, self.store).get, held=held)


def _weight(offer: Offer) -> int:
    table = offer.plan.table
    return len(table) * _CHUNK_BYTES + table.files * _FILE_BYTES + len(offer.order) * _BLOB_BYTES


class _Blobs:
    """What describes one manifest, of all that the store has; serving threads ask for it."""

    def __init__(self, manifest: Digest, root: bytes, order: Iterable[Digest], store: Store) -> None:
        self._manifest, self._root, self._store = manifest, root, store
        self._known = frozenset(order)
        self._layouts: frozenset[Digest] | None = None
        self._lock = threading.Lock()

    def get(self, digest: Digest) -> bytes | None:
        """Return a blob that the manifest names, None if it is not here."""
        if digest in self._known:
            return self._store.blob(digest)
        with self._lock:
            if self._layouts is None:
                self._layouts = self._make_layouts()
        blob = self._store.blob(digest) if digest in self._layouts else None
        return blob if blob is None or len(blob) <= limits.CHUNK_LIST_BYTES_MAX else None

    def _make_layouts(self) -> frozenset[Digest]:
        """Return the layouts that the manifest names; those that are not kept yet are made if the files are whole.

        Once, when somebody asks for one, as few do.
        """
        from p2phub.engine.layouts import keep_layouts

        manifest = decode_manifest(self._root, self._store.blob)
        whole = [each.folder for each in self._store.holdings(self._manifest) if each.complete]
        if whole:
            try:
                keep_layouts(manifest, self._manifest, whole[0], self._store)
            except HubError as error:  # Our disk's, say. Those that are kept can be given all the same.
                log.info("no layouts are made: %s", error)
        return frozenset(entry.layout for entry in manifest.files if entry.layout is not None)
