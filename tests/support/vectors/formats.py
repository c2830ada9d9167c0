"""Vectors of GGUF and Parquet, whose files are built by hand so that each rule can be broken."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from tests.support.thrift import BINARY, I64, Struct, varint
from tests.support.vectors.build import Case, breaks, gives

MIB = 1 << 20
_F32, _Q8_0, _STRING, _UINT32, _ARRAY, _UINT8 = 0, 8, 8, 4, 9, 0


def _text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def _pair(key: str, kind: int, value: bytes) -> bytes:
    return _text(key) + struct.pack("<I", kind) + value


def _tensor(name: str | bytes, shape: Sequence[int], offset: int, kind: int = _F32) -> bytes:
    dimensions = b"".join(struct.pack("<Q", each) for each in shape)
    return _text(name) + struct.pack("<I", len(shape)) + dimensions + struct.pack("<IQ", kind, offset)


def _gguf(
    tensors: Sequence[bytes] = (),
    pairs: Sequence[bytes] = (),
    *,
    data_bytes: int = 0,
    alignment: int = 32,
    magic: bytes = b"GGUF",
    version: int = 3,
    counts: tuple[int, int] | None = None,
) -> dict[str, Any]:
    n_tensors, n_pairs = counts or (len(tensors), len(pairs))
    head = magic + struct.pack("<IQQ", version, n_tensors, n_pairs) + b"".join(pairs) + b"".join(tensors)
    if tensors:
        head += bytes(-len(head) % alignment)
    return {"bytes": [head.hex(), {"repeat": "00", "times": data_bytes}]}


def gguf() -> dict[str, list[Case]]:
    one = [_tensor("a", [4], 0)]
    words = struct.pack("<IQ", _STRING, 2) + _text("hello") + _text("wörld")
    seven = _pair("n", _UINT8, b"\x07")
    aligned = _pair("general.alignment", _UINT32, struct.pack("<I", 64))
    return {
        "parse-gguf": [
            gives(
                "a tensor of four numbers",
                {"header_bytes": 64, "spans": [["a", 0, 16, "F32", [4]]]},
                **_gguf(one, data_bytes=32),
            ),
            gives(
                "version 2, metadata, an alignment, blocks, tensors out of order with gaps between, shapes as in numpy",
                {
                    "header_bytes": 256,
                    "spans": [
                        ["b", 0, 102, "Q8_0", [3, 32]],
                        ["c", 128, 132, "F32", []],
                        ["empty", 192, 192, "F32", [0]],
                    ],
                },
                **_gguf(
                    [_tensor("empty", [0], 192), _tensor("b", [32, 3], 0, _Q8_0), _tensor("c", [], 128)],
                    [aligned, _pair("tokens", _ARRAY, words), seven],
                    data_bytes=192,
                    alignment=64,
                    version=2,
                ),
            ),
            gives(
                "a vocabulary alone",
                {"header_bytes": 61, "spans": []},
                **_gguf(pairs=[_pair("t", _STRING, _text("hi")), seven]),
            ),
            breaks("another magic", "gguf-header", **_gguf(magic=b"GGML")),
            breaks("version 1", "gguf-header", **_gguf(version=1)),
            breaks("big-endian", "gguf-header", **_gguf(version=3 << 24)),
            breaks("nothing behind the magic", "gguf-header", bytes=b"GGUF".hex()),
            breaks("more pairs than there are", "gguf-header", **_gguf(counts=(0, 1))),
            breaks("2^63 pairs", "gguf-header", **_gguf(counts=(0, 1 << 63))),
            breaks("a key longer than the file", "gguf-header", **_gguf(pairs=[struct.pack("<Q", 1 << 63)])),
            breaks(
                "an array longer than the file",
                "gguf-header",
                **_gguf(pairs=[_pair("a", _ARRAY, struct.pack("<IQ", _UINT8, 1 << 62))]),
            ),
            breaks(
                "a header of more than 16 MiB",
                "gguf-long",
                **_gguf(pairs=[_pair("a", _ARRAY, struct.pack("<IQ", _UINT8, 16 * MIB))], data_bytes=17 * MIB),
            ),
            breaks("more than 2^18 tensors", "gguf-count", **_gguf(counts=((1 << 18) + 1, 0), data_bytes=MIB)),
            breaks("a value of a type that is not known", "gguf-value", **_gguf(pairs=[_pair("a", 13, b"")])),
            breaks(
                "an array of arrays",
                "gguf-value",
                **_gguf(pairs=[_pair("a", _ARRAY, struct.pack("<IQ", _ARRAY, 1) + bytes(12))]),
            ),
            breaks(
                "an alignment that is no power of two",
                "gguf-value",
                **_gguf(pairs=[_pair("general.alignment", _UINT32, struct.pack("<I", 48))]),
            ),
            breaks(
                "an alignment of nothing",
                "gguf-value",
                **_gguf(pairs=[_pair("general.alignment", _UINT32, struct.pack("<I", 0))]),
            ),
            breaks(
                "an alignment that is text",
                "gguf-value",
                **_gguf(pairs=[_pair("general.alignment", _STRING, _text("32"))]),
            ),
            breaks("a key twice", "gguf-name", **_gguf(pairs=[seven] * 2)),
            breaks(
                "a tensor twice", "gguf-name", **_gguf([_tensor("a", [8], 0), _tensor("a", [8], 32)], data_bytes=64)
            ),
            breaks("a name that is not UTF-8", "gguf-name", **_gguf([_tensor(b"\xff", [8], 0)], data_bytes=32)),
            breaks("a name of more than 4 KiB", "gguf-name", **_gguf([_tensor("a" * 4097, [8], 0)], data_bytes=32)),
            breaks("a type that is not known", "gguf-type", **_gguf([_tensor("a", [8], 0, 4)], data_bytes=32)),
            breaks("five dimensions", "gguf-shape", **_gguf([_tensor("a", [1] * 5, 0)], data_bytes=32)),
            breaks(
                "elements that overflow 64 bits",
                "gguf-shape",
                **_gguf([_tensor("a", [1 << 32, 1 << 32], 0)], data_bytes=32),
            ),
            breaks(
                "a dimension of 2^63, though there is no element",
                "gguf-shape",
                **_gguf([_tensor("a", [0, 1 << 63], 0)], data_bytes=32),
            ),
            breaks("rows of half a block", "gguf-shape", **_gguf([_tensor("a", [16, 2], 0, _Q8_0)], data_bytes=64)),
            breaks("a tensor that is not aligned", "gguf-cover", **_gguf([_tensor("a", [4], 4)], data_bytes=32)),
            breaks("an overlap", "gguf-cover", **_gguf([_tensor("a", [9], 0), _tensor("b", [1], 32)], data_bytes=64)),
            breaks("a tensor that leaves the file", "gguf-cover", **_gguf([_tensor("a", [9], 0)], data_bytes=32)),
            breaks(
                "a tensor at the end of all numbers",
                "gguf-cover",
                **_gguf([_tensor("a", [4], (1 << 64) - 32)], data_bytes=32),
            ),
        ]
    }


def _column(
    path: Sequence[str | bytes] = ("id",),
    *,
    kind: int | None = 2,
    values: int | None = 3,
    length: int | None = 24,
    data: int | None = 4,
    dictionary: int | None = None,
) -> Struct:
    meta = Struct()
    if kind is not None:
        meta.i32(1, kind)
    meta.texts(3, [part.encode() if isinstance(part, str) else part for part in path])
    for field, value in ((5, values), (7, length), (9, data), (11, dictionary)):
        if value is not None:
            meta.i64(field, value)
    return Struct().i64(2, 0).struct(3, meta)


def _groups(*groups: Sequence[Struct]) -> Struct:
    return Struct().i32(1, 2).structs(4, [Struct().structs(1, columns).i64(3, 3) for columns in groups])


def _parquet(
    footer: Struct | bytes, *, data_bytes: int = 24, tail: bytes = b"PAR1", said: int | None = None
) -> dict[str, Any]:
    raw = footer if isinstance(footer, bytes) else footer.encoded()
    length = struct.pack("<I", len(raw) if said is None else said)
    return {"bytes": [b"PAR1".hex(), {"repeat": "00", "times": data_bytes}, (raw + length + tail).hex()]}


def parquet() -> dict[str, list[Case]]:
    one = _groups([_column()])
    empty = _column(("",), length=0).encoded()
    deep = b"\x1c" * 40  # A struct in a struct in a struct …
    return {
        "parse-parquet": [
            gives("a column of a row group", {"spans": [["0/id", 4, 28, "INT64", [3]]]}, **_parquet(one)),
            gives("no row group", {"spans": []}, **_parquet(_groups(), data_bytes=0)),
            gives(
                "two row groups, a nested column, a dictionary first, and fields that nobody knows",
                {
                    "spans": [
                        ["0/id", 4, 12, "INT64", [3]],
                        ["0/user.name", 12, 20, "BYTE_ARRAY", [3]],
                        ["1/id", 20, 28, "INT64", [0]],
                    ]
                },
                **_parquet(
                    Struct()
                    .i32(1, 2)
                    .structs(
                        4,
                        [
                            Struct().structs(
                                1,
                                [
                                    _column(length=8),
                                    _column(("user", "name"), kind=6, length=8, data=16, dictionary=12),
                                ],
                            ),
                            Struct().structs(1, [_column(length=8, data=0, values=0, dictionary=20)]),
                        ],
                    )
                    .text(6, b"somebody")
                    .structs(9, [Struct().i32(1, 1), Struct()])
                    .raw(12, 11, varint(1) + bytes([I64 << 4 | BINARY]) + b"\x02" + varint(2) + b"ab")
                    .raw(13, 7, bytes(8))
                    .raw(14, 1, b"")
                    .raw(15, 9, bytes([2 << 4 | 1]) + b"\x01\x02")
                ),
            ),
            breaks("too short", "parquet-footer", bytes=b"PAR1PAR1".hex()),
            breaks("another beginning", "parquet-footer", bytes=(b"PARQ" + bytes(4) + b"PAR1").hex()),
            breaks("an encrypted footer", "parquet-footer", **_parquet(one, tail=b"PARE")),
            breaks("a footer longer than the file", "parquet-footer", **_parquet(one, said=1000)),
            breaks("a footer of 4 GiB", "parquet-footer", **_parquet(one, said=(1 << 32) - 1)),
            breaks(
                "a footer of more than 16 MiB",
                "parquet-footer",
                **_parquet(b"", data_bytes=17 * MIB, said=16 * MIB + 1),
            ),
            breaks("encrypted columns", "parquet-footer", **_parquet(Struct().i32(1, 2).struct(8, Struct()))),
            breaks("a column elsewhere", "parquet-column", **_parquet(_groups([Struct().text(1, b"other")]))),
            breaks("a column without metadata", "parquet-column", **_parquet(_groups([Struct().i64(2, 4)]))),
            breaks("a type that is not known", "parquet-column", **_parquet(_groups([_column(kind=8)]))),
            breaks("no type", "parquet-column", **_parquet(_groups([_column(kind=None)]))),
            breaks("no number of values", "parquet-column", **_parquet(_groups([_column(values=None)]))),
            breaks("no place", "parquet-column", **_parquet(_groups([_column(data=None)]))),
            breaks("a negative length", "parquet-column", **_parquet(_groups([_column(length=-1)]))),
            breaks("a negative place", "parquet-column", **_parquet(_groups([_column(data=-4)]))),
            breaks("a name that is not UTF-8", "parquet-name", **_parquet(_groups([_column((b"\xff",))]))),
            breaks(
                "a name of more than 4 KiB", "parquet-name", **_parquet(_groups([_column(("a" * 3000, "b" * 3000))]))
            ),
            breaks(
                "two columns of one name",
                "parquet-name",
                **_parquet(_groups([_column(length=8), _column(length=8, data=12)])),
            ),
            breaks("a column before the data", "parquet-cover", **_parquet(_groups([_column(data=3)]))),
            breaks("a column in the footer", "parquet-cover", **_parquet(_groups([_column(length=25)]))),
            breaks("an overlap", "parquet-cover", **_parquet(_groups([_column(), _column(("b",), length=8, data=20)]))),
            breaks(
                "a column at the end of all numbers",
                "parquet-cover",
                **_parquet(_groups([_column(data=(1 << 63) - 1)])),
            ),
            breaks(
                "more than 2^18 column chunks",
                "parquet-count",
                bytes=[
                    b"PAR1".hex(),
                    (b"\x49\x1c\x19\xfc" + varint((1 << 18) + 1)).hex(),
                    {"repeat": empty.hex(), "times": (1 << 18) + 1},
                    (
                        b"\x00\x00"
                        + struct.pack("<I", 4 + 3 + 2 + len(_column(("",), length=0).encoded()) * ((1 << 18) + 1))
                    ).hex(),
                    b"PAR1".hex(),
                ],
            ),
            breaks("an empty footer", "thrift", **_parquet(b"")),
            breaks("a footer that ends early", "thrift", **_parquet(one.encoded()[:-3])),
            breaks("a list of 2^60 row groups", "thrift", **_parquet(b"\x49\xfc" + varint(1 << 60) + b"\x00")),
            breaks("row groups that are no list", "thrift", **_parquet(Struct().i64(4, 1))),
            breaks("row groups that are numbers", "thrift", **_parquet(b"\x49\x16\x02\x00")),
            breaks("a type that is text", "thrift", **_parquet(_groups([Struct().struct(3, Struct().text(1, b"a"))]))),
            breaks("a path of numbers", "thrift", **_parquet(_groups([Struct().struct(3, Struct().i32s(3, [1]))]))),
            breaks("a path that is a number", "thrift", **_parquet(_groups([Struct().struct(3, Struct().i64(3, 1))]))),
            breaks("a name longer than the footer", "thrift", **_parquet(_groups([_column(("a" * 5000,))]))),
            breaks("a number of eleven bytes", "thrift", **_parquet(b"\x15" + b"\xff" * 10 + b"\x01\x00")),
            breaks("a number of 65 bits", "thrift", **_parquet(b"\x15" + b"\xff" * 9 + b"\x02\x00")),
            breaks("a value of no type", "thrift", **_parquet(b"\x1d\x00")),
            breaks("structs forty deep", "thrift", **_parquet(deep + bytes(41))),
        ]
    }
