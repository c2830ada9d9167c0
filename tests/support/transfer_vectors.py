"""Make proto/vectors/transfer: `python -m tests.support.transfer_vectors`.

Messages are encoded by hand and not by the code under test.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgpack

from p2phub.identity import PeerId
from tests.support import aegis
from tests.support.content import Content, content_of

FOLDER = Path(__file__).parents[2] / "proto" / "vectors" / "transfer"
DIGEST = bytes(range(32))
Case = dict[str, Any]


def header(values: Mapping[str, object] | object) -> bytes:
    if isinstance(values, Mapping):
        values = {key: values[key] for key in sorted(values)}
    data: bytes = msgpack.packb(values)
    return data


def frame(values: Mapping[str, object]) -> bytes:
    data = header(values)
    return len(data).to_bytes(4, "big") + data


def good(says: str, values: Mapping[str, object], gives: Mapping[str, object]) -> Case:
    return {"says": says, "bytes": header(values).hex(), "gives": dict(gives)}


def bad(says: str, values: Mapping[str, object] | object, rule: str) -> Case:
    data = values if isinstance(values, bytes) else header(values)
    return {"says": says, "bytes": data.hex(), "breaks": rule}


def without(values: Mapping[str, object], key: str) -> dict[str, object]:
    return {name: value for name, value in values.items() if name != key}


OPEN = {"t": "open", "v": 1, "manifest": DIGEST, "prefix": 65536}
WANT = {"t": "want", "ranges": [7, 3, 0, 1]}
ASK = {"t": "ask", "blobs": [DIGEST]}
OPENING = {"t": "opening", "held": [0, 5, 7, 2], "blobs": [10, 20], "chunks": 3, "length": 400}
CHUNKS = {"t": "chunks", "ranges": [7, 3], "length": 1000, "coding": "raw"}
BLOBS = {"t": "blobs", "blobs": [0, 17]}
REFUSE = {"t": "refuse", "ranges": [3, 2], "reason": "changed"}
RELEASE = {"t": "get-release", "v": 1, "publisher": DIGEST, "name": "minilm", "tag": "main"}
GOT = DIGEST + (4096).to_bytes(8, "big")
PROBE = {"t": "probe", "v": 1, "port": 4717}
PROBED = {"t": "probed", "ip": "192.0.2.1", "reached": True, "detail": ""}
PEERS = [DIGEST + bytes([192, 0, 2, 1]) + b"\x12\x6d", DIGEST + bytes(15) + b"\x01\x12\x6d"]
GET_NEWS = {"t": "get-news", "v": 1, "manifest": DIGEST, "port": 4717, "seen": [7, 2], "wait": 5000}
NEWS = {"t": "news", "held": [0, 5, 7, 2], "peers": PEERS, "seen": [8, 3]}
TOP = (1 << 32) - 1


def some_got(count: int) -> list[bytes]:
    return [bytes([number]) + GOT[1:] for number in range(count)]


def some_peers(count: int) -> list[bytes]:
    return [DIGEST + bytes([192, 0, 2, number]) + b"\x12\x6d" for number in range(count)]


def frames() -> list[dict[str, Any]]:
    cases: list[Case] = [
        {"says": "the shortest", "bytes": "00000001", "gives": {"length": 1}},
        {"says": "the longest", "bytes": "00010000", "gives": {"length": 65536}},
        {"says": "none", "bytes": "00000000", "breaks": "frame-length"},
        {"says": "one too long", "bytes": "00010001", "breaks": "frame-length"},
        {"says": "4 GiB", "bytes": "ffffffff", "breaks": "frame-length"},
    ]
    return [{"operation": "frame-length", "cases": cases}]


def messages() -> list[dict[str, Any]]:
    requests = [
        good("open", OPEN, {"message": "Open", "manifest": DIGEST.hex(), "prefix_bytes": 65536}),
        good("open without a push", {**OPEN, "prefix": 0}, {"message": "Open", "prefix_bytes": 0}),
        good("an unknown key", {**OPEN, "zeal": 1}, {"message": "Open"}),
        good("want", WANT, {"message": "Want", "ranges": [[7, 3], [0, 1]]}),
        good("want of the highest number", {**WANT, "ranges": [TOP, 1]}, {"message": "Want", "ranges": [[TOP, 1]]}),
        good("want of 512 chunks", {**WANT, "ranges": [0, 512]}, {"message": "Want"}),
        good("ask", ASK, {"message": "Ask", "blobs": [DIGEST.hex()]}),
        bad("not a map", [1, 2], "message-map"),
        bad("no bytes", b"", "msgpack-truncated"),
        bad("keys out of order", b"\x82\xa1t\xa4want\xa6ranges\x92\x00\x01", "msgpack-order"),
        bad("no name", without(OPEN, "t"), "message-type"),
        bad("a name that is no text", {**OPEN, "t": 1}, "message-type"),
        bad("an unknown name", {**OPEN, "t": "opens"}, "message-type"),
        bad("an answer", CHUNKS, "message-type"),
        bad("another version", {**OPEN, "v": 2}, "message-version"),
        bad("no version", without(OPEN, "v"), "message-field"),
        bad("a version that is a bool", {**OPEN, "v": True}, "message-field"),
        bad("a digest that is text", {**OPEN, "manifest": "x" * 32}, "message-field"),
        bad("a digest that is short", {**OPEN, "manifest": DIGEST[:-1]}, "message-bounds"),
        bad("a prefix above 1 MiB", {**OPEN, "prefix": (1 << 20) + 1}, "message-bounds"),
        bad("a prefix below 0", {**OPEN, "prefix": -1}, "message-bounds"),
        bad("half a range", {**WANT, "ranges": [7]}, "ranges"),
        bad("an empty range", {**WANT, "ranges": [7, 0]}, "ranges"),
        bad("no range", {**WANT, "ranges": []}, "ranges"),
        bad("a chunk twice", {**WANT, "ranges": [7, 3, 9, 1]}, "ranges"),
        bad("a range beyond the highest number", {**WANT, "ranges": [TOP, 2]}, "ranges"),
        bad("a number too high", {**WANT, "ranges": [TOP + 1, 1]}, "message-bounds"),
        bad("a range of text", {**WANT, "ranges": ["7", 1]}, "message-field"),
        bad("513 chunks", {**WANT, "ranges": [0, 513]}, "batch-chunks"),
        bad("513 ranges", {**WANT, "ranges": [n for k in range(513) for n in (2 * k, 1)]}, "message-bounds"),
        bad("no blob", {**ASK, "blobs": []}, "message-bounds"),
        bad("65 blobs", {**ASK, "blobs": [DIGEST] * 65}, "message-bounds"),
        bad("a blob that is no digest", {**ASK, "blobs": [DIGEST, b""]}, "message-field"),
    ]
    answers = [
        good(
            "opening",
            OPENING,
            {
                "message": "Opening",
                "held": [[0, 5], [7, 9]],
                "blob_lengths": [10, 20],
                "chunk_count": 3,
                "chunk_bytes": 400,
            },
        ),
        good("nothing held", {**OPENING, "held": [], "blobs": [], "chunks": 0, "length": 0}, {"message": "Opening"}),
        good("chunks", CHUNKS, {"message": "Chunks", "ranges": [[7, 3]], "length": 1000, "coding": "raw"}),
        good("blobs", BLOBS, {"message": "BlobsFollow", "lengths": [0, 17]}),
        good("refuse", REFUSE, {"message": "Refuse", "ranges": [[3, 2]], "reason": "changed"}),
        *[
            good(f"refuse the open: {reason}", {**REFUSE, "ranges": [], "reason": reason}, {"reason": reason})
            for reason in ("unknown", "busy", "changed", "not-held", "disk")
        ],
        bad("held that touches", {**OPENING, "held": [0, 5, 5, 2]}, "ranges"),
        bad("held that goes back", {**OPENING, "held": [7, 2, 0, 5]}, "ranges"),
        bad("an empty blob", {**OPENING, "blobs": [0]}, "message-bounds"),
        bad("a blob above the prefix", {**OPENING, "blobs": [(1 << 20) + 1]}, "message-bounds"),
        bad("4097 blobs", {**OPENING, "blobs": [1] * 4097}, "message-bounds"),
        bad("a prefix above 1 MiB", {**OPENING, "length": (1 << 20) + 1}, "message-bounds"),
        bad("another coding", {**CHUNKS, "coding": "zstd"}, "coding"),
        bad("chunks of no bytes", {**CHUNKS, "length": 0}, "message-bounds"),
        bad("chunks above 1 MiB", {**CHUNKS, "length": (1 << 20) + 1}, "message-bounds"),
        bad("no chunk", {**CHUNKS, "ranges": []}, "ranges"),
        bad("513 chunks", {**CHUNKS, "ranges": [0, 513]}, "batch-chunks"),
        bad("a blob above any blob's length", {**BLOBS, "blobs": [2 << 20]}, "message-bounds"),
        bad("another reason", {**REFUSE, "reason": "tired"}, "reason"),
        bad("a request", WANT, "message-type"),
    ]
    questions = [
        good("ping", {"t": "ping", "v": 1}, {"message": "Ping"}),
        good("get-release", RELEASE, {"message": "GetRelease", "name": "minilm", "tag": "main"}),
        good("probe", PROBE, {"message": "Probe", "port": 4717}),
        bad("another version", {"t": "ping", "v": 2}, "message-version"),
        bad("a name of 65 bytes", {**RELEASE, "name": "x" * 65}, "message-bounds"),
        bad("a publisher of 31 bytes", {**RELEASE, "publisher": DIGEST[:-1]}, "message-bounds"),
        bad("no port", without(PROBE, "port"), "message-field"),
        bad("port 0", {**PROBE, "port": 0}, "message-bounds"),
        bad("port 65536", {**PROBE, "port": 65536}, "message-bounds"),
        good("get-news", GET_NEWS, {"message": "GetNews", "port": 4717, "seen": [7, 2], "wait_ms": 5000}),
        good("get-news at once", {**GET_NEWS, "seen": [0, 0], "wait": 0}, {"message": "GetNews", "wait_ms": 0}),
        bad("get-news that waits for more than 10 s", {**GET_NEWS, "wait": 10_001}, "message-bounds"),
        bad("get-news without what was seen", without(GET_NEWS, "seen"), "message-field"),
        bad("get-news with one number seen", {**GET_NEWS, "seen": [7]}, "message-bounds"),
        bad("get-news with a number beyond 63 bits", {**GET_NEWS, "seen": [7, 1 << 63]}, "message-bounds"),
        good(
            "get-news with thanks",
            {**GET_NEWS, "got": [GOT]},
            {"message": "GetNews", "got": [[str(PeerId(DIGEST)), 4096]]},
        ),
        good("64 thanks", {**GET_NEWS, "got": some_got(64)}, {"message": "GetNews"}),
        bad("65 thanks", {**GET_NEWS, "got": some_got(65)}, "message-bounds"),
        bad("thanks as a number", {**GET_NEWS, "got": 7}, "message-field"),
        bad("thanks as text", {**GET_NEWS, "got": ["x" * 40]}, "message-field"),
        bad("thanks of 39 bytes", {**GET_NEWS, "got": [GOT[:-1]]}, "message-bounds"),
        bad("thanks to a peer twice", {**GET_NEWS, "got": [GOT, GOT]}, "message-bounds"),
        good("get-news of who cannot be dialled", {**GET_NEWS, "port": 0}, {"message": "GetNews", "port": 0}),
        bad("get-news without a port", without(GET_NEWS, "port"), "message-field"),
        bad("get-news with port 65536", {**GET_NEWS, "port": 65536}, "message-bounds"),
        bad("get-news of another version", {**GET_NEWS, "v": 2}, "message-version"),
        bad("a bulk request", WANT, "message-type"),
    ]
    replies = [
        good("pong", {"t": "pong"}, {"message": "Pong"}),
        good("release", {"t": "release", "signed": b"abc"}, {"message": "ReleaseIs", "signed": "616263"}),
        good("no release", {"t": "release", "signed": b""}, {"message": "ReleaseIs", "signed": ""}),
        good("probed", PROBED, {"message": "Probed", "observed_ip": "192.0.2.1", "reached": True}),
        good("news of 64 peers", {**NEWS, "peers": some_peers(64)}, {"message": "News"}),
        good("news", NEWS, {"message": "News", "held": [[0, 5], [7, 9]], "seen": [8, 3]}),
        good("news of peers alone", without(NEWS, "held"), {"message": "News", "held": None}),
        good("no news", {**without(NEWS, "held"), "peers": []}, {"message": "News", "held": None, "peers": []}),
        bad("news of 65 peers", {**NEWS, "peers": some_peers(65)}, "message-bounds"),
        bad("news without peers", without(NEWS, "peers"), "message-field"),
        bad("news with ranges that touch", {**NEWS, "held": [0, 5, 5, 2]}, "ranges"),
        bad("news with three numbers seen", {**NEWS, "seen": [1, 2, 3]}, "message-bounds"),
        bad("a peer as text", {**NEWS, "peers": ["x" * 38]}, "message-field"),
        bad("a peer without an address", {**NEWS, "peers": [DIGEST]}, "peer-address"),
        bad("an address of 5 bytes", {**NEWS, "peers": [DIGEST + bytes(7)]}, "peer-address"),
        bad("a peer at port 0", {**NEWS, "peers": [DIGEST + bytes([192, 0, 2, 1, 0, 0])]}, "peer-address"),
        bad("a peer twice", {**NEWS, "peers": some_peers(1) * 2}, "peer-address"),
        bad(
            "IPv4 written as IPv6",
            {**NEWS, "peers": [DIGEST + bytes(10) + b"\xff\xff\xc0\x00\x02\x01\x12\x6d"]},
            "peer-address",
        ),
        bad("a release above 4 KiB", {"t": "release", "signed": bytes(4097)}, "message-bounds"),
        bad("reached as a number", {**PROBED, "reached": 1}, "message-field"),
        bad("a detail of 257 bytes", {**PROBED, "detail": "x" * 257}, "message-bounds"),
        bad("a question", {"t": "ping", "v": 1}, "message-type"),
    ]
    return [
        {"operation": "bulk-request", "cases": requests},
        {"operation": "bulk-answer", "cases": answers},
        {"operation": "control-request", "cases": questions},
        {"operation": "control-answer", "cases": replies},
    ]


SERVED = ((10, 10, 5), (4,), (1 << 20, 1))
"""The lengths of the chunks, by file, of what the provider of the conversations serves."""


def example() -> Content:
    """Two files: `a` of 25 bytes in chunks of 10, 10, 5, and `b` of 4 bytes."""
    return content_of({"a": bytes(range(25)), "b": b"four"}, chunk_bytes=10)


def conversations() -> list[dict[str, Any]]:
    content = example()
    blobs = [content.blobs[digest] for digest in content.order]
    lengths = [len(blob) for blob in blobs]
    chunks = [content.chunk(index) for index in range(4)]

    def opening(blobs: Sequence[int] = (), count: int = 0, length: int = 0) -> bytes:
        return frame({"t": "opening", "held": [0, 4], "blobs": list(blobs), "chunks": count, "length": length})

    def answer(ranges: Sequence[int], payload: bytes, length: int | None = None) -> bytes:
        values = {"t": "chunks", "ranges": list(ranges), "coding": "raw"}
        return frame({**values, "length": len(payload) if length is None else length}) + payload

    def refuse(ranges: Sequence[int], reason: str) -> bytes:
        return frame({"t": "refuse", "ranges": list(ranges), "reason": reason})

    def asks(
        says: str, *steps: object, breaks: str | None = None, gives: Sequence[str] = (), prefix: int = 4096
    ) -> Case:
        script = [{"comes": step.hex()} if isinstance(step, bytes) else step for step in steps]
        outcome: Case = {"gives": list(gives)} if breaks is None else {"breaks": breaks}
        return {"says": says, "prefix": prefix, "script": script, **outcome}

    def want(*indices: int) -> Case:
        return {"wants": list(indices)}

    ask = {"asks": [[content.order[1].raw.hex(), 200]]}
    flight = opening(lengths, 2, 20) + b"".join(blobs) + chunks[0] + chunks[1]
    flipped = bytes([chunks[0][0] ^ 1]) + chunks[0][1:]
    list_blob = frame({"t": "blobs", "blobs": [lengths[1]]}) + blobs[1]
    requester = [
        asks("a whole first flight", flight, gives=["flight 2 blobs, chunks 0 1"]),
        asks("no push", opening(), gives=["flight 0 blobs, chunks"], prefix=0),
        asks("the open refused", refuse([], "unknown"), gives=["refused: unknown"]),
        asks(
            "a want and its answer",
            opening(),
            want(2, 3),
            answer([2, 2], chunks[2] + chunks[3]),
            gives=["flight 0 blobs, chunks", "chunks 2 3"],
        ),
        asks(
            "an answer in parts, one refused",
            opening(),
            want(0, 2),
            answer([0, 1], chunks[0]),
            refuse([2, 1], "changed"),
            gives=["flight 0 blobs, chunks", "chunks 0", "refused 2: changed"],
        ),
        asks("an ask and its answer", opening(), ask, list_blob, gives=["flight 0 blobs, chunks", "blob"]),
        asks(
            "an ask of what is not held",
            opening(),
            ask,
            frame({"t": "blobs", "blobs": [0]}),
            gives=["flight 0 blobs, chunks", "refused: not-held"],
        ),
        asks("more than the prefix", opening(lengths, 2, 20), breaks="prefix-length", prefix=100),
        asks("chunks without blobs", opening([], 1, 10), breaks="prefix-chunks"),
        asks("bytes without chunks", opening([], 0, 10), breaks="prefix-chunks"),
        asks("more chunks than there are", opening(lengths, 5, 29) + b"".join(blobs), breaks="prefix-chunks"),
        asks("a prefix of another length", opening(lengths, 2, 19) + b"".join(blobs), breaks="chunks-length"),
        asks("a blob too many", opening([*lengths, 5]) + b"".join(blobs), breaks="flight-blobs"),
        asks("a list of another length", opening([lengths[0], 5]) + blobs[0], breaks="blob-length"),
        asks("a changed manifest", opening(lengths[:1]) + blobs[0][:-1] + b"\x00", breaks="mismatch: manifest 0"),
        asks("a changed list", opening(lengths) + blobs[0] + blobs[1][:-1] + b"\x00", breaks="mismatch: chunk list 0"),
        asks(
            "a changed chunk in the flight", opening(lengths, 1, 10) + b"".join(blobs) + flipped, breaks="mismatch: a 0"
        ),
        asks("chunks in answer to open", answer([0, 1], chunks[0]), breaks="out-of-order"),
        asks("a second opening", opening(), want(0), opening(), breaks="out-of-order"),
        asks("blobs in answer to a want", opening(), want(0), list_blob, breaks="out-of-order"),
        asks("chunks in answer to an ask", opening(), ask, answer([0, 1], chunks[0]), breaks="chunks-order"),
        asks("chunks that nobody wanted", opening(), answer([0, 1], chunks[0]), breaks="unasked"),
        asks("other chunks", opening(), want(0), answer([1, 1], chunks[1]), breaks="chunks-order"),
        asks(
            "more chunks than wanted", opening(), want(0), answer([0, 2], chunks[0] + chunks[1]), breaks="chunks-order"
        ),
        asks(
            "chunks in another order",
            opening(),
            want(1, 0),
            answer([0, 2], chunks[0] + chunks[1]),
            breaks="chunks-order",
        ),
        asks("a byte too few", opening(), want(0), answer([0, 1], chunks[0], 9)[:-1], breaks="chunks-length"),
        asks("a byte too many", opening(), want(0), answer([0, 1], chunks[0], 11), breaks="chunks-length"),
        asks("a changed chunk", opening(), want(0), answer([0, 1], flipped), breaks="mismatch: a 0"),
        asks("swapped chunks", opening(), want(0, 1), answer([0, 2], chunks[1] + chunks[0]), breaks="mismatch: a 0"),
        asks("two blobs for one", opening(), ask, frame({"t": "blobs", "blobs": [5, 5]}), breaks="blobs-count"),
        asks("a blob longer than allowed", opening(), ask, frame({"t": "blobs", "blobs": [201]}), breaks="blob-length"),
        asks("no header", opening(), want(0), bytes(4), breaks="frame-length"),
        asks("a header that is no message", opening(), want(0), frame({"t": "nope"}), breaks="message-type"),
    ]

    def serves(
        says: str, *requests: Mapping[str, object], breaks: str | None = None, gives: Sequence[str] = ()
    ) -> Case:
        script = [frame(request).hex() for request in requests]
        return {"says": says, "script": script, **({"gives": list(gives)} if breaks is None else {"breaks": breaks})}

    begin = {**OPEN, "manifest": content.root.raw}
    provider = [
        serves("open", begin, gives=["Open"]),
        serves("open, want, ask", begin, {**WANT, "ranges": [0, 4]}, ASK, gives=["Open", "Want", "Ask"]),
        serves("want first", WANT, breaks="out-of-order"),
        serves("a second open", begin, begin, breaks="out-of-order"),
        serves("a chunk that does not exist", begin, {**WANT, "ranges": [5, 2]}, breaks="chunk-number"),
        serves("too much at once", begin, {**WANT, "ranges": [4, 2]}, breaks="batch-bytes"),
        serves("a question", begin, {"t": "ping", "v": 1}, breaks="message-type"),
    ]
    client = [
        {"says": "an answer", "asks": "ping", "comes": frame({"t": "pong"}).hex(), "gives": ["Pong"]},
        {
            "says": "another answer",
            "asks": "ping",
            "comes": frame({**NEWS, "held": []}).hex(),
            "breaks": "out-of-order",
        },
        {"says": "two answers", "asks": "ping", "comes": (2 * frame({"t": "pong"})).hex(), "breaks": "unasked"},
        {"says": "no question", "asks": None, "comes": frame({"t": "pong"}).hex(), "breaks": "unasked"},
    ]
    ping = frame({"t": "ping", "v": 1})
    server = [
        {"says": "64 questions", "comes": [{"repeat": ping.hex(), "times": 64}], "gives": ["Ping"] * 64},
        {"says": "65 questions", "comes": [{"repeat": ping.hex(), "times": 65}], "breaks": "too-many"},
    ]
    return [
        {
            "operation": "requester",
            "manifest": content.root.raw.hex(),
            "blobs": [blob.hex() for blob in blobs],
            "chunks": [chunk.hex() for chunk in chunks],
            "cases": requester,
        },
        {"operation": "provider", "chunk_lengths": [list(lengths) for lengths in SERVED], "cases": provider},
        {"operation": "control-client", "cases": client},
        {"operation": "control-server", "cases": server},
    ]


SECRET = bytes(range(64))


def sealed(data: bytes, number: int, secret: bytes = SECRET[:32]) -> bytes:
    """Return `data` as the record of that number, of the dialler if `secret` is not given."""
    head, key, base = len(data).to_bytes(4, "big"), secret[:16], int.from_bytes(secret[16:], "big")
    return head + aegis.encrypt(key, (base ^ number).to_bytes(16, "big"), data, head)


def records() -> list[dict[str, Any]]:
    one, two, three = sealed(b"first", 0), sealed(b"second", 1), sealed(bytes(range(256)), 2)

    def flipped(data: bytes, at: int) -> bytes:
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]

    def comes(says: str, data: bytes, reads: Sequence[int], **result: object) -> Case:
        return {"says": says, "comes": data.hex(), "reads": list(reads), **result}

    forged, length = {"breaks": "record-forged"}, {"breaks": "record-length"}
    crumbs = b"".join(sealed(bytes([number]), number) for number in range(20))
    first = b"first".hex()
    return [
        {
            "operation": "seal",
            "secret": SECRET.hex(),
            "cases": [
                {
                    "says": "the dialler",
                    "who": "dialler",
                    "data": [b"first".hex(), b"second".hex()],
                    "gives": (one + two).hex(),
                },
                {
                    "says": "the listener",
                    "who": "listener",
                    "data": [b"first".hex()],
                    "gives": sealed(b"first", 0, SECRET[32:]).hex(),
                },
                *(
                    {
                        "says": f"{count} bytes",
                        "who": "dialler",
                        "data": [bytes(range(count)).hex()],
                        "gives": sealed(bytes(range(count)), 0).hex(),
                    }
                    for count in (1, 31, 32, 33, 64, 200)
                ),
            ],
        },
        {
            "operation": "records",
            "secret": SECRET.hex(),
            "cases": [
                comes("a record", one, [5], gives=[first]),
                comes("a record read in parts", one, [2, 3], gives=[b"fi".hex(), b"rst".hex()]),
                comes("records read at once", one + two, [11], gives=[b"firstsecond".hex()]),
                comes(
                    "three records",
                    one + two + three,
                    [5, 6, 256],
                    gives=[first, b"second".hex(), bytes(range(256)).hex()],
                ),
                comes("a byte in each, read one after the other", crumbs[: 2 * 37], [1, 1], gives=["00", "01"]),
                comes("a bit of what is sealed turned", flipped(one, 5), [5], **forged),
                comes("a bit of the tag turned", flipped(one, 20), [5], **forged),
                comes("a bit of the length turned", flipped(three, 3) + three, [4], **forged),
                comes("the second before the first", two + one, [5], **forged),
                comes("the first twice", one + one, [5, 5], **forged),
                comes("one left out", one + three, [5, 5], **forged),
                comes("sealed by the reader itself", sealed(b"first", 0, SECRET[32:]), [5], **forged),
                comes("no byte in it", sealed(b"", 0), [5], **length),
                comes("one byte too long", (2**18 + 1).to_bytes(4, "big"), [5], **length),
                comes("4 GiB", b"\xff" * 4, [5], **length),
                comes("twenty bytes in twenty records", crumbs, [20], breaks="record-crumbs"),
            ],
        },
    ]


FILES = {
    "frames.json": ("proto/transfer.md §1", frames),
    "records.json": ("proto/transfer.md §1", records),
    "messages.json": ("proto/transfer.md §2, §6", messages),
    "conversations.json": ("proto/transfer.md §3, §4, §6", conversations),
}


def text_of(name: str) -> str:
    """Return what stands in a vector file, one case a line."""
    source, make = FILES[name]
    lines = ['{"source": ' + json.dumps(source) + ', "groups": [']
    groups = make()
    for group in groups:
        given = {key: value for key, value in group.items() if key != "cases"}
        lines.append(json.dumps(given)[:-1] + ', "cases": [')
        lines += [json.dumps(case) + "," for case in group["cases"][:-1]] + [json.dumps(group["cases"][-1])]
        lines.append("]}" if group is groups[-1] else "]},")
    return "\n".join(lines) + "\n]}\n"


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        (FOLDER / name).write_text(text_of(name))


if __name__ == "__main__":
    main()
