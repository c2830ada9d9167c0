"""What this home holds and has seen, as it is searched for: the index is told of it, beside what else the node does.

Told are the newest releases of all names that are published or were accepted here, those that attached places list,
what was adopted under a hub's name, and what is held without any. What changed is noticed by the stamps of ledger and
places; then all of it is gone through, and only that of which something is another is told anew. Nothing of this goes
over the wire, so private releases are among it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TypeVar

import msgspec
import trio
from blake3 import blake3
from msgspec.structs import replace

from p2phub import limits
from p2phub.catalog import SEEN, Entry, Query, class_of, entry_key, formats_of
from p2phub.content import Digest
from p2phub.errors import Damaged, DiskError, HubError, Malformed, NotTrusted, UsageError
from p2phub.identity import PeerId, parse_peer_id
from p2phub.manifest import (
    DEFAULT_TAG,
    Name,
    Release,
    decode_manifest,
    is_under_a_key,
    kept_release,
    named_manifest,
    parse_reference,
    read_release,
)
from p2phub.node.contained import contained
from p2phub.observe import legible
from p2phub.store import CatalogIndex, HeldAt, Ledger, Origin, Store, Told
from p2phub.store.sharing import Places

_log = logging.getLogger(__name__)
LOOK_S = 10.0  # Between two looks of a daemon at whether something changed; a search looks, too.
WAIT_S = 0.5  # For what changed to be told, before a daemon answers with what it has.
_TOLD_AT_ONCE = 500  # Then whoever else needs the processor has a turn.
_DAY_S = 86_400
HUB_CACHE = "hf"
DATASETS = "datasets/"

T = TypeVar("T")


class Source(msgspec.Struct, frozen=True):
    """What an entry is made of: a release as signed, or nothing signed but a manifest under a name."""

    manifest: Digest
    signed: bytes = b""
    name: str = ""
    names: tuple[str, ...] = ()
    kind: str = ""
    revision: str = ""
    held: HeldAt | None = None
    checked: bool = True  # Whether the signature was checked before.

    @property
    def mark(self) -> bytes:
        """A few bytes that are others when anything of it is."""
        origin = self.held.origin.value if self.held is not None else ""
        texts = (self.name, self.kind, self.revision, origin, *self.names)
        return blake3(b"\0".join((self.manifest.raw, self.signed, *(text.encode() for text in texts)))).digest(8)


class NodeCatalog:
    """The catalog of one node."""

    def __init__(self, index: CatalogIndex, ledger: Ledger, store: Store, places: Places) -> None:
        self._index = index
        self._ledger = ledger
        self._store = store
        self._places = places
        # Threads of their own: who types waits for no other work, nor does what is told for the look through all that
        # is held at the beginning, which takes ten seconds of ten thousand.
        self._asks, self._tells = trio.CapacityLimiter(2), trio.CapacityLimiter(1)
        self._turn = trio.Lock()
        self._stamp: object = None  # Of what was told last.
        self._generation = 0  # Of the index that `_marks` are of.
        self._marks: dict[bytes, bytes] = {}  # By key, of what was told of what is this home's own.
        self._wanted: dict[bytes, bytes] = {}  # By key, of all that is there.
        self._manifests: dict[bytes, Digest] = {}  # By signed release: to read one takes as long as all else.
        self._is_kept_up = False
        self._stale = trio.Event()
        self._told = trio.Event()

    async def search(self, query: Query, first: int, count: int) -> tuple[list[Entry], bool]:
        """Return `count` entries that answer a query, from number `first` on, and whether all that is known here was
        told by then. Raises DiskError, Damaged."""
        is_complete = await self._settle()
        return await self._ask(lambda: self._index.find(query, first, count)), is_complete

    async def count(self, query: Query) -> int:
        return await self._ask(lambda: self._index.count(query))

    async def keep_up(self) -> None:
        """Have it told what changed, until cancelled. Meanwhile a search waits for that for WAIT_S at most."""
        self._is_kept_up = True
        try:
            while True:
                self._stale = trio.Event()
                try:
                    with contained("a look at what changed for the catalog"):
                        await self.bring_up_to_date()
                except HubError as error:  # Who searches is told; nobody else misses it.
                    _log.info("the catalog is not up to date: %s", error)
                with trio.move_on_after(LOOK_S):
                    await self._stale.wait()
        finally:
            self._is_kept_up = False

    async def bring_up_to_date(self) -> None:
        """Tell the index what changed, some at a time: cancelled, the next call goes on. Raises DiskError, Damaged."""
        async with self._turn:
            stamp = await self._ask(self._now)
            if stamp == self._stamp:
                return
            changed = await self._tell_in_turn(self._changed)
            for start in range(0, len(changed), _TOLD_AT_ONCE):
                await self._tell_in_turn(partial(self._tell, changed[start : start + _TOLD_AT_ONCE]))
            await self._tell_in_turn(self._forget_gone)
            while await self._tell_in_turn(lambda: self._index.trim(limits.SEEN_RELEASES_MAX)):
                pass
            self._stamp = stamp
            self._told.set()
            self._told = trio.Event()

    async def _settle(self) -> bool:
        """Wait until what changed is told; return False where that takes longer than a search may wait."""
        if not self._is_kept_up:
            await self.bring_up_to_date()
            return True
        with trio.move_on_after(WAIT_S):
            while await self._ask(self._now) != self._stamp:  # Again: it may have been under way with what was before.
                told = self._told
                self._stale.set()
                await told.wait()
            return True
        return False

    async def _tell_in_turn(self, work: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(work, limiter=self._tells)

    async def _ask(self, work: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(work, limiter=self._asks)

    def _now(self) -> object:
        return self._index.generation, self._ledger.stamp(), self._places.stamp()

    # --- what there is: these block --------------------------------------------------------------------------------

    def _changed(self) -> list[tuple[bytes, Source]]:
        """Return what is to be told, by key, and note what there is."""
        sources = dict(self._sources())
        self._wanted = {key: source.mark for key, source in sources.items()}
        if self._generation != self._index.generation:
            self._generation = self._index.generation
            self._marks = {**self._index.own(), **self._index.marks(sources)}
        return [(key, source) for key, source in sources.items() if self._marks.get(key) != self._wanted[key]]

    def _tell(self, changed: Sequence[tuple[bytes, Source]]) -> None:
        told = []
        for key, source in changed:
            entry = self._entry(source)
            if entry is not None and entry.key == key:  # Else a release of another name than was said of it.
                told.append(Told(entry, source.mark))
        self._index.put(told)
        # Also what came to no entry: it is looked at again when it is another.
        self._marks.update((key, source.mark) for key, source in changed)

    def _forget_gone(self) -> None:
        """What is not of this home any more was seen, if somebody signed it; else it is gone."""
        gone = self._marks.keys() - self._wanted.keys()
        for key in gone:
            entry = self._index.entry(key)
            if entry is not None and class_of(entry) != SEEN:
                if entry.publisher:
                    self._index.put([Told(replace(entry, origin="", names=()), b"")])
                else:
                    self._index.remove([key])
            del self._marks[key]

    def _sources(self) -> Iterator[tuple[bytes, Source]]:
        held: dict[Digest, HeldAt] = {}
        for each in sorted(self._store.held_at(), key=lambda each: each.origin is Origin.SHARED):
            held.setdefault(each.manifest, each)
        named: set[Digest] = set()
        for key, source in self._releases(held):
            named.add(source.manifest)
            yield key, source
        adopted: set[bytes] = set()
        for each in held.values():
            found = each.source
            name = "" if found is None else found.name.removeprefix(DATASETS)
            is_hubs = found is not None and found.cache == HUB_CACHE and not is_under_a_key(name)
            if found is not None and is_hubs and each.origin is Origin.ADOPTED:
                key = entry_key(b"", name, DEFAULT_TAG, b"")
                if key not in adopted:  # Of several commits the one adopted last.
                    adopted.add(key)
                    kind = "dataset" if found.name.startswith(DATASETS) else "model"
                    revision = found.revision or ""
                    yield key, Source(each.manifest, name=name, kind=kind, revision=revision, held=each)
            elif each.manifest not in named and each.origin is not Origin.SHARED:
                name = "" if each.origin is Origin.OWN else legible(each.folder.name)
                yield (
                    entry_key(b"", "", "", each.manifest.raw),
                    Source(each.manifest, names=(name,) * bool(name), held=each),
                )

    def _releases(self, held: Mapping[Digest, HeldAt]) -> Iterator[tuple[bytes, Source]]:
        """Yield what publishers said: of this home's own publications that, else what was accepted, or is listed in an
        attached place."""
        newest: dict[Name, tuple[bytes, bool]] = {}
        for named in self._places.named():
            newest[named.publisher, named.name, named.tag] = named.signed, False
        for publisher, name, tag, accepted in self._ledger.all_accepted():
            newest[publisher, name, tag] = accepted.signed, True
        publications = self._ledger.publications()
        for item in publications:
            newest[item.publisher, item.name, item.tag] = item.signed, True
        called = _Called(self._ledger.names(), ((item.publisher, item.name) for item in publications))
        manifests: dict[bytes, Digest] = {}
        for (publisher, name, tag), (signed, checked) in newest.items():
            try:
                manifest = self._manifests.get(signed) or named_manifest(signed)
            except Malformed:
                continue
            manifests[signed] = manifest
            key = entry_key(publisher.public_key, name, tag, b"")
            names = called.names_of(publisher, name, tag)
            yield key, Source(manifest, signed, name, names, held=held.get(manifest), checked=checked)
        self._manifests = manifests

    def _entry(self, source: Source) -> Entry | None:
        """Return what is told of a source; None if it is no release that its publisher signed."""
        held = source.held
        entry = Entry(
            publisher=b"",
            name=source.name,
            tag=DEFAULT_TAG if source.name else "",
            manifest=source.manifest.raw,
            names=source.names,
            kind=source.kind,
            revision=source.revision,
            origin=held.origin.value if held is not None else "",
            seen=int(time.time()) // _DAY_S * _DAY_S,
        )
        if source.signed:
            try:
                release = kept_release(source.signed) if source.checked else read_release(source.signed)
            except (NotTrusted, Malformed):
                return None
            entry = _released(entry, release)
        if source.checked and not (held is not None and held.origin is Origin.SHARED):
            entry = self._described(entry)
        return entry

    def _described(self, entry: Entry) -> Entry:
        """Add what its manifest says, if that is here."""
        try:
            root = self._store.blob(Digest(entry.manifest))
            manifest = None if root is None else decode_manifest(root, self._store.blob)
        except (Damaged, DiskError):  # Of this one: all others are found by all their words.
            manifest = None
        if manifest is None:
            return entry
        formats = formats_of(file.path for file in manifest.files)
        return replace(entry, size=manifest.bytes_total, files=len(manifest.files), formats=formats)


def _released(entry: Entry, release: Release) -> Entry:
    return replace(
        entry,
        publisher=release.publisher.public_key,
        name=release.name,
        tag=release.tag,
        kind=release.kind,
        title=release.description,
        licence=release.licence,
        labels=tuple(dict.fromkeys(relation for _, relation in release.parents)),
        size=release.bytes_total,
        created=release.created,
        sequence=release.sequence,
        private=release.private,
    )


class _Called:
    """What the user calls publishers and their names."""

    def __init__(self, names: Mapping[str, str], published: Iterable[tuple[PeerId, str]]) -> None:
        self._petnames: dict[PeerId, list[str]] = {}
        self._mapped: dict[Name, list[str]] = {}
        for alias, target in names.items():
            try:
                self._petnames.setdefault(parse_peer_id(target), []).append(alias)
                continue
            except Malformed:
                pass
            try:
                reference = parse_reference(target)
            except (UsageError, Malformed):
                continue
            if reference.publisher is not None and reference.name is not None and reference.digest is None:
                self._mapped.setdefault((reference.publisher, reference.name, reference.tag), []).append(alias)
        owners: dict[str, set[PeerId]] = {}
        for publisher, name in published:
            owners.setdefault(name, set()).add(publisher)
        self._bare = {(next(iter(who)), name) for name, who in owners.items() if len(who) == 1}

    def names_of(self, publisher: PeerId, name: str, tag: str) -> tuple[str, ...]:
        """Return all of a name and tag, what was mapped to just that first."""
        found = list(self._mapped.get((publisher, name, tag), ()))
        if (publisher, name) in self._bare:
            found.append(name)
        found += [f"{petname}/{name}" for petname in self._petnames.get(publisher, ())]
        return tuple(found[: limits.SEARCH_LABELS_MAX])
