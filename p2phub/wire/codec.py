"""Messages as bytes and back: a canonical msgpack map with short keys; `t` names the message.

Decoding is strict about what it knows (types, bounds, order of ranges) and ignores keys that it does not, so that a
message can grow. Every list is bounded by its frame before it is decoded and by its own limit after.
`want` and `chunks`, one of each for each MiB that moves, have a shorter way, which takes them as they usually are.
Source: proto/transfer.md §2; proto/transfer.schema.json has the same shapes for machines.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Annotated, Literal, TypeVar

import msgspec

from p2phub import limits
from p2phub.content import DIGEST_BYTES, Digest, RangeSet
from p2phub.errors import Malformed
from p2phub.identity import Address, PeerAddress, PeerId
from p2phub.manifest import pack, unpack
from p2phub.wire import messages as m
from p2phub.wire.framing import frame

VERSION = 1
CHUNK_NUMBER_MAX = (1 << 32) - 1  # 4 PiB at 1 MiB a chunk; keeps the longest `held` inside one frame.
_SEEN_MAX = (1 << 63) - 1
_NAME_BYTES_MAX = 64
_DETAIL_BYTES_MAX = 256
_IP_BYTES_MAX = 45
_PEER_BYTES = 32
_PORT_BYTES = 2
_GOT_BYTES = 8
_IP_BYTES = (4, 16)

BulkRequest = m.Open | m.Want | m.Ask
BulkAnswer = m.Opening | m.Chunks | m.BlobsFollow | m.Refuse
_ByField = m.Open | m.Ask | m.Opening | m.BlobsFollow | m.Refuse | m.ControlRequest | m.ControlAnswer
Message = BulkRequest | BulkAnswer | m.ControlRequest | m.ControlAnswer
_Wanted = TypeVar("_Wanted")


def encode(message: Message) -> bytes:
    """Return the whole frame of `message`: length and header, without payload."""
    match message:
        case m.Want():
            return frame(_ENCODER.encode(_WantHeader(_flat(message.ranges))))
        case m.Chunks():
            return frame(_ENCODER.encode(_ChunksHeader(message.coding, message.length, _flat(message.ranges))))
    name, fields = _fields_of(message)
    return frame(pack({"t": name, **fields}))


def decode_first(header: bytes) -> BulkRequest | m.ControlRequest:
    """Read the first frame that a requester sends, which tells a bulk connection (Open) from a control connection."""
    return _decode(header, _FIRST)


def decode_bulk_request(header: bytes) -> BulkRequest:
    """Read a header that a requester sent. Raises Malformed."""
    want = _usual(header, _WANT)
    if want is not None:
        return m.Want(_batch(want.ranges))
    return _decode(header, _BULK_REQUESTS)


def decode_bulk_answer(header: bytes) -> BulkAnswer:
    """Read a header that a provider sent. Raises Malformed."""
    chunks = _usual(header, _CHUNKS)
    if chunks is not None:
        return m.Chunks(_batch(chunks.ranges), chunks.length)
    return _decode(header, _BULK_ANSWERS)


def decode_control_request(header: bytes) -> m.ControlRequest:
    """Read a question of the control protocol. Raises Malformed."""
    return _decode(header, _CONTROL_REQUESTS)


def decode_control_answer(header: bytes) -> m.ControlAnswer:
    """Read an answer of the control protocol. Raises Malformed."""
    return _decode(header, _CONTROL_ANSWERS)


# --- the short way -----------------------------------------------------------------------------------------------

_Length = Annotated[int, msgspec.Meta(ge=1, le=limits.BATCH_BYTES_MAX)]
_Number = Annotated[int, msgspec.Meta(ge=0, le=CHUNK_NUMBER_MAX)]
_Ranges = Annotated[list[_Number], msgspec.Meta(max_length=2 * limits.REQUEST_RANGES_MAX)]


class _WantHeader(msgspec.Struct, forbid_unknown_fields=True):
    """The map of `want`, its keys in canonical order."""

    ranges: _Ranges
    t: Literal["want"] = "want"


class _ChunksHeader(msgspec.Struct, forbid_unknown_fields=True):
    """The map of `chunks`, its keys in canonical order."""

    coding: Literal["raw"]
    length: _Length
    ranges: _Ranges
    t: Literal["chunks"] = "chunks"


_ENCODER = msgspec.msgpack.Encoder()
_WANT = msgspec.msgpack.Decoder(_WantHeader)
_CHUNKS = msgspec.msgpack.Decoder(_ChunksHeader)


def _usual(header: bytes, decoder: msgspec.msgpack.Decoder[_Wanted]) -> _Wanted | None:
    """Return `header` as it usually is, its numbers within their bounds; None leaves it to those who read field by
    field, and name the rule that is broken.

    Whatever was decoded, if encoding it gives `header` again it was canonical and had no other key.
    """
    try:
        found = decoder.decode(header)
    except ValueError:
        return None
    return found if _ENCODER.encode(found) == header else None


# --- to maps -----------------------------------------------------------------------------------------------------


def _fields_of(message: _ByField) -> tuple[str, dict[str, object]]:
    match message:
        case m.Open():
            return "open", {"v": VERSION, "manifest": message.manifest.raw, "prefix": message.prefix_bytes}
        case m.Ask():
            return "ask", {"blobs": [digest.raw for digest in message.blobs]}
        case m.Opening():
            return "opening", {
                "held": _flat(_counted(message.held)),
                "blobs": list(message.blob_lengths),
                "chunks": message.chunk_count,
                "length": message.chunk_bytes,
            }
        case m.BlobsFollow():
            return "blobs", {"blobs": list(message.lengths)}
        case m.Refuse():
            return "refuse", {"ranges": _flat(message.ranges), "reason": message.reason}
        case m.Ping():
            return "ping", {"v": VERSION}
        case m.Pong():
            return "pong", {}
        case m.GetRelease():
            return "get-release", {
                "v": VERSION,
                "publisher": message.publisher.public_key,
                "name": message.name,
                "tag": message.tag,
            }
        case m.ReleaseIs():
            return "release", {"signed": message.signed}
        case m.Probe():
            return "probe", {"v": VERSION, "port": message.port}
        case m.Probed():
            return "probed", {"ip": message.observed_ip, "reached": message.reached, "detail": message.detail}
        case m.GetNews():
            got = [peer.public_key + count.to_bytes(_GOT_BYTES, "big") for peer, count in message.got]
            return "get-news", {
                "v": VERSION,
                "manifest": message.manifest.raw,
                "port": message.port,
                "seen": list(message.seen),
                "wait": message.wait_ms,
                **({"got": got} if got else {}),
            }
        case m.News():
            told: dict[str, object] = {"peers": [_packed(each) for each in message.peers], "seen": list(message.seen)}
            return "news", told if message.held is None else {**told, "held": _flat(_counted(message.held))}


def _counted(held: RangeSet) -> Iterable[tuple[int, int]]:
    # What does not fit is left out: `held` says what may be asked for, and saying less is always allowed.
    return ((start, stop - start) for start, stop in held.runs[: limits.HAVE_RANGES_MAX])


def _packed(peer: PeerAddress) -> bytes:
    address = peer.address
    return peer.peer.public_key + ipaddress.ip_address(address.ip).packed + address.port.to_bytes(_PORT_BYTES, "big")


def _flat(ranges: Iterable[tuple[int, int]]) -> list[int]:
    return list(chain.from_iterable(ranges))


# --- and back ----------------------------------------------------------------------------------------------------


class _Fields:
    """The map of one message; each method reads one field strictly, or raises Malformed."""

    def __init__(self, values: dict[str, object]) -> None:
        self._values = values

    def _get(self, key: str, kind: type[_Wanted]) -> _Wanted:
        value = self._values.get(key)
        if type(value) is not kind:  # Exactly: True is no number here.
            raise Malformed("message-field", f"field {key!r} is not of type {kind.__name__}")
        return value

    def has(self, key: str) -> bool:
        return key in self._values

    def version(self) -> None:
        found = self._get("v", int)
        if found != VERSION:
            raise Malformed("message-version", f"version {found} of the protocol; this side speaks {VERSION}")

    def number(self, key: str, least: int, most: int) -> int:
        number = self._get(key, int)
        if not least <= number <= most:
            raise Malformed("message-bounds", f"{key} is {number}, not {least} to {most}")
        return number

    def flag(self, key: str) -> bool:
        return self._get(key, bool)

    def text(self, key: str, most_bytes: int) -> str:
        text = self._get(key, str)
        if len(text) > most_bytes or len(text.encode()) > most_bytes:
            raise Malformed("message-bounds", f"{key} is longer than {most_bytes} bytes")
        return text

    def data(self, key: str, least: int, most: int) -> bytes:
        data = self._get(key, bytes)
        if not least <= len(data) <= most:
            raise Malformed("message-bounds", f"{key} has {len(data)} bytes, not {least} to {most}")
        return data

    def digest(self, key: str) -> Digest:
        return Digest(self.data(key, DIGEST_BYTES, DIGEST_BYTES))

    def numbers(self, key: str, most_items: int, least: int, most: int) -> list[int]:
        found: list[object] = self._get(key, list)
        if len(found) > most_items:
            raise Malformed("message-bounds", f"{key} has {len(found)} entries, at most {most_items} allowed")
        numbers = [item for item in found if type(item) is int]
        if len(numbers) != len(found):
            raise Malformed("message-field", f"{key} has entries that are not numbers")
        if numbers and not (least <= min(numbers) and max(numbers) <= most):
            raise Malformed("message-bounds", f"{key} has numbers outside {least} to {most}")
        return numbers

    def ranges(self, key: str, most_ranges: int) -> tuple[tuple[int, int], ...]:
        """Read (first, count) pairs of distinct chunks, in any order of the pairs."""
        return _pairs(key, self.numbers(key, 2 * most_ranges, 0, CHUNK_NUMBER_MAX))

    def held(self, key: str) -> RangeSet:
        """Read ascending, disjoint ranges that do not touch."""
        ranges = self.ranges(key, limits.HAVE_RANGES_MAX)
        runs = tuple((first, first + count) for first, count in ranges)
        if RangeSet.of(runs).runs != runs:
            raise Malformed("ranges", f"{key} is not ascending, or has ranges that touch")
        return RangeSet(runs)

    def got(self, key: str) -> tuple[tuple[PeerId, int], ...]:
        """Read peers and what was had of each; nothing if the field is not there."""
        if key not in self._values:
            return ()
        found: list[object] = self._get(key, list)
        entries = [item for item in found if type(item) is bytes]
        if len(entries) != len(found):
            raise Malformed("message-field", f"{key} has an entry that is not bytes")
        if len(found) > limits.GOT_TOLD_MAX or any(len(entry) != _PEER_BYTES + _GOT_BYTES for entry in entries):
            raise Malformed("message-bounds", f"{key} has {len(found)} entries, or one of another length")
        got = {PeerId(entry[:_PEER_BYTES]): int.from_bytes(entry[_PEER_BYTES:], "big") for entry in entries}
        if len(got) != len(entries):
            raise Malformed("message-bounds", f"{key} names a peer twice")
        return tuple(got.items())


def _open(fields: _Fields) -> m.Open:
    fields.version()
    return m.Open(fields.digest("manifest"), fields.number("prefix", 0, limits.PREFIX_BYTES_MAX))


def _want(fields: _Fields) -> m.Want:
    return m.Want(_batch(fields.numbers("ranges", 2 * limits.REQUEST_RANGES_MAX, 0, CHUNK_NUMBER_MAX)))


def _ask(fields: _Fields) -> m.Ask:
    found: list[object] = fields._get("blobs", list)
    if not 0 < len(found) <= limits.BLOBS_PER_REQUEST_MAX:
        raise Malformed("message-bounds", f"{len(found)} blobs in one request")
    digests = tuple(Digest(item) for item in found if type(item) is bytes and len(item) == DIGEST_BYTES)
    if len(digests) != len(found):
        raise Malformed("message-field", "blobs has an entry that is no digest")
    return m.Ask(digests)


def _opening(fields: _Fields) -> m.Opening:
    return m.Opening(
        fields.held("held"),
        tuple(fields.numbers("blobs", limits.FLIGHT_BLOBS_MAX, 1, limits.PREFIX_BYTES_MAX)),
        fields.number("chunks", 0, CHUNK_NUMBER_MAX),
        fields.number("length", 0, limits.PREFIX_BYTES_MAX),
    )


def _chunks(fields: _Fields) -> m.Chunks:
    ranges = _batch(fields.numbers("ranges", 2 * limits.REQUEST_RANGES_MAX, 0, CHUNK_NUMBER_MAX))
    coding = fields.text("coding", _NAME_BYTES_MAX)
    if coding != "raw":
        raise Malformed("coding", f"unknown coding {coding[:80]!r}")
    return m.Chunks(ranges, fields.number("length", 1, limits.BATCH_BYTES_MAX))


def _blobs(fields: _Fields) -> m.BlobsFollow:
    longest = max(limits.CHUNK_LIST_BYTES_MAX, limits.MANIFEST_PAGE_BYTES_MAX)
    return m.BlobsFollow(tuple(fields.numbers("blobs", limits.BLOBS_PER_REQUEST_MAX, 0, longest)))


def _refuse(fields: _Fields) -> m.Refuse:
    reason = fields.text("reason", _NAME_BYTES_MAX)
    if reason not in m.REASONS:
        raise Malformed("reason", f"unknown reason {reason[:80]!r}")
    return m.Refuse(fields.ranges("ranges", limits.REQUEST_RANGES_MAX), reason)


def _ping(fields: _Fields) -> m.Ping:
    fields.version()
    return m.Ping()


def _get_release(fields: _Fields) -> m.GetRelease:
    fields.version()
    publisher = PeerId(fields.data("publisher", 32, 32))
    return m.GetRelease(publisher, fields.text("name", _NAME_BYTES_MAX), fields.text("tag", _NAME_BYTES_MAX))


def _probe(fields: _Fields) -> m.Probe:
    fields.version()
    return m.Probe(fields.number("port", 1, 65535))


def _probed(fields: _Fields) -> m.Probed:
    ip, reached = fields.text("ip", _IP_BYTES_MAX), fields.flag("reached")
    return m.Probed(ip, reached, fields.text("detail", _DETAIL_BYTES_MAX))


def _get_news(fields: _Fields) -> m.GetNews:
    fields.version()
    digest, port = fields.digest("manifest"), fields.number("port", 0, 65535)
    wait_ms = fields.number("wait", 0, limits.NEWS_WAIT_MS_MAX)
    return m.GetNews(digest, port, _seen(fields), wait_ms, fields.got("got"))


def _news(fields: _Fields) -> m.News:
    return m.News(fields.held("held") if fields.has("held") else None, _peers(fields), _seen(fields))


def _seen(fields: _Fields) -> tuple[int, int]:
    numbers = fields.numbers("seen", 2, 0, _SEEN_MAX)
    if len(numbers) != 2:
        raise Malformed("message-bounds", f"seen has {len(numbers)} numbers, not 2")
    return numbers[0], numbers[1]


def _peers(fields: _Fields) -> tuple[PeerAddress, ...]:
    found: list[object] = fields._get("peers", list)
    if len(found) > limits.PEERS_TOLD_MAX:
        raise Malformed("message-bounds", f"{len(found)} peers in one answer")
    peers = tuple(_unpacked(item) for item in found if type(item) is bytes)
    if len(peers) != len(found):
        raise Malformed("message-field", "peers has an entry that is not bytes")
    if len(set(peers)) != len(peers):
        raise Malformed("peer-address", "a peer is named twice at one address")
    return peers


def _unpacked(data: bytes) -> PeerAddress:
    ip, port = data[_PEER_BYTES:-_PORT_BYTES], int.from_bytes(data[-_PORT_BYTES:], "big")
    if len(ip) not in _IP_BYTES or not port:
        raise Malformed("peer-address", f"{len(data)} bytes with port {port} are no peer at an address")
    try:
        return PeerAddress(PeerId(data[:_PEER_BYTES]), Address(str(ipaddress.ip_address(ip)), port))
    except Malformed as exc:
        raise Malformed("peer-address", str(exc)) from exc


def _pairs(key: str, numbers: Sequence[int]) -> tuple[tuple[int, int], ...]:
    if len(numbers) % 2:
        raise Malformed("ranges", f"{key} ends in the middle of a range")
    each = iter(numbers)
    ranges = tuple(zip(each, each, strict=True))
    after = 0
    for first, count in sorted(ranges):
        if not count or first < after or first + count - 1 > CHUNK_NUMBER_MAX:
            raise Malformed("ranges", f"{key} has an empty or overlapping range at {first}")
        after = first + count
    return ranges


def _batch(numbers: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Return the `ranges` of one request or answer: at least one, and no more chunks than a batch."""
    ranges = _pairs("ranges", numbers)
    if not ranges:
        raise Malformed("ranges", "no chunk at all")
    chunks = sum(numbers[1::2])
    if chunks > limits.BATCH_CHUNKS_MAX:
        raise Malformed("batch-chunks", f"{chunks} chunks at once, at most {limits.BATCH_CHUNKS_MAX} allowed")
    return ranges


