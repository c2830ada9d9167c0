"""The layouts of a held manifest's files: kept from the publisher, or read anew from the files themselves.

A fetch does not ask for layouts, since what they say stands in the files: they are made when somebody asks for them.
One that is not what the manifest names is not kept: then its publisher said of the file what is not so.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from p2phub.content import Digest, Readable, digest_of
from p2phub.engine.preadv import read_exactly
from p2phub.errors import HubError, Malformed
from p2phub.formats import OPAQUE, Layout, decode_layout, encode_layout, layout_of
from p2phub.manifest import FileEntry, Manifest
from p2phub.store import Store

log = logging.getLogger(__name__)


def known_layouts(manifest: Manifest, store: Store) -> dict[str, Layout]:
    """Return by path the layouts of files that the store has and that hold for them. Blocks."""
    found: dict[str, Layout] = {}
    for entry in manifest.files:
        blob = None if entry.layout is None else store.blob(entry.layout)
        if blob is not None:
            try:
                found[entry.path] = decode_layout(blob, size=entry.size)
            except Malformed as error:
                log.info("the layout of %s is none: %s", entry.path, error)
    return found


def keep_layouts(manifest: Manifest, digest: Digest, folder: Path, store: Store) -> None:
    """Make the layouts of a manifest (`digest`) that `folder` holds whole, unless the store has them. Blocks. Raises
    DiskError."""
    for blob in _made(manifest, digest, folder, store):
        store.put_blobs((blob,))  # One by one: each may have 16 MiB, and its publisher says how many there are.


def _made(manifest: Manifest, digest: Digest, folder: Path, store: Store) -> Iterator[bytes]:
    for number, entry in enumerate(manifest.files):
        if entry.layout is None or store.blob(entry.layout) is not None:
            continue
        try:
            blob = _layout_blob(entry, store.open_held(digest, folder, number))
        except HubError as error:  # Somebody changes the file: then it is not held any more either.
            log.info("no layout of %s: %s", entry.path, error)
            continue
        if blob is not None and digest_of(blob) == entry.layout:
            yield blob
        else:
            log.info("the layout that the manifest names for %s is not that of the file", entry.path)


def _layout_blob(entry: FileEntry, file: Readable) -> bytes | None:
    try:
        layout = layout_of(
            entry.path, entry.size, lambda offset, length: read_exactly(file.descriptor, offset, length, entry.path)
        )
    finally:
        file.close()
    return None if layout.format == OPAQUE else encode_layout(layout)
