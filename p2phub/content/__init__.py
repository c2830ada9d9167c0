"""What bytes are: digests, chunks, lists of chunks, sets of them, and plans of where they lie. Pure."""

from p2phub.content.chunking import cut_points
from p2phub.content.codec import pack, unpack
from p2phub.content.digest import DIGEST_BYTES, Codec, Digest, digest_of, parse_digest
from p2phub.content.merkle import EMPTY_ROOT, ChunkList, chunk_list, decode_lists, encode_lists, list_digests
from p2phub.content.plans import (
    ChunkRef,
    ChunkTable,
    OpenForReading,
    OpenForWriting,
    Readable,
    ReadPlan,
    WritePlan,
)
from p2phub.content.ranges import RangeSet

__all__ = [
    "DIGEST_BYTES",
    "EMPTY_ROOT",
    "ChunkList",
    "ChunkRef",
    "ChunkTable",
    "Codec",
    "Digest",
    "OpenForReading",
    "OpenForWriting",
    "RangeSet",
    "ReadPlan",
    "Readable",
    "WritePlan",
    "chunk_list",
    "cut_points",
    "decode_lists",
    "digest_of",
    "encode_lists",
    "list_digests",
    "pack",
    "parse_digest",
    "unpack",
]
