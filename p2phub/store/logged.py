"""What `state.log` says is held: each folder that was said to hold a manifest, until it is said that it does not.

    holding   digest in hex, digest of the folder's name -> [folder, files, origin, source]

The log cannot be made again, so it says only what nothing else can say. How files stand the index says, which may be
lost, and is begun anew from here. Of what attached places list the log knows nothing. Functions raise DiskError.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence, Set
from pathlib import Path

from p2phub.content import Digest, digest_of
from p2phub.manifest import pack
from p2phub.store.database import Begun
from p2phub.store.holding import Origin
from p2phub.store.source import REPLACED
from p2phub.store.state_log import StateLog

HOLDING = "holding"
_ORIGINS = frozenset(origin.value for origin in Origin)


def holding_key(digest: Digest, folder: Path) -> tuple[str, str]:
    """Return the key under which the log says that `folder` holds a manifest."""
    # A folder's name need not be text: a key is, so the name itself stands in the value.
    return digest.raw.hex(), digest_of(os.fsencode(folder)).raw.hex()[:32]


def log_holding(
    log: StateLog, digest: Digest, folder: Path, files: int, origin: Origin, source: Sequence[object]
) -> None:
    """Note that `folder` holds a manifest of `files` files."""
    log.set(HOLDING, holding_key(digest, folder), [os.fsencode(folder), files, origin.value, list(source)])


def log_source(log: StateLog, digest: Digest, folder: Path, origin: Origin, source: Sequence[object]) -> None:
    """Note what a holding is from, if it is still held."""
    with log.changing():
        key = holding_key(digest, folder)
        known = log.get(HOLDING, key)
        if known is not None and len(known) >= 2:
            log.set(HOLDING, key, [*known[:2], origin.value, list(source)])


def log_release(log: StateLog, digest: Digest, folder: Path | None) -> None:
    """Note that `folder` does not hold a manifest any more, or that no folder does."""
    with log.changing():
        for key in log.all(HOLDING):
            if key[0] == digest.raw.hex() and (folder is None or key == holding_key(digest, folder)):
                log.remove(HOLDING, key)


def logged(log: StateLog) -> Iterator[Begun]:
    """Yield what is held."""
    for (manifest, _), value in log.all(HOLDING).items():
        match value:
            case [bytes(folder), int(files), str(origin), list(source)]:
                pass
            case [bytes(folder), int(files)]:  # As it was written before it was noted whose they are.
                origin, source = Origin.PUBLISHED.value, []
            case _:
                continue
        known = origin if origin in _ORIGINS else Origin.PUBLISHED.value
        where = Path(os.fsdecode(folder))
        yield Begun(Digest(bytes.fromhex(manifest)), where, files, Origin(known), pack(source))


def logged_for_a_new_index(home: Path) -> list[Begun]:
    """Return what a new index starts with: every holding ever recorded and not released, all of it in doubt."""
    # Of the log as anybody reads it: who has our own for changes may be waiting for the index.
    log = StateLog(home)
    try:
        # Earlier versions first: that they are was noted after the newer one was, whose holding is the newest.
        return sorted(logged(log), key=lambda begun: begun.source != pack(REPLACED))
    finally:
        log.close()


def folders_logged(log: StateLog, manifests: Set[Digest]) -> set[bytes]:
    """Return in which folders these manifests are held, as `os.fsencode` has them."""
    keys = {digest.raw.hex() for digest in manifests}
    found = log.all(HOLDING).items() if keys else ()
    return {value[0] for (digest, _), value in found if digest in keys and isinstance(value[0], bytes)}
