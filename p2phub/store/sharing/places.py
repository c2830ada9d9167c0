"""What a home shares, and what is attached to it: noted in `state.log`, written and read by the rest of this room.

    "shared":   (place,) -> []      this home lists there what it holds below it
    "attached": (place,) -> []      what is listed there is offered here
Places are absolute paths, as the user named them. Which manifests are for everybody, and which releases lead to them,
is told by the caller, which knows the ledger.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from p2phub import limits
from p2phub.content import Digest
from p2phub.errors import Damaged, NotFound, UsageError
from p2phub.identity import PeerId
from p2phub.manifest import is_alone
from p2phub.store.blobs import Blobs
from p2phub.store.database import DOUBTED
from p2phub.store.disk import Disk, disk_errors
from p2phub.store.folders import SHARED_FOLDER
from p2phub.store.holding import Origin
from p2phub.store.holdings import Holdings
from p2phub.store.index import HoldingRow
from p2phub.store.sharing.attached import Attached, Seen, listed_rows
from p2phub.store.sharing.catalogue import Catalogue, Listed, Named, Space, is_folder
from p2phub.store.sharing.reading import read_catalogue
from p2phub.store.sharing.writing import held_by, opened
from p2phub.store.source import place_of
from p2phub.store.state_log import StateLog

SHARED = "shared"
ATTACHED = "attached"
_NEVER_LISTED = frozenset((Origin.OWN, Origin.SHARED))
"""What may be collected, in a folder that only its user may read; and what is somebody else's to share."""


class Public(msgspec.Struct, frozen=True):
    """What may be told to everybody: whether a manifest may, and which releases lead to those that may."""

    has: Callable[[Digest], bool]
    names: Sequence[tuple[Digest, Named]]


class SharedPlace(msgspec.Struct, frozen=True):
    """A place that this home shares. `left_out`: (folder, why) of what is held below it for everybody and not listed;
    `problem`: why nothing is told of it."""

    place: Path
    listed: int = 0
    named: int = 0
    bytes: int = 0
    left_out: tuple[tuple[str, str], ...] = ()
    others_may_read: bool = True
    problem: str | None = None


class AttachedPlace(msgspec.Struct, frozen=True):
    """A place whose files are offered here. `configured`: by the settings; `problem`: why nothing of it is;
    `left_out`: (folder, why) of what it lists and is not offered."""

    place: Path
    configured: bool
    writer: str | None = None
    listed: int = 0
    named: int = 0
    left_out: tuple[tuple[str, str], ...] = ()
    problem: str | None = None


