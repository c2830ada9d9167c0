"""The catalogue of a shared place: which folders below it hold which manifests, and which names lead to those. Pure.

One record (`store.records`: length and checksum), its body canonical msgpack:
    [1, writer, [[folder, manifest, files, chunks]…], [[publisher, name, tag, signed]…]]
Both lists ascend and name nothing twice. Folders are relative to the place ("" is itself), so that it may be mounted
anywhere, and obey the rules for paths in a manifest. Whoever reads it may be reading a stranger's file: it is bounded
before it is decoded, and nothing in it is a promise. How many files and chunks it says a manifest has is compared with
the manifest before that is taken in, so their sums, checked here, bound what a place can have a reader's index hold.
"""

from __future__ import annotations

from itertools import pairwise

import msgspec

from p2phub import limits
from p2phub.content import Digest, pack, unpack
from p2phub.errors import Damaged, Malformed
from p2phub.identity import PeerId
from p2phub.manifest import check_path
from p2phub.store.records import RECORD_EXTRA_BYTES, decode_records, encode_record

VERSION = 1


class Listed(msgspec.Struct, frozen=True, order=True):
    """A folder below the place that holds a manifest whole, which has so many files and chunks."""

    folder: str
    manifest: Digest
    files: int
    chunks: int


class Named(msgspec.Struct, frozen=True):
    """A release that leads to something listed, as its publisher signed it; nothing here was checked."""

    publisher: PeerId
    name: str
    tag: str
    signed: bytes

    @property
    def key(self) -> tuple[bytes, str, str]:
        return self.publisher.public_key, self.name, self.tag


class Catalogue(msgspec.Struct, frozen=True):
    """`writer`: which home writes it, in text (the id of its node)."""

    writer: str
    listed: tuple[Listed, ...] = ()
    named: tuple[Named, ...] = ()


def encode_catalogue(catalogue: Catalogue) -> bytes:
    """Return the file that this catalogue is. Its lists are in their order, and within the bounds."""
    listed = [[each.folder, each.manifest.raw, each.files, each.chunks] for each in catalogue.listed]
    named = [[each.publisher.public_key, each.name, each.tag, each.signed] for each in catalogue.named]
    return encode_record(pack([VERSION, catalogue.writer, listed, named]), 0)


def decode_catalogue(data: bytes) -> Catalogue:
    """Return the catalogue that these bytes are. Raises Damaged, of it Malformed."""
    if len(data) > limits.SHARED_CATALOGUE_BYTES_MAX:
        raise Damaged(f"the catalogue has more than {limits.SHARED_CATALOGUE_BYTES_MAX:,} bytes")
    bodies, end = decode_records(data)
    if len(bodies) != 1 or end != len(data):
        raise Damaged("the catalogue does not have its checksum: it was cut short, or changed")
    match unpack(bodies[0]):
        case [int(version), *_] if version > VERSION:
            raise Damaged("the catalogue was written by a newer p2phub", hint="update p2phub here")
        case [int(version), str(writer), list(listed), list(named)] if type(version) is int and version == VERSION:
            pass
        case _:
            raise Damaged("the catalogue has another form than a catalogue has")
    if len(writer.encode()) > limits.SHARED_WRITER_BYTES_MAX or not writer.isascii() or not writer.isprintable():
        raise Damaged("the catalogue says in no form that is used who wrote it")
    if len(listed) > limits.SHARED_LISTED_MAX or len(named) > limits.SHARED_NAMED_MAX:
        raise Damaged(f"the catalogue lists {len(listed):,} folders and {len(named):,} names: more than it may")
    found = Catalogue(writer, tuple(map(_listed, listed)), tuple(map(_named, named)))
    if any(one >= two for one, two in pairwise((each.folder, each.manifest.raw) for each in found.listed)):
        raise Damaged("the folders of the catalogue do not ascend")
    if any(one >= two for one, two in pairwise((*each.key, each.signed) for each in found.named)):
        raise Damaged("the names of the catalogue do not ascend")
    files, chunks = sum(each.files for each in found.listed), sum(each.chunks for each in found.listed)
    if files > limits.SHARED_FILES_MAX or chunks > limits.SHARED_CHUNKS_MAX:
        raise Damaged(f"the catalogue lists {files:,} files of {chunks:,} chunks: more than a place may have")
    return found


class Space:
    """What still fits in a catalogue, for whoever makes one."""

    def __init__(self, writer: str) -> None:
        self._bytes = limits.SHARED_CATALOGUE_BYTES_MAX - RECORD_EXTRA_BYTES - len(writer.encode()) - 32
        self._listed, self._named = limits.SHARED_LISTED_MAX, limits.SHARED_NAMED_MAX
        self._files, self._chunks = limits.SHARED_FILES_MAX, limits.SHARED_CHUNKS_MAX

    def take(self, listed: Listed) -> bool:
        """Take the room of a folder; False if it does not fit any more."""
        length = len(listed.folder.encode()) + 64
        left = (self._bytes - length, self._listed - 1, self._files - listed.files, self._chunks - listed.chunks)
        if min(left) < 0:
            return False
        self._bytes, self._listed, self._files, self._chunks = left
        return True

    def take_name(self, named: Named) -> bool:
        length = len(named.signed) + len(named.name) + len(named.tag) + 64
        if length > self._bytes or not self._named:
            return False
        self._bytes, self._named = self._bytes - length, self._named - 1
        return True


def is_folder(path: str) -> bool:
    """Whether a catalogue can say so of a folder below its place: "" is the place itself."""
    try:
        if path:
            check_path(path)
    except Malformed:
        return False
    return True


def _listed(value: object) -> Listed:
    match value:
        case [str(folder), bytes(manifest), int(files), int(chunks)] if files >= 0 <= chunks:
            if folder:
                check_path(folder)
            if type(files) is int is type(chunks):
                return Listed(folder, Digest(manifest), files, chunks)
    raise Damaged("the catalogue lists what is no folder with a manifest")


def _named(value: object) -> Named:
    match value:
        case [bytes(publisher), str(name), str(tag), bytes(signed)] if len(signed) <= limits.RELEASE_BYTES_MAX:
            return Named(PeerId(publisher), name, tag, signed)
    raise Damaged("the catalogue names what is no release")
