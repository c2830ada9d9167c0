"""The attached places of a home as they were when they were looked at last: which are there, what they list, and what
of it stands in the index.

A look opens the catalogue and does no more while that is the same file; what changed is taken into the index as
holdings in doubt (`Origin.SHARED`), after what describes them was read and checked. The index is compared with the
whole catalogue at the first look of a process, so nothing else is remembered and a lost index loses nothing. A place
that cannot be looked at counts as away: nothing of it is offered, and what stands in the index of it waits.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from p2phub.content import Digest
from p2phub.errors import HubError
from p2phub.identity import PeerId
from p2phub.store.fingerprints import Fingerprint
from p2phub.store.holding import Origin
from p2phub.store.holdings import Holdings
from p2phub.store.index import HoldingRow
from p2phub.store.sharing.catalogue import Catalogue, Listed, Named
from p2phub.store.sharing.reading import read_blob, read_catalogue
from p2phub.store.source import place_of, shared_source

log = logging.getLogger(__name__)
INDEXED_AT_ONCE = 32  # Folders whose chunks are noted in one go, which looks at all that is held.
_UNSEEN = Fingerprint(0, 0, 0, 0, 0)  # Of no file: what was taken in by it is taken in again.


class Seen(msgspec.Struct, frozen=True):
    """What was found at a place: its catalogue, as that file stood, and why some of it is not taken in."""

    stamp: Fingerprint
    catalogue: Catalogue
    problems: tuple[tuple[str, str], ...] = ()  # (folder, why)


class Attached:
    """What is known of the attached places. Thread-safe. A `holdings.Lender`."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._taking_in = threading.Lock()
        self._seen: dict[Path, Seen] = {}
        self._away: dict[Path, str] = {}

    # --- what is there ---------------------------------------------------------------------------------------------

    def is_here(self, place: Path) -> bool:
        with self._mutex:
            return place in self._seen

    def seen(self, place: Path) -> Seen | None:
        with self._mutex:
            return self._seen.get(place)

    def away_because(self, place: Path) -> str | None:
        """Return why a place was not there at the last look; None if it was, or nobody looked."""
        with self._mutex:
            return self._away.get(place)

    def blob(self, digest: Digest) -> bytes | None:
        with self._mutex:
            places = tuple(self._seen)
        found = (read_blob(place, digest) for place in places)
        return next((blob for blob in found if blob is not None), None)

    def named(self) -> list[Named]:
        """Return all releases that places say to have, unchecked."""
        with self._mutex:
            return [each for seen in self._seen.values() for each in seen.catalogue.named]

    def stamp(self) -> tuple[tuple[Path, Fingerprint], ...]:
        """Return what is another when what is listed changed."""
        with self._mutex:
            return tuple((place, seen.stamp) for place, seen in self._seen.items())

    def releases(self, publisher: PeerId, name: str, tag: str) -> list[bytes]:
        """Return the releases that places say to have of a name, unchecked."""
        key = (publisher.public_key, name, tag)
        return [each.signed for each in self.named() if each.key == key]

    # --- looking ---------------------------------------------------------------------------------------------------

    def look(self, place: Path) -> Seen | None:
        """Open the catalogue of a place and return what is new in it; None if nothing is, or the place is away."""
        known = self.seen(place)
        try:
            found = read_catalogue(place, None if known is None else known.stamp)
        except HubError as error:
            self.set_away(place, error.message)
            return None
        return None if found is None else Seen(*found)

    def set_away(self, place: Path, why: str) -> None:
        """Offer nothing of a place until a look finds it again. Said once."""
        with self._mutex:
            self._seen.pop(place, None)
            if self._away.get(place) == why:
                return
            self._away[place] = why
        log.warning("nothing is taken from %s: %s", place, why)

    def only(self, places: Iterable[Path]) -> None:
        """Offer nothing of any other place."""
        stay = set(places)
        with self._mutex:
            for place in [place for place in self._seen if place not in stay]:
                del self._seen[place]

    def take_in(self, place: Path, seen: Seen, holdings: Holdings, enough: Callable[[], bool] = lambda: False) -> None:
        """Bring the index up to date with what was found, until it is `enough`: the next look goes on. Raises DiskError
        for what is wrong with the home."""
        with self._taking_in:
            with self._mutex:
                self._seen[place] = seen  # From here on its blobs stand in for those that the home has not.
                self._away.pop(place, None)
            rows = {_key(row): row for row in listed_rows(holdings, place)}
            wanted = {
                (each.manifest, place / each.folder, _source_of(place, each)): each for each in seen.catalogue.listed
            }
            for key in rows.keys() - wanted.keys():
                holdings.release_shared(rows[key])
            problems: list[tuple[str, str]] = []
            stamp = seen.stamp
            for count, each in enumerate([wanted[key] for key in wanted if key not in rows], start=1):
                if enough():
                    log.info("not all that %s lists is taken in yet", place)
                    stamp = _UNSEEN
                    break
                why = holdings.hold_shared(each.manifest, each.folder, place, files=each.files, chunks=each.chunks)
                if why is not None:
                    problems.append((each.folder, why))
                if count % INDEXED_AT_ONCE == 0:
                    holdings.noting.note_chunks()
            holdings.noting.note_chunks()
            if problems:
                what = f"{len(problems)} folders, such as {problems[0][0]!r}: {problems[0][1]}"
                log.warning("of what %s lists, not taken in are %s", place, what)
            with self._mutex:
                if place in self._seen:
                    self._seen[place] = Seen(stamp, seen.catalogue, tuple(problems))

    def forget(self, places: Iterable[Path], holdings: Holdings) -> None:
        """Let go of places that are not attached any more, and of what the index has of them."""
        gone = set(places)
        with self._taking_in:
            with self._mutex:
                for place in gone:
                    self._seen.pop(place, None)
                    self._away.pop(place, None)
            for row in listed_rows(holdings):
                if place_of(row) in gone:
                    holdings.release_shared(row)
        if not gone:
            return
        with self._mutex:  # What another place lists at the same folder is taken in again.
            for place, seen in self._seen.items():
                self._seen[place] = Seen(_UNSEEN, seen.catalogue, seen.problems)


def listed_rows(holdings: Holdings, place: Path | None = None) -> list[HoldingRow]:
    """Return what the index has of a place, or of all places, whether they are there or not."""
    rows = [row for row in holdings.index.holdings() if row.origin is Origin.SHARED]
    return [row for row in rows if place is None or place_of(row) == place]


def _key(row: HoldingRow) -> tuple[Digest, Path, bytes | None]:
    return row.manifest, row.folder, row.source


def _source_of(place: Path, listed: Listed) -> bytes:
    return shared_source(place, listed.folder, files=listed.files, chunks=listed.chunks)