class Places:
    """The places of one home. Thread-safe; several processes may use one home. Methods raise DiskError."""

    def __init__(
        self, home: Path, disk: Disk, blobs: Blobs, log: StateLog, holdings: Holdings, attached: Attached
    ) -> None:
        self._home = Path(os.path.realpath(home))
        self._disk = disk
        self._blobs = blobs
        self._log = log
        self._holdings = holdings
        self._attached = attached

    # --- shared from here ------------------------------------------------------------------------------------------

    def shared(self) -> tuple[Path, ...]:
        return self._noted(SHARED)

    def share(self, place: Path, writer: str, public: Public) -> SharedPlace:
        """List at `place` what is held below it, from now on. Raises UsageError, and Occupied where another does."""
        key = _key(place)
        if self._home == _real(place) or self._home in _real(place).parents:
            raise UsageError(f"{place} is the home of p2phub, or lies in it", hint="share a folder with models in it")
        with disk_errors(f"share {place}"):
            os.listdir(place)
        is_noted = self._log.get(SHARED, key) is not None
        told = self._write(place, writer, public, anew=True, is_ours=is_noted)
        self._log.set(SHARED, key, [])  # Last: what is noted was shared, and may be written to without a look.
        return told

    def unshare(self, place: Path, writer: str) -> None:
        """Remove what was written at `place`, and list nothing there any more. Raises NotFound."""
        key = _key(place)
        if self._log.get(SHARED, key) is None:
            raise NotFound(f"{place} is not shared by this home", hint="`p2phub share` lists what is")
        with disk_errors(f"look at {place}"):  # One that does not answer now may list it to everybody tomorrow.
            stands = self._disk.is_there(place / SHARED_FOLDER)
        if stands:
            with opened(self._disk, place) as folder:
                try:
                    before = folder.catalogue()
                except Damaged:
                    before = None
                if before is None or before.writer == writer:
                    folder.remove()
        self._log.remove(SHARED, key)

    def bring_up_to_date(self, place: Path, writer: str, public: Public) -> SharedPlace:
        """Write the catalogue of a shared place anew, if what is held below it, or its names, changed."""
        return self._write(place, writer, public, anew=False, is_ours=True)

    def _write(self, place: Path, writer: str, public: Public, *, anew: bool, is_ours: bool) -> SharedPlace:
        """`anew`: look at all of it, though nothing changed; `is_ours`: what stands there is ours though it cannot be
        read."""
        with opened(self._disk, place) as folder:
            try:
                before = folder.catalogue()
            except Damaged as error:
                if not is_ours:
                    hint = f"if nobody else shares it, remove {place / SHARED_FOLDER}"
                    raise Damaged(f"{place} seems to be shared, but {error.message}", hint=hint) from error
                before = None
            if before is not None and before.writer != writer:
                raise held_by(place, before)
            catalogue, told = self._catalogue(place, writer, public, None if anew else before)
            if anew or before != catalogue:
                folder.write(catalogue, None if anew else before, self._blobs.get)
            return msgspec.structs.replace(told, others_may_read=folder.others_may_read())

    def _catalogue(
        self, place: Path, writer: str, public: Public, before: Catalogue | None
    ) -> tuple[Catalogue, SharedPlace]:
        """Return what is to be listed at `place`: what is whole, for everybody, and stands below it."""
        root, space = _real(place), Space(writer)
        known = {} if before is None else {(each.folder, each.manifest): each for each in before.listed}
        listed: dict[tuple[str, Digest], Listed] = {}
        left_out: list[tuple[str, str]] = []
        total = 0
        for row in self._holdings.index.holdings():  # The newest first: those are listed, if there is not room for all.
            if row.origin in _NEVER_LISTED or not public.has(row.manifest):
                continue
            where = _real(row.folder)
            if where != root and root not in where.parents:
                continue
            folder = "" if where == root else where.relative_to(root).as_posix()
            held, size = self._held(row)
            if (folder, row.manifest) in listed or held is None:
                continue
            each = known.get((folder, row.manifest)) or self._as_listed(folder, where, row)
            if isinstance(each, Listed):
                if each.files != held:
                    continue
                if space.take(each):
                    listed[folder, row.manifest] = each
                    total += size
                    continue
                each = "the catalogue is full"
            left_out.append((str(row.folder), each))
        manifests = {each.manifest for each in listed.values()}
        named = {
            (*each.key, each.signed): each
            for manifest, each in public.names
            if manifest in manifests and space.take_name(each)
        }
        catalogue = Catalogue(
            writer, tuple(listed[key] for key in sorted(listed)), tuple(named[key] for key in sorted(named))
        )
        return catalogue, SharedPlace(place, len(listed), len(named), total, tuple(left_out))

    def _held(self, row: HoldingRow) -> tuple[int | None, int]:
        """Return how many files a holding has, None if one is in doubt, and their bytes. Of the index alone: this is
        asked of all that is listed, each time that anything changed."""
        count = size = 0
        for file in self._holdings.index.files(row.id):
            if file.standing == DOUBTED or file.fingerprint is None:
                return None, 0
            count, size = count + 1, size + file.fingerprint.size
        return count, size

    def _as_listed(self, folder: str, where: Path, row: HoldingRow) -> Listed | str:
        """Return what is listed of a holding that was not before; or why it cannot be."""
        known = self._holdings.known(row.manifest)
        if known is None:
            return "what describes it is missing"
        if not is_folder(folder):
            return "its path cannot be written in a catalogue"
        if is_alone(known.manifest) and not where.is_dir():
            return "it is a single file of another program's cache"
        return Listed(folder, row.manifest, len(known.manifest.files), len(known.table))

    # --- attached here ---------------------------------------------------------------------------------------------

    def attached(self, configured: Sequence[Path] = ()) -> tuple[Path, ...]:
        return tuple(dict.fromkeys((*self._noted(ATTACHED), *configured)))

    def attach(self, place: Path, configured: Sequence[Path] = ()) -> AttachedPlace:
        """Offer what is listed at `place`, from now on. Raises UsageError, DiskError, Damaged if it cannot be read."""
        key = _key(place)
        if len({*self.attached(configured), place}) > limits.SHARED_PLACES_MAX:
            raise UsageError(f"{limits.SHARED_PLACES_MAX} places are attached already", hint="p2phub detach PLACE")
        read_catalogue(place)
        self._log.set(ATTACHED, key, [])
        seen = self.look(place)
        if seen is not None:
            self.take_in(place, seen)
        return self.told(place, configured)

    def detach(self, place: Path, configured: Sequence[Path] = ()) -> None:
        """Offer nothing of `place` any more. Raises NotFound, UsageError."""
        key = _key(place)
        if self._log.get(ATTACHED, key) is None:
            if place in configured:
                raise UsageError(f"{place} is attached by `shared` in the settings", hint="take it out there")
            raise NotFound(f"{place} is not attached", hint="`p2phub attach` lists what is")
        self._log.remove(ATTACHED, key)
        if place not in configured:
            self._attached.forget([place], self._holdings)

    def look(self, place: Path) -> Seen | None:
        """Return what is new at a place, to be taken in; None if nothing is. May wait for a server."""
        return self._attached.look(place)

    def take_in(self, place: Path, seen: Seen, enough: Callable[[], bool] = lambda: False) -> None:
        """Bring the index up to date with what a look found, until it is `enough`; the next look goes on."""
        self._attached.take_in(place, seen, self._holdings, enough)

    def set_away(self, place: Path, why: str) -> None:
        self._attached.set_away(place, why)

    def only(self, attached: Iterable[Path]) -> None:
        """Offer nothing of any other place."""
        self._attached.only(attached)

    def forget_others(self, attached: Iterable[Path]) -> None:
        """Let go of what the index has of any other place: one that was taken out of the settings, say."""
        known = {place for row in listed_rows(self._holdings) if (place := place_of(row)) is not None}
        self._attached.forget(known - set(attached), self._holdings)

    def told(self, place: Path, configured: Sequence[Path] = ()) -> AttachedPlace:
        """Return what there is to say of an attached place, as it was when it was looked at last."""
        is_configured = place in configured and self._log.get(ATTACHED, _key(place)) is None
        seen = self._attached.seen(place)
        if seen is None:
            return AttachedPlace(place, is_configured, problem=self._attached.away_because(place))
        known = seen.catalogue
        return AttachedPlace(place, is_configured, known.writer, len(known.listed), len(known.named), seen.problems)

    def named(self) -> list[Named]:
        """Return all releases that attached places have, unchecked."""
        return self._attached.named()

    def stamp(self) -> object:
        """Return what is another when what attached places list changed. Cheap."""
        return self._attached.stamp()

    def releases(self, publisher: PeerId, name: str, tag: str) -> list[bytes]:
        """Return the releases of a name that attached places have, unchecked."""
        return self._attached.releases(publisher, name, tag)

    def _noted(self, kind: str) -> tuple[Path, ...]:
        return tuple(Path(place) for (place,) in sorted(self._log.all(kind)))


def _key(place: Path) -> tuple[str]:
    """Return the key under which the log notes a place. Raises UsageError for one that has none."""
    if not place.is_absolute():
        raise UsageError(f"{place} is no absolute path")
    text = os.path.normpath(place)
    if not text.isprintable():
        raise UsageError(f"{text!a} has a name that is no text", hint="call it by another, by a link to it, say")
    return (text,)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
