"""Publish a folder: hash in place, sign, record. Nothing is copied or touched, and nothing is announced here.

Re-publishing hashes only files whose fingerprint changed. The order of the last steps matters: blobs, then the holding,
then the publication, so that a crash leaves at most something recorded that nobody was told about.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from p2phub import limits
from p2phub.content import Digest, digest_of
from p2phub.engine.hashing import hash_folder
from p2phub.engine.selection import IGNORE_FILE, Selection
from p2phub.engine.workers import Workers
from p2phub.errors import DiskError, Malformed, UsageError
from p2phub.identity import PeerId, SecretKey
from p2phub.manifest import Manifest, Release, check_paths, encode_manifest, next_sequence, sign_release
from p2phub.observe import Watch, printable
from p2phub.store import Ledger, Publication, Scan, Store


@dataclass(frozen=True, slots=True)
class Order:
    """What a user asks to publish. `parents` are (manifest digest, relation) of base models."""

    folder: Path
    name: str
    tag: str = "main"
    kind: str = "model"
    description: str = ""
    licence: str = ""
    parents: tuple[tuple[Digest, str], ...] = ()
    private: bool = False
    allow: tuple[PeerId, ...] = ()
    ignore: tuple[str, ...] = ()
    include: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was published. `left_out`: (path, why); `problems`: (path, what is odd about it)."""

    manifest: Digest
    release: Release
    signed: bytes
    files: int
    bytes: int
    bytes_hashed: int
    left_out: tuple[tuple[str, str], ...]
    problems: tuple[tuple[str, str], ...]


async def survey(order: Order, *, store: Store, workers: Workers) -> Scan:
    """Return what of the folder would be published. Raises UsageError for what may not be, DiskError."""
    selection = await workers.run(lambda: _selection(order))
    scan = await workers.run(lambda: store.scan(order.folder, selection.ignore))
    if scan.outside:
        raise UsageError(
            f"{_some(scan.outside)} in {order.folder}: a link that leaves the folder is not published",
            hint="copy the file into the folder, or leave the link out with --ignore",
        )
    # In a worker like the scan: of a million paths the event loop would hear nothing for half a minute.
    secrets = await workers.run(lambda: _secrets(scan, selection))
    if secrets:
        raise UsageError(
            f"{_some(secrets)} in {order.folder} looks like a secret, so nothing was published",
            hint="leave it out with --ignore PATTERN, or name it with --include PATTERN if it is meant to be public",
        )
    if not scan.files:
        raise UsageError(f"{order.folder} has no file to publish")
    try:
        await workers.run(lambda: check_paths([found.path for found in scan.files]))
    except Malformed as exc:
        raise UsageError(
            f"a file in {order.folder} has a name that not every machine can hold: {exc.what}",
            hint="rename it, or leave it out with --ignore PATTERN",
        ) from exc
    return scan


async def publish(
    order: Order,
    *,
    key: SecretKey,
    store: Store,
    ledger: Ledger,
    workers: Workers,
    watch: Watch,
    known_sequence: int = 0,
) -> Outcome:
    """Hash, sign and record. `known_sequence` is the newest found elsewhere (the network). Raises HubError."""
    if order.name != order.name.lower():
        raise UsageError(f"a name has lower-case letters only: {order.name!r}")
    scan = await survey(order, store=store, workers=workers)
    read = await hash_folder(order.folder, scan, store=store, workers=workers, watch=watch)
    left_out = scan.left_out
    del scan  # Of a million files it takes 80 MB, and the manifest is still to be made.
    manifest = Manifest(tuple(item.entry for item in read.files))
    blobs = await workers.run(lambda: encode_manifest(manifest))
    digest = digest_of(blobs[0])
    accepted = ledger.accepted(key.peer_id, order.name, order.tag)
    now = time.time()
    previous = _previous(ledger, key.peer_id, order)
    release = Release(
        publisher=key.peer_id,
        name=order.name,
        tag=order.tag,
        sequence=next_sequence(max(known_sequence, accepted.sequence if accepted else 0) or None, int(now * 1000)),
        manifest=digest,
        previous=previous if previous != digest else None,
        kind=order.kind,
        bytes_total=manifest.bytes_total,
        created=int(now),
        expires=int(now) + limits.RELEASE_LIFETIME_S,
        licence=order.licence,
        parents=order.parents,
        description=order.description,
        private=order.private,
    )
    signed = sign_release(key, release)

    def record() -> None:
        store.put_blobs((*read.blobs, *blobs))
        store.hold(manifest, digest, order.folder, read.files)
        ledger.publish(
            Publication(
                publisher=key.peer_id,
                name=order.name,
                tag=order.tag,
                manifest=digest,
                folder=order.folder,
                signed=signed,
                private=order.private,
                allow=order.allow,
            )
        )

    await workers.run(record)
    return Outcome(
        manifest=digest,
        release=release,
        signed=signed,
        files=len(manifest.files),
        bytes=manifest.bytes_total,
        bytes_hashed=read.bytes_hashed,
        left_out=left_out,
        problems=read.problems,
    )


def _selection(order: Order) -> Selection:
    """Return the rule for this folder. Raises UsageError, DiskError."""
    if not order.folder.is_dir():
        raise UsageError(f"{order.folder} is not a folder", hint="publish takes the folder that holds the files")
    own = order.folder / IGNORE_FILE
    try:
        text = own.read_text("utf-8") if own.is_file() else ""
    except (OSError, UnicodeDecodeError) as exc:
        raise DiskError(f"cannot read {own}: {exc}") from exc
    return Selection(ignore_text=text, ignore=order.ignore, include=order.include)


def _secrets(scan: Scan, selection: Selection) -> list[str]:
    """Return what looks like a secret that nobody named."""
    return [
        found.path if found.target is None else f"{found.path} (a link to {found.target})"
        for found in scan.files
        if selection.secret(found.path) or (found.target is not None and selection.secret(found.target))
    ]


def _previous(ledger: Ledger, publisher: PeerId, order: Order) -> Digest | None:
    for publication in ledger.publications():
        if (publication.publisher, publication.name, publication.tag) == (publisher, order.name, order.tag):
            return publication.manifest
    return None


def _some(paths: Sequence[str]) -> str:
    shown = ", ".join(printable(path) for path in paths[:3])
    return shown if len(paths) <= 3 else f"{shown} and {len(paths) - 3} more"
