"""Publish a folder: hash in place, sign, record. Nothing is copied or touched, and nothing is announced here.

Re-publishing hashes only files whose fingerprint changed. The order of the last steps matters: blobs, then the holding,
then the publication, so that a crash leaves at most something recorded that nobody was told about. What is held and
neither published nor withheld is for everybody: so what is to be private is withheld before all that.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from p2phub import limits
from p2phub.content import Digest, digest_of
from p2phub.engine.hashing_all import hash_folder
from p2phub.engine.selection import IGNORE_FILE, Selection
from p2phub.engine.workers import Workers
from p2phub.errors import DiskError, Malformed, UsageError
from p2phub.identity import PeerId, SecretKey
from p2phub.manifest import (
    Manifest,
    Release,
    check_paths,
    encode_manifest,
    next_sequence,
    read_release,
    sign_release,
)
from p2phub.observe import Watch, printable, some_of
from p2phub.store import Ledger, Publication, Scan, Store


class Order(msgspec.Struct, frozen=True):
    """What a user asks to publish. `parents` are (manifest digest, relation) of base models. Raises UsageError for what
    is for everybody and yet for some."""

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

    def __post_init__(self) -> None:
        if self.allow and not self.private:
            raise UsageError("allow goes with private: a public name is for everybody")


class Outcome(msgspec.Struct, frozen=True):
    """What was published. `left_out`: (path, why); `remarks`: (path, what to know of it)."""

    manifest: Digest
    release: Release
    signed: bytes
    files: int
    bytes: int
    bytes_hashed: int
    left_out: tuple[tuple[str, str], ...]
    remarks: tuple[tuple[str, str], ...]


class Survey(msgspec.Struct, frozen=True):
    """What stands in a folder: `scan` has what would be published and is left out; `secrets`, `outside` (links that
    leave the folder), each as it is shown, `unfit` (why a name cannot be published) and `unreadable` make `publish`
    refuse."""

    scan: Scan
    secrets: dict[str, str]  # By path, which is in the scan: the path, and where it leads to if it is a link.
    outside: tuple[str, ...]
    unfit: str | None
    unreadable: tuple[str, ...] = ()  # Files that this user may not read.


async def survey(order: Order, *, store: Store, workers: Workers) -> Survey:
    """Return what of the folder would be published, and what forbids it. Raises UsageError if it is none, DiskError."""

    def look() -> Survey:
        selection = _selection(order)
        scan = store.scan(order.folder, selection.ignore)
        secrets = {
            found.path: found.path if found.target is None else f"{found.path} (a link to {found.target})"
            for found in scan.files
            if selection.secret(found.path) or (found.target is not None and selection.secret(found.target))
        }
        unfit = None
        try:
            check_paths([found.path for found in scan.files])
        except Malformed as exc:
            unfit = exc.what
        unreadable = tuple(
            found.path for found in scan.files if not os.access(order.folder / found.path, os.R_OK, effective_ids=True)
        )
        return Survey(scan, secrets, scan.outside, unfit, unreadable)

    return await workers.run(look)


def check_survey(order: Order, found: Survey) -> None:
    """Raise UsageError if what was found may not be published, DiskError if some of it cannot be read."""
    if found.outside:
        raise UsageError(
            f"{_some(found.outside)} in {order.folder}: a link that leaves the folder is not published",
            hint="copy the file into the folder, or leave the link out with --ignore",
        )
    if found.secrets:
        raise UsageError(
            f"{_some(list(found.secrets.values()))} in {order.folder} looks like a secret, so nothing was published",
            hint="leave it out with --ignore PATTERN, or name it with --include PATTERN if it is meant to be public",
        )
    if not found.scan.files:
        raise UsageError(
            f"{order.folder} has no file to publish",
            hint="`p2phub publish DIR --dry-run` shows what is left out, and why",
        )
    if found.unfit is not None:
        raise UsageError(
            f"a file in {order.folder} has a name that not every machine can hold: {found.unfit}",
            hint="rename it, or leave it out with --ignore PATTERN",
        )
    if found.unreadable:
        raise DiskError(
            f"cannot read {_some(found.unreadable)} in {order.folder}: permission denied",
            hint="let this user read it, or leave it out with --ignore PATTERN",
        )


def check_case(name: str) -> None:
    """Raise UsageError for a name that would be one in lower case."""
    if name != name.lower():
        raise UsageError(f"a name has lower-case letters only: {name!r}")


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
    check_case(order.name)
    found = await survey(order, store=store, workers=workers)
    check_survey(order, found)
    scan = found.scan
    read = await hash_folder(order.folder, scan, store=store, workers=workers, watch=watch)
    left_out = scan.left_out
    del found, scan  # Of a million files it takes 80 MB, and the manifest is still to be made.
    manifest = Manifest(tuple(item.entry for item in read.files))

    def hold(digest: Digest) -> Path:
        store.put_blobs(read.blobs)
        store.hold(manifest, digest, order.folder, read.files)
        return order.folder

    signed = await sign_and_record(
        order, manifest, hold, key=key, store=store, ledger=ledger, workers=workers, known_sequence=known_sequence
    )
    return outcome_of(manifest, signed, bytes_hashed=read.bytes_hashed, left_out=left_out, remarks=read.remarks)


async def sign_and_record(
    order: Order,
    manifest: Manifest,
    hold: Callable[[Digest], Path],
    *,
    key: SecretKey,
    store: Store,
    ledger: Ledger,
    workers: Workers,
    known_sequence: int,
) -> bytes:
    """Sign `manifest` as `order` says, have it held, record the publication. Returns the release, signed.

    `hold` records where its files stand, and returns the folder; it blocks. Raises HubError.
    """
    blobs = await workers.run(lambda: encode_manifest(manifest))
    digest = digest_of(blobs[0])
    accepted, previous = await workers.run(
        lambda: (ledger.accepted(key.peer_id, order.name, order.tag), _previous(ledger, key.peer_id, order))
    )
    newest = max(known_sequence, accepted.sequence if accepted else 0)
    release = _release(order, key.peer_id, digest, manifest.bytes_total, newest=newest, previous=previous)
    signed = sign_release(key, release)

    def record() -> None:
        store.put_blobs(blobs)
        if order.private:  # First: a crash, or a full disk, between what follows must not make it public.
            ledger.withhold(digest, withheld=True)
        folder = hold(digest)
        ledger.publish(
            Publication(
                publisher=key.peer_id,
                name=order.name,
                tag=order.tag,
                manifest=digest,
                folder=folder,
                signed=signed,
                private=order.private,
                allow=order.allow,
            )
        )

    await workers.run(record)
    return signed


def outcome_of(
    manifest: Manifest,
    signed: bytes,
    *,
    bytes_hashed: int,
    left_out: tuple[tuple[str, str], ...] = (),
    remarks: tuple[tuple[str, str], ...],
) -> Outcome:
    """Return what was published, as `signed` says it."""
    release = read_release(signed)
    return Outcome(
        manifest=release.manifest,
        release=release,
        signed=signed,
        files=len(manifest.files),
        bytes=manifest.bytes_total,
        bytes_hashed=bytes_hashed,
        left_out=left_out,
        remarks=remarks,
    )


def _release(
    order: Order, publisher: PeerId, manifest: Digest, bytes_total: int, *, newest: int, previous: Digest | None
) -> Release:
    """Return what is to be signed now. `newest`: the highest sequence known of this name, 0 if none is."""
    now = time.time()
    return Release(
        publisher=publisher,
        name=order.name,
        tag=order.tag,
        sequence=next_sequence(newest or None, int(now * 1000)),
        manifest=manifest,
        previous=previous if previous != manifest else None,
        kind=order.kind,
        bytes_total=bytes_total,
        created=int(now),
        expires=int(now) + limits.RELEASE_LIFETIME_S,
        licence=order.licence,
        parents=order.parents,
        description=order.description,
        private=order.private,
    )


def _selection(order: Order) -> Selection:
    """Return the rule for this folder. Raises UsageError, DiskError."""
    if not order.folder.is_dir():
        what = "is a file, not a folder" if order.folder.exists() else "is not there"
        raise UsageError(f"{order.folder} {what}", hint="give the folder that holds the files: p2phub publish DIR")
    if os.path.samefile(order.folder, "/"):  # Minutes of looking, through /proc and every disk.
        raise UsageError(
            f"{order.folder} is all of this machine, not the folder of a model",
            hint="give the folder that holds the files: p2phub publish DIR",
        )
    if not os.access(order.folder, os.R_OK | os.X_OK, effective_ids=True):
        raise DiskError(f"cannot read {order.folder}: permission denied", hint="let this user read that folder")
    own = order.folder / IGNORE_FILE
    try:
        text = own.read_text("utf-8") if own.is_file() else ""
    except (OSError, UnicodeDecodeError) as exc:
        raise DiskError(f"cannot read {own}: {exc}", hint="let this user read it, or move it away") from exc
    return Selection(ignore_text=text, ignore=order.ignore, include=order.include)


def _previous(ledger: Ledger, publisher: PeerId, order: Order) -> Digest | None:
    """Return what the release replaces; nothing where that was private and this is not: it would tell everybody."""
    for publication in ledger.publications():
        if (publication.publisher, publication.name, publication.tag) == (publisher, order.name, order.tag):
            return None if publication.private and not order.private else publication.manifest
    return None


def _some(paths: Sequence[str]) -> str:
    return some_of([printable(path) for path in paths])
