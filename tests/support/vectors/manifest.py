"""Vectors of proto/manifest.md."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from tests.support.vectors.build import Case, breaks, digest, gives, record
from tests.support.vectors.formats import gguf, parquet

MIB = 1 << 20


def paths() -> dict[str, list[Case]]:
    good = {
        "a file": "model.safetensors",
        "a file in folders": "data/train/0001.parquet",
        "not ASCII": "Übersicht – 概要.md",
        "not in a normal form": "U\u0308bersicht.md",
        "a hidden file": ".gitattributes",
        "a name with two dots": "a..b",
        "three dots within": "v1...2",
        "spaces within": "a b/c d.txt",
        "a device's name within a name": "console.txt",
        "a device's name as ending": "model.con",
        "a tilde": "~/x",
        "a minus first": "-rf",
        "an emoji of several": "👩\u200d💻.png",
        "255 bytes in a part": "x" * 255,
        "32 parts": "/".join("d" * 32),
        "1024 bytes": "/".join(["x" * 204] * 5),
        "one like ours": ".p2phubs",
    }
    bad = [
        ("empty", "path-empty", ""),
        ("a slash at the end", "path-empty", "a/"),
        ("two slashes", "path-empty", "a//b"),
        ("invisible characters only", "path-empty", "a/\u200d"),
        ("absolute", "path-absolute", "/etc/passwd"),
        ("only a slash", "path-absolute", "/"),
        ("two slashes first", "path-absolute", "//host/share"),
        ("a drive", "path-drive", "C:/Windows"),
        ("a path relative to a drive", "path-drive", "c:x"),
        ("upwards", "path-dots", "../x"),
        ("upwards within", "path-dots", "a/../../x"),
        ("upwards at the end", "path-dots", "a/.."),
        ("here", "path-dots", "./a"),
        ("here within", "path-dots", "a/./b"),
        ("a backslash", "path-backslash", "a\\b"),
        ("upwards with backslashes", "path-backslash", "..\\..\\x"),
        ("a share", "path-backslash", "\\\\host\\share"),
        ("NUL", "path-control", "a\0b"),
        ("a line end", "path-control", "a\nb"),
        ("an escape sequence", "path-control", "a\x1b[2Jb"),
        ("delete", "path-control", "a\x7f"),
        ("a control character above ASCII", "path-control", "a\x85b"),
        ("a line separator", "path-control", "a\u2028b"),
        ("text turned around", "path-control", "model\u202egnp.exe"),
        ("a stream", "path-character", "a.txt:hidden"),
        *((f"the character {sign}", "path-character", f"ab{sign}c") for sign in ':*?"<>|'),
        ("a dot at the end", "path-trailing", "a./b"),
        ("a space at the end", "path-trailing", "a /b"),
        ("three dots", "path-trailing", "..."),
        ("a device", "path-reserved", "CON"),
        ("a device in lower case, with an ending", "path-reserved", "data/nul.tar.gz"),
        ("a device with a number", "path-reserved", "Com1.txt"),
        ("a device with a raised number", "path-reserved", "lpt².txt"),
        ("a device with a dollar sign", "path-reserved", "CONIN$"),
        ("a device and a space", "path-reserved", "aux .txt"),
        ("our own folder", "path-own", ".p2phub"),
        ("in our own folder", "path-own", ".p2phub/journal"),
        ("our own folder, deeper", "path-own", "sub/.p2phub/journal"),
        ("our own folder in capitals", "path-own", ".P2PHub/x"),
        ("our own folder with an invisible character", "path-own", ".p2p\u200dhub/x"),
        ("our own folder as Windows shortens it", "path-own", "P2PHUB~1/x"),
        ("256 bytes in a part", "path-part-long", "x" * 256),
        ("256 bytes in 128 letters", "path-part-long", "ü" * 128),
        ("33 parts", "path-depth", "/".join("d" * 33)),
        ("1025 bytes", "path-long", "/".join(["x" * 204] * 5) + "y"),
        ("half a character", "path-utf8", "a\udcff"),
    ]
    sets_good = {
        "files in folders": ["a/b", "a/c", "b"],
        "alike but for more than case": ["Model.bin", "model2.bin"],
        "none": [],
    }
    sets_bad = [
        ("a path twice", "path-duplicate", ["a", "a"]),
        ("files alike but for case", "path-collision", ["README.md", "readme.MD"]),
        ("files alike but for Unicode form", "path-collision", ["\u00fc", "u\u0308"]),
        ("files alike once folded", "path-collision", ["straße", "STRASSE"]),
        ("files alike but for an invisible character", "path-collision", ["a\u200db", "ab"]),
        ("folders alike but for case", "path-collision", ["Data/x", "data/y"]),
        ("folders alike but for case, deeper", "path-collision", ["a/Data/x", "a/data/y"]),
        ("a file and a folder", "path-clash", ["a", "a/b"]),
        ("a file and a folder alike but for case", "path-clash", ["A", "a/b"]),
        ("a file and a folder above a folder", "path-clash", ["a", "a/b/c"]),
        ("a bad path among good ones", "path-dots", ["a", "../b"]),
        ("a bad folder above a good one", "path-reserved", ["con/a/b"]),
    ]
    return {
        "check-path": [
            *(gives(says, {}, path=path) for says, path in good.items()),
            *(breaks(says, rule, path=path) for says, rule, path in bad),
        ],
        "check-paths": [
            *(gives(says, {}, paths=each) for says, each in sets_good.items()),
            *(breaks(says, rule, paths=each) for says, rule, each in sets_bad),
        ],
    }


def cuts() -> dict[str, list[Case]]:
    kib = 1024
    return {
        "cut-points": [
            gives("an empty file", {"cuts": [0]}, boundaries=[], length=0),
            gives("one byte", {"cuts": [0, 1]}, boundaries=[], length=1),
            gives("1 MiB exactly", {"cuts": [0, MIB]}, boundaries=[], length=MIB),
            gives("a byte more", {"cuts": [0, MIB, MIB + 1]}, boundaries=[], length=MIB + 1),
            gives(
                "header, tensor of 1.5 MiB, tensor of 1 MiB",
                {"cuts": [0, 100, 100 + MIB, 100 + MIB * 3 // 2, 100 + MIB * 5 // 2]},
                boundaries=[100, 100 + MIB * 3 // 2],
                length=100 + MIB * 5 // 2,
            ),
            gives(
                "a header of more than a chunk",
                {"cuts": [0, MIB, MIB + 8, MIB + 9]},
                boundaries=[MIB + 8],
                length=MIB + 9,
            ),
            gives(
                "small tensors share a chunk, which ends before a large one",
                {"cuts": [0, 8, 8 + 30, 8 + 30 + 64 * kib, 8 + 30 + 64 * kib + 20]},
                boundaries=[8, 18, 28, 38, 38 + 64 * kib, 48 + 64 * kib],
                length=58 + 64 * kib,
            ),
            gives(
                "small tensors fill a chunk to 1 MiB at most",
                {"cuts": [0, 8, 8 + 17 * 60 * kib, 8 + 20 * 60 * kib]},
                boundaries=[8 + index * 60 * kib for index in range(20)],
                length=8 + 20 * 60 * kib,
            ),
            gives(
                "a large tensor's tail does not merge with a small one",
                {"cuts": [0, 8, 8 + MIB, 8 + MIB + 5, 8 + MIB + 10]},
                boundaries=[8, 8 + MIB + 5],
                length=8 + MIB + 10,
            ),
            gives("empty tensors change nothing", {"cuts": [0, 8, 108]}, boundaries=[8, 8, 8, 108, 108], length=108),
            breaks("a span that goes back", "span-order", boundaries=[8, 4], length=10),
            breaks("a span outside the file", "span-order", boundaries=[8, 11], length=10),
            breaks("a span before the file", "span-order", boundaries=[-1], length=10),
        ]
    }


def chunk_list(
    level: int, numbers: list[int], digests: bytes, *, magic: bytes = b"p2phcl\0\1", count: int = -1
) -> bytes:
    count = len(numbers) if count < 0 else count
    head = magic + bytes([level, 0, 0, 0]) + count.to_bytes(4, "big")
    return head + b"".join(number.to_bytes(4, "big") for number in numbers) + digests


def lists() -> dict[str, list[Case]]:
    one, two = digest(b"one"), digest(b"two")
    plain = chunk_list(0, [MIB, 5], one + two)
    step = 32_768
    full = chunk_list(0, [1] * step, one * step)
    last = chunk_list(0, [7], two)
    top = chunk_list(1, [step, 1], digest(full) + digest(last))

    def case(blob: bytes, size: int = MIB + 5, chunks: int = 2) -> dict[str, Any]:
        return {"root": digest(blob).hex(), "size": size, "chunks": chunks, "blobs": [blob.hex()]}

    long_lists: list[Any] = [
        [full[:16].hex(), {"repeat": "00000001", "times": step}, {"repeat": one.hex(), "times": step}],
        last.hex(),
    ]
    return {
        "decode-lists": [
            gives(
                "an empty file: the root is that of no bytes",
                {"lengths": [], "digests": ""},
                root=digest(b"").hex(),
                size=0,
                chunks=0,
                blobs=[],
            ),
            gives(
                "one chunk: the root is its digest",
                {"lengths": [5], "digests": one.hex()},
                root=one.hex(),
                size=5,
                chunks=1,
                blobs=[],
            ),
            gives("two chunks", {"lengths": [MIB, 5], "digests": (one + two).hex()}, **case(plain)),
            gives(
                "32,769 chunks: a list of lists",
                {"bytes_total": step + 7, "count": step + 1},
                root=digest(top).hex(),
                size=step + 7,
                chunks=step + 1,
                blobs=[top.hex(), *long_lists],
            ),
            breaks("an empty file with another root", "chunk-count", root=one.hex(), size=0, chunks=0, blobs=[]),
            breaks("bytes, but no chunk", "chunk-count", root=one.hex(), size=5, chunks=0, blobs=[]),
            breaks("a chunk, but no bytes", "chunk-count", root=one.hex(), size=0, chunks=1, blobs=[]),
            breaks("one chunk of more than 1 MiB", "chunk-count", root=one.hex(), size=MIB + 1, chunks=1, blobs=[]),
            breaks("more than 2^22 chunks", "chunk-count", **case(plain, 1 << 40, (1 << 22) + 1)),
            breaks("a list that is too short", "chunk-list-length", **case(plain[:-1])),
            breaks("a list that is too long", "chunk-list-length", **case(plain + b"\0")),
            breaks("no list at all", "chunk-list-length", **case(b"")),
            breaks(
                "another magic", "chunk-list-magic", **case(chunk_list(0, [MIB, 5], one + two, magic=b"p2phcl\0\2"))
            ),
            breaks(
                "a list of lists where a list should be", "chunk-list-magic", **case(chunk_list(1, [1, 1], one + two))
            ),
            breaks("padding that is not zero", "chunk-list-magic", **case(plain[:9] + b"\1" + plain[10:])),
            breaks("another count", "chunk-list-count", **case(chunk_list(0, [MIB, 5], one + two, count=3))),
            breaks(
                "a list of lists that is not filled in order",
                "chunk-list-count",
                **case(chunk_list(1, [1, step], one + two), step + 7, step + 1),
            ),
            breaks("chunks that are more than the file", "chunk-list-size", **case(plain, MIB + 4)),
            breaks("chunks that are less than the file", "chunk-list-size", **case(plain, MIB + 6)),
            breaks("an empty chunk", "chunk-length", **case(chunk_list(0, [5, 0], one + two), 5)),
            breaks(
                "a chunk of more than 1 MiB",
                "chunk-length",
                **case(chunk_list(0, [MIB + 1, 4], one + two), MIB + 5),
            ),
        ]
    }


def entry(path: str, content: bytes = b"x", /, **changed: Any) -> list[object]:
    """A file of one chunk, or empty; `changed` replaces parts, `more` the map at the end."""
    parts: dict[str, object] = {
        "path": path,
        "size": len(content),
        "chunks": 1 if content else 0,
        "root": digest(content),
        "sha256": hashlib.sha256(content).digest(),
        "more": {"git": hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).digest()},
    }
    return list({**parts, **changed}.values())


def root_of(entries: list[list[object]], **changed: object) -> bytes:
    sizes = [item[1] if isinstance(item[1], int) else 0 for item in entries]
    chunks = [item[2] if isinstance(item[2], int) else 0 for item in entries]
    fields: dict[str, object] = {
        "bytes": sum(sizes),
        "chunks": sum(chunks),
        "count": len(entries),
        "files": entries,
    }
    return record(
        "p2phub manifest", {name: value for name, value in {**fields, **changed}.items() if value is not None}
    )


def file_of(item: list[Any]) -> dict[str, Any]:
    path, size, chunks, root, sha256, more = item
    return {
        "path": path,
        "size": size,
        "chunks": chunks,
        "root": root.hex(),
        "sha256": sha256.hex(),
        **{name: value.hex() for name, value in more.items() if name in ("git", "layout")},
    }


def manifests() -> dict[str, list[Case]]:
    two = [entry("a.txt", b"hello"), entry("b/c.txt", b"")]
    bare = [entry("a.txt", more={})]
    laid_out = [entry("m.safetensors", more={"layout": bytes(32)})]
    large = [entry("large", size=11 * MIB, chunks=11, more={})]
    half = {"size": 1 << 41, "chunks": 1 << 21, "more": {}}
    full = [entry("a", **half), entry("b", **half)]

    def paged(items: list[list[Any]], counts: list[int]) -> tuple[bytes, list[bytes]]:
        pages, at = [], 0
        for count in counts:
            pages.append(record("p2phub files", {"files": items[at : at + count]}))
            at += count
        listed = [[digest(page), len(page)] for page in pages]
        return root_of(items, files=None, pages=listed), pages

    def good(says: str, items: list[list[Any]], **changed: object) -> Case:
        root = root_of(items, **changed)
        return gives(
            says,
            {"digest": digest(root).hex(), "files": [file_of(item) for item in items]},
            root=root.hex(),
            pages=[],
        )

    def bad(says: str, rule: str, items: list[list[Any]], **changed: object) -> Case:
        return breaks(says, rule, root=root_of(items, **changed).hex(), pages=[])

    # 400 files of 126 bytes each do not fit in the root page; one page holds them.
    many = [entry(f"{index:04d}", more={"note": bytes(40)}) for index in range(400)]
    root, pages = paged(many, [400])
    split_root, split_pages = paged(many, [200, 200])
    inline_root, inline_pages = paged(two, [2])
    crowd = record("p2phub manifest", {"bytes": 400, "chunks": 400, "count": 400, "files": many})
    other_page = pages[0][:-1] + b"\1"
    return {
        "decode-manifest": [
            good("two files, one empty", two),
            good("no file", []),
            good("a file whose git SHA-1 is not given", bare),
            good("a file with a layout", laid_out),
            good("a file of more than 10 MiB", large),
            good("2^22 chunks in all", full),
            good("fields that are not known", [entry("a", more={"note": 1})], note="hello"),
            gives(
                "400 files on a page of their own",
                {"digest": digest(root).hex(), "count": 400},
                root=root.hex(),
                pages=[page.hex() for page in pages],
            ),
            bad("another kind", "field-type", two, files="x"),
            bad("no count", "field-missing", two, count=None),
            bad("a negative count", "field-range", two, count=-1),
            bad("more than 2^21 files", "field-range", two, count=(1 << 21) + 1),
            bad("neither files nor pages", "manifest-pages", two, files=None),
            bad("files and pages", "manifest-pages", two, pages=[[bytes(32), 1]]),
            bad("no pages, said", "field-range", two, files=None, pages=[]),
            bad("a page without length", "manifest-pages", two, files=None, pages=[[bytes(32)]]),
            bad("a page of more than 1 MiB", "manifest-pages", two, files=None, pages=[[bytes(32), MIB + 1]]),
            bad("a page whose length is true", "manifest-pages", two, files=None, pages=[[bytes(32), True]]),
            bad("a page with a short digest", "manifest-pages", two, files=None, pages=[[bytes(31), 9]]),
            breaks(
                "a root page of more than 64 KiB",
                "manifest-root-long",
                root=[{"repeat": "00", "times": 64 * 1024 + 1}],
                pages=[],
            ),
            bad("an extension that must be understood", "record-critical", two, critical=["encrypted"]),
            bad("a file that is a map", "manifest-entry", [], files=[{"path": "a"}], count=1),
            bad("a file with five parts", "manifest-entry", [], files=[two[0][:5]], count=1),
            bad("a path that is bytes", "manifest-entry", [entry("a", path=b"a")]),
            bad("a size that is true", "manifest-entry", [entry("a", size=True)]),
            bad("a git SHA-1 that is text", "manifest-entry", [entry("a", more={"git": "x" * 20})]),
            bad("a short root", "digest-length", [entry("a", root=bytes(31))]),
            bad("a short layout digest", "digest-length", [entry("a", more={"layout": bytes(31)})]),
            bad("files out of order", "manifest-order", [entry("b"), entry("a")]),
            bad("a file twice", "path-duplicate", [entry("a"), entry("a")]),
            bad("a path that leaves the folder", "path-dots", [entry("../a")]),
            bad("another count of files", "manifest-total", two, count=3),
            bad("another sum of bytes", "manifest-total", two, bytes=6),
            bad("another sum of chunks", "manifest-total", two, chunks=2),
            bad("2^22 chunks and one", "chunk-total", [*full, entry("c")]),
            bad("more chunks announced than there are and may be", "chunk-total", two, chunks=(1 << 22) + 1),
            bad(
                "too many chunks announced for pages that nobody has",
                "chunk-total",
                [],
                files=None,
                pages=[[bytes(32), MIB]],
                chunks=(1 << 22) + 1,
            ),
            bad("fewer chunks announced than there are", "manifest-total", [*full, entry("c")], chunks=1 << 22),
            bad("a negative size", "file-size", [entry("a"), entry("b", size=-1, chunks=0)]),
            bad("a size of more than 4 TiB", "file-size", [entry("a", size=(1 << 42) + 1, chunks=1 << 22)]),
            bad("too few chunks for the size", "file-chunks", [entry("a", size=MIB + 1)]),
            bad("more chunks than bytes", "file-chunks", [entry("a", chunks=2)]),
            bad("an empty file with a chunk", "file-chunks", [entry("a", b"", chunks=1)]),
            bad("an empty file with another root", "file-empty", [entry("a", b"", root=digest(b"x"))]),
            bad("a short SHA-256", "file-sha256", [entry("a", sha256=bytes(31))]),
            bad("a short git SHA-1", "file-git", [entry("a", more={"git": bytes(19)})]),
            bad("a git SHA-1 of a large file", "file-git", [entry("a", size=11 * MIB, chunks=11)]),
            breaks(
                "a page that is not the one listed",
                "manifest-page-digest",
                root=root.hex(),
                pages=[{"as": digest(pages[0]).hex(), "bytes": other_page.hex()}],
            ),
            breaks(
                "files on a page that fit in the root page",
                "manifest-division",
                root=inline_root.hex(),
                pages=[page.hex() for page in inline_pages],
            ),
            breaks(
                "files on two pages that fit on one",
                "manifest-division",
                root=split_root.hex(),
                pages=[page.hex() for page in split_pages],
            ),
            breaks("files in the root page that fit on a page only", "manifest-division", root=crowd.hex(), pages=[]),
        ]
    }


def layouts() -> dict[str, list[Case]]:
    spans = [["a", 8, 4, "F32", [1]], ["b", 12, 4, "F16", [2, 1]]]
    nothing_between = [["a", 8, 0, "U8", [0]], ["b", 8, 4, "U8", [4]]]

    def blob(spans: object = spans, **changed: object) -> str:
        fields = {"format": "safetensors", "header": 8, "spans": spans}
        return record("p2phub layout", {**fields, **changed}).hex()

    return {
        "decode-layout": [
            gives(
                "two tensors",
                {"format": "safetensors", "header_bytes": 8, "spans": spans},
                bytes=blob(),
                size=16,
            ),
            gives(
                "an empty tensor",
                {"format": "safetensors", "header_bytes": 8, "spans": nothing_between},
                bytes=blob(nothing_between),
                size=12,
            ),
            breaks("no format", "field-range", bytes=blob(format=""), size=16),
            breaks("a format that moves the cursor", "text-control", bytes=blob(format="a\x1b[A"), size=16),
            breaks("a header behind the end", "field-range", bytes=blob(header=17), size=16),
            breaks("a span behind the end", "layout-span", bytes=blob(), size=15),
            breaks("a span in the header", "layout-order", bytes=blob(header=9), size=16),
            breaks("spans out of order", "layout-order", bytes=blob(spans[::-1]), size=16),
            breaks("spans that overlap", "layout-order", bytes=blob([spans[0], ["b", 11, 4, "U8", [4]]]), size=16),
            breaks("empty spans out of order", "layout-order", bytes=blob(nothing_between[::-1]), size=16),
            breaks(
                "empty spans at one place, out of the order of their names",
                "layout-order",
                bytes=blob([["b", 8, 0, "U8", [0]], ["a", 8, 0, "U8", [0]]]),
                size=8,
            ),
            breaks("a name twice", "layout-duplicate", bytes=blob([spans[0], ["a", 12, 4, "U8", [4]]]), size=16),
            breaks("a span of four parts", "layout-span", bytes=blob([spans[0][:4]]), size=16),
            breaks("a name that is bytes", "layout-span", bytes=blob([[b"a", 8, 4, "F32", [1]]]), size=16),
            breaks("a name of more than 4 KiB", "layout-span", bytes=blob([["a" * 4097, 8, 4, "U8", [4]]]), size=16),
            breaks("a negative dimension", "layout-span", bytes=blob([["a", 8, 4, "U8", [-4]]]), size=16),
            breaks("a dimension that is true", "layout-span", bytes=blob([["a", 8, 4, "U8", [True]]]), size=16),
            breaks("65 dimensions", "field-range", bytes=blob([["a", 8, 1, "U8", [1] * 65]]), size=16),
            breaks("a start beyond any file", "field-range", bytes=blob([["a", 1 << 63, 0, "U8", [0]]]), size=16),
            breaks(
                "more than 16 MiB",
                "layout-long",
                bytes=[{"repeat": "00", "times": 16 * MIB + 1}],
                size=16,
            ),
        ]
    }


def safetensors() -> dict[str, list[Case]]:
    def tensor(start: int, stop: int, dtype: object = "U8", shape: object = None, **more: object) -> dict[str, object]:
        shape = [stop - start] if shape is None else shape
        return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop], **more}

    def of(header: object, data_bytes: int, *, pad: str = "") -> dict[str, Any]:
        text = header if isinstance(header, str) else json.dumps(header, separators=(",", ":"))
        raw = (text + pad).encode()
        return {"bytes": [(len(raw).to_bytes(8, "little") + raw).hex(), {"repeat": "00", "times": data_bytes}]}

    one = {"a": tensor(0, 4)}
    text = json.dumps(one)
    twice = f'{{"a":{json.dumps(tensor(0, 2))},"a":{json.dumps(tensor(2, 4))}}}'
    return {
        "parse-safetensors": [
            gives(
                "a tensor",
                {"header_bytes": 8 + len(text.replace(" ", "")), "spans": [["a", 0, 4, "U8", [4]]]},
                **of(one, 4),
            ),
            gives(
                "metadata, white space, names with escapes, tensors not in their order",
                {
                    "spans": [
                        ['é"}', 0, 8, "F32", [2, 1]],
                        ["b", 8, 11, "F6_E2M3", [4]],
                        ["empty", 11, 11, "I64", [0]],
                    ],
                },
                **of(
                    ' { "empty" : {"dtype":"I64","shape":[0],"data_offsets":[11,11]},\n'.lstrip()
                    + '"__metadata__": {"format": "pt", "note": "}{\\"\\u00e9"} ,'
                    + '"b":{"shape":[4],"data_offsets":[8,11],"dtype":"F6_E2M3"},'
                    + '"\\u00e9\\"}":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}}',
                    11,
                    pad="   \n",
                ),
            ),
            gives("no tensor", {"spans": []}, **of({}, 0)),
            gives("metadata alone", {"spans": []}, **of({"__metadata__": {}}, 0)),
            breaks("no byte", "safetensors-length", bytes=""),
            breaks("a length alone", "safetensors-length", bytes="02" + "00" * 7),
            breaks("a header longer than the file", "safetensors-length", bytes="03" + "00" * 7 + "7b7d"),
            breaks("a header of 2^63 bytes", "safetensors-length", bytes="00" * 7 + "80" + "7b7d"),
            breaks(
                "a header of more than 16 MiB",
                "safetensors-length",
                bytes=["0100000100000000", "7b", {"repeat": "20", "times": 16 * MIB}],
            ),
            breaks("not UTF-8", "safetensors-json", bytes="03" + "00" * 7 + "7bff7d"),
            breaks("an array", "safetensors-json", **of("[]", 0)),
            breaks("white space first", "safetensors-json", **of(" {}", 0)),
            breaks("an object that does not end", "safetensors-json", **of('{"a":' + json.dumps(tensor(0, 0)), 0)),
            breaks("a comma at the end", "safetensors-json", **of('{"a":' + json.dumps(tensor(0, 0)) + ",}", 0)),
            breaks("something behind it", "safetensors-json", **of("{} {}", 0)),
            breaks("a name that is a number", "safetensors-json", **of("{1:2}", 0)),
            breaks("a line end in a name", "safetensors-json", **of('{"a\nb":1}', 0)),
            breaks("metadata that is a list", "safetensors-json", **of({"__metadata__": []}, 0)),
            breaks("metadata that is not text", "safetensors-json", **of({"__metadata__": {"a": 1}}, 0)),
            breaks(
                "a million opened arrays",
                "safetensors-tensor",
                bytes=["46420f0000000000", b'{"a":{'.hex(), {"repeat": "5b", "times": 1_000_000}],
            ),
            breaks("a tensor that is a number", "safetensors-tensor", **of({"a": 1}, 0)),
            breaks(
                "a tensor that is described at length",
                "safetensors-tensor",
                **of({"a": tensor(0, 0, note="x" * 5000)}, 0),
            ),
            breaks("no dtype", "safetensors-tensor", **of({"a": {"shape": [4], "data_offsets": [0, 4]}}, 4)),
            breaks("another field", "safetensors-tensor", **of({"a": tensor(0, 4, note=1)}, 4)),
            breaks(
                "a field twice",
                "safetensors-tensor",
                **of('{"a":{"dtype":"U8","dtype":"U8","shape":[4],"data_offsets":[0,4]}}', 4),
            ),
            breaks("a dimension of twenty digits", "safetensors-tensor", **of({"a": tensor(0, 4, shape=[10**19])}, 4)),
            breaks(
                "a dimension that is no whole number", "safetensors-tensor", **of({"a": tensor(0, 4, shape=[4.0])}, 4)
            ),
            breaks(
                "a dimension that is infinite", "safetensors-tensor", **of({"a": tensor(0, 4, shape=[float("inf")])}, 4)
            ),
            breaks("a name twice", "safetensors-name", **of(twice, 4)),
            breaks(
                "a name twice, once with an escape",
                "safetensors-name",
                **of(twice.replace('"a"', '"\\u0061"', 1), 4),
            ),
            breaks("metadata twice", "safetensors-name", **of('{"__metadata__":{},"__metadata__":{}}', 0)),
            breaks("a name that is half a character", "safetensors-name", **of({"\ud800": tensor(0, 4)}, 4)),
            breaks("a name of more than 4 KiB", "safetensors-name", **of({"a" * 4097: tensor(0, 4)}, 4)),
            breaks("an unknown dtype", "safetensors-dtype", **of({"a": tensor(0, 4, "F33")}, 4)),
            breaks("a dtype that is a number", "safetensors-dtype", **of({"a": tensor(0, 4, 8)}, 4)),
            breaks("a negative dimension", "safetensors-shape", **of({"a": tensor(0, 4, shape=[-4])}, 4)),
            breaks("two negative dimensions", "safetensors-shape", **of({"a": tensor(0, 4, shape=[-2, -2])}, 4)),
            breaks("a dimension that is true", "safetensors-shape", **of({"a": tensor(0, 1, shape=[True])}, 1)),
            breaks("a shape that is a number", "safetensors-shape", **of({"a": tensor(0, 4, shape=4)}, 4)),
            breaks("65 dimensions", "safetensors-shape", **of({"a": tensor(0, 1, shape=[1] * 65)}, 1)),
            breaks(
                "elements that overflow 64 bits to the right length",
                "safetensors-shape",
                **of({"a": tensor(0, 4, shape=[(1 << 61), 8, 4])}, 4),
            ),
            breaks(
                "dimensions that overflow, though there is no element",
                "safetensors-shape",
                **of({"a": tensor(0, 0, shape=[1 << 62, 1 << 62, 0])}, 0),
            ),
            breaks(
                "another length than dtype and shape make",
                "safetensors-shape",
                **of({"a": tensor(0, 4, "F32", [2])}, 4),
            ),
            breaks("half a byte", "safetensors-shape", **of({"a": tensor(0, 1, "F4", [3])}, 1)),
            breaks("a tensor that ends before it begins", "safetensors-shape", **of({"a": tensor(4, 0)}, 4)),
            breaks("a hole at the start", "safetensors-cover", **of({"a": tensor(1, 4)}, 4)),
            breaks("a hole within", "safetensors-cover", **of({"a": tensor(0, 1), "b": tensor(2, 4)}, 4)),
            breaks("an overlap", "safetensors-cover", **of({"a": tensor(0, 3), "b": tensor(2, 4)}, 4)),
            breaks("bytes behind the last tensor", "safetensors-cover", **of(one, 5)),
            breaks("a tensor that leaves the file", "safetensors-cover", **of(one, 3)),
            breaks(
                "more than 2^18 tensors",
                "safetensors-count",
                bytes=[
                    (15 * 262_146 + 1).to_bytes(8, "little").hex(),
                    "7b",
                    {"repeat": b'"data_offsets",'.hex(), "times": 262_146},
                ],
            ),
        ]
    }


def alone() -> dict[str, list[Case]]:
    def case(says: str, item: list[Any]) -> Case:
        root = root_of([["file", *item[1:]]])
        return gives(says, {"digest": digest(root).hex(), "root": root.hex()}, file=file_of(item))

    return {
        "file-alone": [
            case("a file in a folder", entry("data/train/a.txt", b"hello")),
            case("the same under another name", entry("b.bin", b"hello")),
            case("one that is called so", entry("file", b"hello")),
            case("an empty file", entry("empty", b"")),
            case("one with a layout", entry("m.safetensors", more={"layout": bytes(32)})),
            case("a large one", entry("large.gguf", size=64 * MIB, chunks=64, more={})),
        ]
    }


def adopted() -> dict[str, list[Case]]:
    def kept(says: str, *paths: str) -> Case:
        return gives(says, {"paths": list(paths)}, listing=list(paths))

    def left_out(pattern: str, *paths: str) -> Case:
        return gives(f"what {pattern} leaves out", {"paths": ["a"]}, listing=["a", *paths])

    return {
        "adopted-paths": [
            gives("nothing", {"paths": []}, listing=[]),
            gives(
                "the order of UTF-8 bytes",
                {"paths": ["B", "a.txt", "a/b", "\uffee", "\U0001f600"]},
                listing=["a/b", "\U0001f600", "a.txt", "\uffee", "B"],
            ),
            kept("hidden files that a repository has", ".gitattributes", ".github/workflows/a.yml", ".gitignore"),
            kept("names that begin or end alike", ".cached/a", ".gitx/a", "a.tmp.txt", "partial", "tmp", "x.git/a"),
            kept("files with the name of a folder that is left out", ".cache", ".hg", "__pycache__", "a/.svn"),
            kept("another case", ".ds_store", "A.TMP", "Desktop.ini", "thumbs.db"),
            left_out(".git", ".git", ".git/config", "sub/.git", "sub/.git/hooks/x"),
            left_out(".hg/", ".hg/store/x", "sub/.hg/x"),
            left_out(".svn/", ".svn/x", "sub/.svn/x"),
            left_out(".p2phub/", ".p2phub/journal"),
            left_out(".p2phubignore", ".p2phubignore", "sub/.p2phubignore"),
            left_out(".cache/", ".cache/huggingface/trees/x.json", "sub/.cache/x"),
            left_out("__pycache__/", "__pycache__/a.pyc", "sub/__pycache__/b/c.pyc"),
            left_out(".ipynb_checkpoints/", ".ipynb_checkpoints/a.ipynb"),
            left_out(".DS_Store", ".DS_Store", "sub/.DS_Store", ".DS_Store/x"),
            left_out("._*", "._", "._a.txt", "sub/._b", "._sub/c"),
            left_out("Thumbs.db", "Thumbs.db", "sub/Thumbs.db"),
            left_out("desktop.ini", "desktop.ini", "sub/desktop.ini"),
            left_out("*.partial", ".partial", "b.partial", "sub/c.partial", "d.partial/e"),
            left_out("*.incomplete", "b.incomplete", "sub/c.incomplete"),
            left_out("*.crdownload", "b.crdownload"),
            left_out("*.tmp", "b.tmp", "sub/.c.tmp"),
            left_out("*.swp", ".b.swp"),
            left_out("*~", "~", "b.txt~"),
            gives("what is left out is not checked", {"paths": ["a"]}, listing=["a", ".cache/a:b", ".git/CON"]),
            breaks("a path that no manifest can hold", "path-character", listing=["a", "results_12:30.json"]),
            breaks("two paths that are one on some systems", "path-collision", listing=["README.md", "readme.md"]),
            breaks("a file where another needs a folder", "path-clash", listing=["a", "a/b"]),
        ]
    }


def files() -> dict[str, tuple[str, dict[str, list[Case]]]]:
    """Return each file of vectors: path below proto/vectors to (section, cases by operation)."""
    return {
        "manifest/paths.json": ("manifest.md §1", paths()),
        "manifest/manifests.json": ("manifest.md §2", manifests()),
        "manifest/cuts.json": ("manifest.md §3", cuts()),
        "manifest/lists.json": ("manifest.md §4", lists()),
        "manifest/layouts.json": ("manifest.md §5", {**layouts(), **safetensors()}),
        "manifest/formats.json": ("manifest.md §5", {**gguf(), **parquet()}),
        "manifest/alone.json": ("manifest.md §7", alone()),
        "manifest/adopted.json": ("manifest.md §8", adopted()),
    }
