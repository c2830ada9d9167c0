"""Files in doubt in the store in memory: what `doubting` does on a disk, in the second implementation.

Nothing damages what memory has, so only what a test does to a folder, or says of a file, brings one into doubt.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from p2phub.content import Codec, Digest, RangeSet
from p2phub.store.fingerprints import Fingerprint
from p2phub.store.holding import Away, LookedAgain
from p2phub.store.memory_files import same_bytes

if TYPE_CHECKING:
    from p2phub.store.memory import MemoryStore
    from p2phub.store.memory_holding import Held


def mark_changed(store: MemoryStore, manifest: Digest, file: int) -> None:
    with store.lock:
        places = store.places_of(manifest, file)
        for held, number in places:
            if len(places) == 1 or store.standing(*held.where(number)) != held.files[number].fingerprint:
                held.doubted.add(number)


def mark_damaged(store: MemoryStore, manifest: Digest, folder: Path, file: int) -> None:
    with store.lock:
        read = store.held_in(manifest, folder)
        places = set() if read is None else {Path(*read.where(file)), folder / read.manifest.files[file].path}
        for held in store.held:
            numbers = range(len(held.files))
            held.doubted.update(number for number in numbers if Path(*held.where(number)) in places)


def mark_right(
    store: MemoryStore, manifest: Digest, folder: Path, file: int, found: Fingerprint, *, trusted: bool
) -> bool:
    with store.lock:
        held = store.held_in(manifest, folder)
        if held is None:
            return False
        restored = file in held.doubted or held.files[file].fingerprint != found
        held.files[file] = replace(held.files[file], fingerprint=found, trusted=trusted)
        held.doubted.discard(file)
    return restored


def look_again(store: MemoryStore, manifest: Digest, file: int) -> LookedAgain:
    restored, lost, gone = 0, list[str](), list[Path]()
    with store.lock:
        for held, number in store.places_of(manifest, file):
            if number in held.doubted:
                is_right = _is_right_again(store, held, number)
                restored += is_right
                lost += [] if is_right else [str(Path(*held.where(number)))]
                gone += [] if is_right or _stands(store, held, number) else [held.folder]
    return LookedAgain(restored, tuple(lost), tuple(gone))


def in_doubt(store: MemoryStore, manifest: Digest, folder: Path) -> RangeSet:
    with store.lock:
        held = store.held_in(manifest, folder)
        return RangeSet() if held is None else RangeSet.from_indices(held.doubted - held.left_out)


def away(store: MemoryStore) -> tuple[Away, ...]:
    with store.lock:
        gone = (
            (held, next((n for n in sorted(held.doubted - held.left_out) if not _stands(store, held, n)), None))
            for held in store.held
        )
        return tuple(Away(held.digest, held.folder, number) for held, number in gone if number is not None)


def check(store: MemoryStore) -> tuple[str, ...]:
    """Hash files in doubt again."""
    said: list[str] = []
    with store.lock:
        for held in store.held:
            for number in sorted(held.doubted):
                _is_right_again(store, held, number)
            if doubted := held.doubted - held.left_out:
                where = f"{held.digest.text(Codec.MSGPACK)} in {held.folder}"
                said.append(f"{where}: {len(doubted)} files are not what was hashed")
    return tuple(said)


def _stands(store: MemoryStore, held: Held, number: int) -> bool:
    folder, path = held.where(number)
    return path in store.folders.get(folder, {})


def _is_right_again(store: MemoryStore, held: Held, number: int) -> bool:
    """Hash a file in doubt; it is held again if it is what it should be."""
    folder, path = held.where(number)
    file = store.folders.get(folder, {}).get(path)
    if file is None or not same_bytes(file, held.table, number):
        return False
    held.files[number] = replace(held.files[number], fingerprint=file.fingerprint())
    held.doubted.discard(number)
    held.left_out.discard(number)
    return True