_BULK_REQUESTS: dict[str, Callable[[_Fields], BulkRequest]] = {"open": _open, "want": _want, "ask": _ask}
_BULK_ANSWERS: dict[str, Callable[[_Fields], BulkAnswer]] = {
    "opening": _opening,
    "chunks": _chunks,
    "blobs": _blobs,
    "refuse": _refuse,
}
_CONTROL_REQUESTS: dict[str, Callable[[_Fields], m.ControlRequest]] = {
    "ping": _ping,
    "get-release": _get_release,
    "probe": _probe,
    "get-news": _get_news,
}
_CONTROL_ANSWERS: dict[str, Callable[[_Fields], m.ControlAnswer]] = {
    "pong": lambda fields: m.Pong(),
    "release": lambda fields: m.ReleaseIs(fields.data("signed", 0, limits.RELEASE_BYTES_MAX)),
    "probed": _probed,
    "news": _news,
}

_FIRST: dict[str, Callable[[_Fields], BulkRequest | m.ControlRequest]] = {**_BULK_REQUESTS, **_CONTROL_REQUESTS}


def _decode(header: bytes, readers: dict[str, Callable[[_Fields], _Wanted]]) -> _Wanted:
    values = unpack(header)
    if not isinstance(values, dict):
        raise Malformed("message-map", "a header is a map")
    name = values.get("t")
    reader = readers.get(name) if isinstance(name, str) else None
    if reader is None:
        raise Malformed("message-type", f"message {str(name)[:80]!r} has no place here")
    return reader(_Fields(values))
