"""A manifest as blobs: the root page, whose digest is the revision, and pages of files where they do not fit in it.

    root  = record "p2phub manifest" 1 {bytes, chunks, count: totals; files: [entry…] or pages: [[digest, length]…]}
    page  = record "p2phub files" 1 {files: [entry…]}
    entry = [path, size, chunks, root, sha256, {git: 20 bytes, layout: digest}]        the map holds what applies

Equal files give equal blobs: entries ascend by path, they stand in the root page if they are short enough together,
and otherwise where one page ends and the next begins is a function of the entries alone. The paths choose it, so that a
file added to a dataset changes one page and not all that follow. The decoder takes no other division.
Source: proto/manifest.md §2.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Callable, Sequence

from p2phub import limits
from p2phub.content import (
    DIGEST_BYTES,
    EMPTY_ROOT,
    Digest,
    Fields,
    digest_of,
    pack_record,
    packed_lengths,
    unpack_record,
)
from p2phub.errors import Damaged, Malformed, UsageError
from p2phub.manifest.model import FileEntry, Manifest
from p2phub.manifest.paths import check_paths

ROOT_KIND = "p2phub manifest"
PAGE_KIND = "p2phub files"
VERSION = 1

INLINE_BYTES_MAX = 48 * limits.KIB  # Entries up to this stand in the root page; the rest of it is for fields to come.
PAGE_ENTRIES_BYTES_MAX = limits.MANIFEST_PAGE_BYTES_MAX - 4 * limits.KIB
PAGE_CUT_BYTES_MIN = 256 * limits.KIB  # No page ends by its paths before this, so that the root page can list them all.
PAGE_CUT_MASK = 2048 - 1  # Past that, one path in 2048 ends a page.
FILE_BYTES_MAX = limits.CHUNKS_PER_FILE_MAX * limits.CHUNK_BYTES_MAX
TOTAL_MAX = (1 << 63) - 1


def encode_manifest(manifest: Manifest) -> tuple[bytes, ...]:
    """Return the manifest's blobs, root page first.

    Raises Malformed where a file, a path or the number of chunks breaks a rule (see `decode_manifest`), UsageError if
    the table of files is too long for the root page to list.
    """
    files = manifest.files
    _check_files(files)
    _check_chunks(manifest.chunks_total)
    fields = {"bytes": manifest.bytes_total, "chunks": manifest.chunks_total, "count": len(files)}
    # Twice made and never all at once: a million entries as lists take more than the manifest does.
    lengths = array("I", packed_lengths(map(_encode_entry, files)))
    counts = _division([entry.path for entry in files], lengths)
    if not counts:
        return (pack_record(ROOT_KIND, VERSION, {**fields, "files": [_encode_entry(entry) for entry in files]}),)
    pages: list[bytes] = []
    at = 0
    for count in counts:
        entries = [_encode_entry(entry) for entry in files[at : at + count]]
        pages.append(pack_record(PAGE_KIND, VERSION, {"files": entries}))
        at += count
    listed = [[digest_of(page).raw, len(page)] for page in pages]
    root = pack_record(ROOT_KIND, VERSION, {**fields, "pages": listed})
    if len(root) > limits.MANIFEST_ROOT_BYTES_MAX or len(files) > limits.FILES_MAX:
        raise UsageError(
            f"{len(files)} files, with paths as long as these, do not fit in one manifest",
            hint="publish the folder in several parts",
        )
    return (root, *pages)


def manifest_pages(root: bytes) -> tuple[tuple[Digest, int], ...]:
    """Return digest and length in bytes of each further page, in order; none if the root page holds all.

    Raises Malformed for a root page that breaks a rule of its own: as `decode_manifest` does before it asks for a page.
    """
    return _pages_of(_open_root(root))


def lists_in_root(root: bytes) -> list[tuple[Digest, int]]:
    """As `lists_on_page`, for the files that stand in the root page itself."""
    fields = _open_root(root)
    return _lists_of(fields) if "files" in fields else []


def lists_on_page(page: bytes) -> list[tuple[Digest, int]]:
    """Return root and number of chunks of each file on a further page that has a chunk list: of more than one chunk.

    Raises Malformed for what no page may be. What must hold across files and pages is not looked at: for a manifest
    that was accepted whole before.
    """
    return _lists_of(unpack_record(page, PAGE_KIND, VERSION))


def _lists_of(fields: Fields) -> list[tuple[Digest, int]]:
    # No entry is made: of a million small files none has a list.
    lists: list[tuple[Digest, int]] = []
    for item in fields.array("files", most=limits.FILES_MAX):
        if type(item) is not list or tuple(map(type, item)) != _ENTRY_TYPES:
            raise _not_an_entry()
        if item[2] > 1:
            lists.append((Digest(item[3]), item[2]))
    return lists


def decode_manifest(root: bytes, blob: Callable[[Digest], bytes | None]) -> Manifest:
    """Return the manifest whose root page is `root`; `blob` gives the further pages by digest.

    Raises Malformed: what a record raises; manifest-root-long, manifest-pages, chunk-total, manifest-page-digest,
    manifest-entry, manifest-order, manifest-total, manifest-division, file-size, file-chunks, file-empty, file-sha256,
    file-git, and the rules of `check_paths`. Raises Damaged if `blob` does not have a page.
    """
    fields = _open_root(root)
    count = fields.unsigned("count", most=limits.FILES_MAX)
    files: list[FileEntry] = []
    lengths = array("I")
    counts: list[int] = []
    if "files" in fields:
        _read_entries(fields.array("files", most=count), files, lengths)
    for digest, length in _pages_of(fields):
        page = blob(digest)
        if page is None:
            raise Damaged(f"page {digest} of the manifest is missing")
        if len(page) != length or digest_of(page) != digest:
            raise Malformed("manifest-page-digest", f"page {digest} is not the bytes that the root page names")
        before = len(files)
        _read_entries(unpack_record(page, PAGE_KIND, VERSION).array("files", most=count), files, lengths)
        counts.append(len(files) - before)
        if len(files) > count:
            break
    manifest = Manifest(tuple(files))
    announced = (count, fields.unsigned("bytes", most=TOTAL_MAX), fields.unsigned("chunks", most=TOTAL_MAX))
    found = (len(files), manifest.bytes_total, manifest.chunks_total)
    if found != announced:
        raise Malformed("manifest-total", f"files, bytes and chunks are {found}, not {announced}")
    _check_files(manifest.files)
    if _division([entry.path for entry in files], lengths) != counts:
        raise Malformed("manifest-division", "the files are not divided into pages as they must be")
    return manifest


def _open_root(root: bytes) -> Fields:
    if len(root) > limits.MANIFEST_ROOT_BYTES_MAX:
        raise Malformed("manifest-root-long", f"a root page of {len(root)} bytes")
    fields = unpack_record(root, ROOT_KIND, VERSION)
    if ("files" in fields) == ("pages" in fields):
        raise Malformed("manifest-pages", "a root page has either files or pages")
    # Here and not with the entries: 64 KiB may announce more than a node can hold, in pages and in chunk lists.
    _check_chunks(fields.unsigned("chunks", most=TOTAL_MAX))
    return fields


def _pages_of(fields: Fields) -> tuple[tuple[Digest, int], ...]:
    if "pages" not in fields:
        return ()
    pages: list[tuple[Digest, int]] = []
    for item in fields.array("pages", least=1, most=limits.MANIFEST_PAGES_MAX):
        match item:
            case [bytes(raw), int(length)] if (
                len(raw) == DIGEST_BYTES and length is not True and 0 < length <= limits.MANIFEST_PAGE_BYTES_MAX
            ):
                pages.append((Digest(raw), length))
            case _:
                raise Malformed("manifest-pages", "a page is listed by its digest and its length, at most 1 MiB")
    return tuple(pages)


def _division(paths: Sequence[str], lengths: Sequence[int]) -> list[int]:
    """Return how many files stand on each page, in order; none if they stand in the root page. Pure arithmetic on
    the encoded `lengths` of the entries."""
    if sum(lengths) <= INLINE_BYTES_MAX:
        return []
    counts: list[int] = []
    start = filled = 0
    for index, length in enumerate(lengths):
        if filled + length > PAGE_ENTRIES_BYTES_MAX:
            counts.append(index - start)
            start, filled = index, 0
        filled += length
        if filled >= PAGE_CUT_BYTES_MIN and zlib.crc32(paths[index].encode()) & PAGE_CUT_MASK == 0:
            counts.append(index + 1 - start)
            start, filled = index + 1, 0
    if start < len(lengths):
        counts.append(len(lengths) - start)
    return counts


def _encode_entry(entry: FileEntry) -> list[object]:
    more: dict[str, bytes] = {}
    if entry.git_sha1 is not None:
        more["git"] = entry.git_sha1
    if entry.layout is not None:
        more["layout"] = entry.layout.raw
    return [entry.path, entry.size, entry.chunks, entry.root.raw, entry.sha256, more]


def _read_entries(items: list[object], files: list[FileEntry], lengths: array[int]) -> None:
    """Append what `items` say to `files`, and how long each is encoded to `lengths`."""
    for item in items:
        # One test of all types, not a match statement: this runs for every file of a manifest of two million.
        if type(item) is not list or tuple(map(type, item)) != _ENTRY_TYPES:
            raise _not_an_entry()
        path, size, chunks, root, sha256, more = item
        git, layout = more.get("git"), more.get("layout")
        if (git is not None and type(git) is not bytes) or (layout is not None and type(layout) is not bytes):
            raise Malformed("manifest-entry", f"{path[:80]!r}: git and layout are bytes")
        table = Digest(layout) if layout is not None else None
        files.append(FileEntry(path, size, chunks, Digest(root), sha256, git, table))
    lengths.extend(packed_lengths(items))


def _not_an_entry() -> Malformed:
    return Malformed("manifest-entry", "a file is [path, size, chunks, root, sha256, {…}]")


_ENTRY_TYPES = (str, int, int, bytes, bytes, dict)


def _check_chunks(total: int) -> None:
    if total > limits.CHUNKS_MAX:
        raise Malformed(
            "chunk-total",
            f"a manifest of {total} chunks; {limits.CHUNKS_MAX} are allowed",
            hint="it must be published in several parts",
        )


def _check_files(files: Sequence[FileEntry]) -> None:
    """Check what holds for any manifest, whether it was read or is to be written."""
    check_paths([entry.path for entry in files])
    before = ""
    for entry in files:
        # Text sorts by code points, and so as its UTF-8 bytes do.
        if entry.path <= before:
            raise Malformed("manifest-order", f"{entry.path[:80]!r} after {before[:80]!r}")
        before = entry.path
        if not 0 <= entry.size <= FILE_BYTES_MAX:
            raise Malformed("file-size", f"{entry.path[:80]!r} has {entry.size} bytes")
        least = -(-entry.size // limits.CHUNK_BYTES_MAX)
        if not least <= entry.chunks <= min(entry.size, limits.CHUNKS_PER_FILE_MAX):
            raise Malformed("file-chunks", f"{entry.path[:80]!r}: {entry.chunks} chunks for {entry.size} bytes")
        if entry.size == 0 and entry.root != EMPTY_ROOT:
            raise Malformed("file-empty", f"{entry.path[:80]!r} is empty, but its root is not that of no bytes")
        if len(entry.sha256) != 32:
            raise Malformed("file-sha256", f"{entry.path[:80]!r}: a SHA-256 has 32 bytes, not {len(entry.sha256)}")
        if entry.git_sha1 is not None and (len(entry.git_sha1) != 20 or entry.size > limits.GIT_SHA1_FILE_BYTES_MAX):
            raise Malformed("file-git", f"{entry.path[:80]!r}: a git SHA-1 has 20 bytes and is for small files")
