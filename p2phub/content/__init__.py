"""What bytes are: digests, chunks, lists of chunks, sets of them, and plans of where they lie. Pure."""

from p2phub.content.chunking import cut_points
from p2phub.content.codec import pack, packed_lengths, unpack
from p2phub.content.digest import DIGEST_BYTES, Codec, Digest, digest_of, parse_digest
from p2phub.content.merkle import (
    EMPTY_ROOT,
    ChunkList,
    chunk_list,
    decode_lists,
    encode_lists,
    list_digests,
    looks_like_lists,
)
from p2phub.content.plans import (
    ChunkRef,
    ChunkTable,
    InFolder,
    OpenForReading,
    OpenForWriting,
    Readable,
    ReadPlan,
    Steady,
    Walker,
    WritePlan,
    length_of,
)
from p2phub.content.ranges import RangeSet, Run
from p2phub.content.record import Fields, has_controls, pack_record, unpack_record
from p2phub.content.renumbering import Renumbering, Same, same_chunks

__all__ = [
    "DIGEST_BYTES",
    "EMPTY_ROOT",
    "ChunkList",
    "ChunkRef",
    "ChunkTable",
    "Codec",
    "Digest",
    "Fields",
    "InFolder",
    "OpenForReading",
    "OpenForWriting",
    "RangeSet",
    "ReadPlan",
    "Readable",
    "Renumbering",
    "Run",
    "Same",
    "Steady",
    "Walker",
    "WritePlan",
    "chunk_list",
    "cut_points",
    "decode_lists",
    "digest_of",
    "encode_lists",
    "has_controls",
    "length_of",
    "list_digests",
    "looks_like_lists",
    "pack",
    "pack_record",
    "packed_lengths",
    "parse_digest",
    "same_chunks",
    "unpack",
    "unpack_record",
]
