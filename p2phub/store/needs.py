"""Which metadata blobs a manifest is described by: its pages, the lists of its chunks, layouts, its large files alone.

Told of as much as can be read here: of a manifest whose pages are not all here, what those name that are. Pure, but for
`get`, which reads blobs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from p2phub import limits
from p2phub.content import Digest, list_digests
from p2phub.errors import Damaged, Malformed
from p2phub.manifest import (
    Manifest,
    alone_digest,
    decode_manifest,
    is_alone,
    lists_in_root,
    lists_on_page,
    manifest_pages,
)

GetBlob = Callable[[Digest], bytes | None]


def blobs_of(digest: Digest, get: GetBlob, manifest: Manifest | None = None) -> Iterator[Digest]:
    """Yield the digests of the blobs that describe the manifest `digest`, as far as they can be told. `manifest`: what
    it is, for whom knows that already."""
    yield digest
    root = get(digest)
    if root is None:
        return
    try:
        pages = [page for page, _ in manifest_pages(root)]
    except Malformed:
        return
    yield from pages
    try:
        manifest = manifest or decode_manifest(root, get)
    except Damaged:  # A page is missing, or was never one.
        yield from _lists_of_what_is_here(root, pages, get)
        return
    yield from of_entries(manifest, get)


def of_entries(manifest: Manifest, get: GetBlob) -> Iterator[Digest]:
    """Yield what describes the files of a manifest: lists, layouts, and, of large ones, the file alone."""
    alone = is_alone(manifest)
    for entry in manifest.files:
        yield from lists_of(entry.root, entry.chunks, get)
        if entry.layout is not None:
            yield entry.layout
        if not alone and entry.size >= limits.ALONE_BYTES_MIN:
            yield alone_digest(entry)


def lists_of(root: Digest, chunks: int, get: GetBlob) -> Iterable[Digest]:
    """Return the lists of the chunks of one file."""
    try:
        return list_digests(root, chunks, get)
    except Malformed:
        return (root,)


def _lists_of_what_is_here(root: bytes, pages: list[Digest], get: GetBlob) -> Iterator[Digest]:
    found = []
    try:
        found += lists_in_root(root)
        for page in pages:
            held = get(page)
            found += [] if held is None else lists_on_page(held)
    except Malformed:
        pass
    for of_file, chunks in found:
        yield from lists_of(of_file, chunks, get)
