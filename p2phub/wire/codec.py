"""Messages as bytes and back: a canonical msgpack map with short keys; `t` names the message.

Decoding is strict about what it knows (types, bounds, order of ranges) and ignores keys that it does not, so that a
message can grow. Every list is bounded by its frame before it is decoded and by its own limit after.
`want` and `chunks`, one of each for each MiB that moves, have a shorter way (`wire.batches`).
Source: proto/transfer.md §2; proto/transfer.schema.json has the same shapes for machines.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from typing import TypeVar

from p2phub import limits
from p2phub.content import DIGEST_BYTES, Digest, RangeSet
from p2phub.errors import Malformed
from p2phub.identity import Address, PeerAddress, PeerId
from p2phub.manifest import pack, unpack
from p2phub.wire import messages as m
from p2phub.wire.batches import encode_chunks, encode_want, usual_chunks, usual_want
from p2phub.wire.fields import CHUNK_NUMBER_MAX, GOT_BYTES, PEER_BYTES, VERSION, MessageFields, flat
from p2phub.wire.framing import frame

_SEEN_MAX = (1 << 63) - 1
_NAME_BYTES_MAX = 64
_DETAIL_BYTES_MAX = 256
_IP_BYTES_MAX = 45
_PORT_BYTES = 2
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
            return encode_want(message)
        case m.Chunks():
            return encode_chunks(message)
    name, fields = _fields_of(message)
    return frame(pack({"t": name, **fields}))


def decode_first(header: bytes) -> BulkRequest | m.ControlRequest:
    """Read the first frame that a requester sends, which tells a bulk connection (Open) from a control connection."""
    return _decode(header, _FIRST)


def decode_bulk_request(header: bytes) -> BulkRequest:
    """Read a header that a requester sent. Raises Malformed."""
    return usual_want(header) or _decode(header, _BULK_REQUESTS)


def decode_bulk_answer(header: bytes) -> BulkAnswer:
    """Read a header that a provider sent. Raises Malformed."""
    return usual_chunks(header) or _decode(header, _BULK_ANSWERS)


def decode_control_request(header: bytes) -> m.ControlRequest:
    """Read a question of the control protocol. Raises Malformed."""
    return _decode(header, _CONTROL_REQUESTS)


def decode_control_answer(header: bytes) -> m.ControlAnswer:
    """Read an answer of the control protocol. Raises Malformed."""
    return _decode(header, _CONTROL_ANSWERS)


# --- to maps -----------------------------------------------------------------------------------------------------


def _fields_of(message: _ByField) -> tuple[str, dict[str, object]]:
    match message:
        case m.Open():
            return "open", {"v": VERSION, "manifest": message.manifest.raw, "prefix": message.prefix_bytes}
        case m.Ask():
            return "ask", {"blobs": [digest.raw for digest in message.blobs]}
        case m.Opening():
            return "opening", {
                "held": flat(_counted(message.held)),
                "blobs": list(message.blob_lengths),
                "chunks": message.chunk_count,
                "length": message.chunk_bytes,
            }
        case m.BlobsFollow():
            return "blobs", {"blobs": list(message.lengths)}
        case m.Refuse():
            return "refuse", {"ranges": flat(message.ranges), "reason": message.reason}
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
            got = [peer.public_key + count.to_bytes(GOT_BYTES, "big") for peer, count in message.got]
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
            return "news", told if message.held is None else {**told, "held": flat(_counted(message.held))}


def _counted(held: RangeSet) -> Iterable[tuple[int, int]]:
    # What does not fit is left out: `held` says what may be asked for, and saying less is always allowed.
    return ((start, stop - start) for start, stop in held.runs[: limits.HAVE_RANGES_MAX])


def _packed(peer: PeerAddress) -> bytes:
    address = peer.address
    return peer.peer.public_key + ipaddress.ip_address(address.ip).packed + address.port.to_bytes(_PORT_BYTES, "big")


# --- and back ----------------------------------------------------------------------------------------------------


def _open(fields: MessageFields) -> m.Open:
    fields.version()
    return m.Open(fields.digest("manifest"), fields.unsigned("prefix", most=limits.PREFIX_BYTES_MAX))


def _want(fields: MessageFields) -> m.Want:
    return m.Want(fields.batch("ranges"))


def _ask(fields: MessageFields) -> m.Ask:
    blobs = fields.entries("blobs", least=1, most=limits.BLOBS_PER_REQUEST_MAX)
    if any(len(blob) != DIGEST_BYTES for blob in blobs):
        raise Malformed("message-field", "blobs has an entry that is no digest")
    return m.Ask(tuple(map(Digest, blobs)))


def _opening(fields: MessageFields) -> m.Opening:
    return m.Opening(
        fields.held("held"),
        tuple(fields.numbers("blobs", items=limits.FLIGHT_BLOBS_MAX, least=1, most=limits.PREFIX_BYTES_MAX)),
        fields.unsigned("chunks", most=CHUNK_NUMBER_MAX),
        fields.unsigned("length", most=limits.PREFIX_BYTES_MAX),
    )


def _chunks(fields: MessageFields) -> m.Chunks:
    ranges = fields.batch("ranges")
    coding = fields.free_text("coding", most=_NAME_BYTES_MAX)
    if coding != "raw":
        raise Malformed("coding", f"unknown coding {coding[:80]!r}")
    return m.Chunks(ranges, fields.unsigned("length", least=1, most=limits.BATCH_BYTES_MAX))


def _blobs(fields: MessageFields) -> m.BlobsFollow:
    longest = max(limits.CHUNK_LIST_BYTES_MAX, limits.MANIFEST_PAGE_BYTES_MAX)
    return m.BlobsFollow(tuple(fields.numbers("blobs", items=limits.BLOBS_PER_REQUEST_MAX, least=0, most=longest)))


def _refuse(fields: MessageFields) -> m.Refuse:
    reason = fields.free_text("reason", most=_NAME_BYTES_MAX)
    if reason not in m.REASONS:
        raise Malformed("reason", f"unknown reason {reason[:80]!r}")
    return m.Refuse(fields.ranges("ranges", limits.REQUEST_RANGES_MAX), reason)


def _ping(fields: MessageFields) -> m.Ping:
    fields.version()
    return m.Ping()


def _get_release(fields: MessageFields) -> m.GetRelease:
    fields.version()
    publisher = PeerId(fields.binary("publisher", least=32, most=32))
    name, tag = (fields.free_text(key, most=_NAME_BYTES_MAX) for key in ("name", "tag"))
    return m.GetRelease(publisher, name, tag)


def _probe(fields: MessageFields) -> m.Probe:
    fields.version()
    return m.Probe(fields.unsigned("port", least=1, most=65535))


def _probed(fields: MessageFields) -> m.Probed:
    ip, reached = fields.free_text("ip", most=_IP_BYTES_MAX), fields.flag("reached")
    return m.Probed(ip, reached, fields.free_text("detail", most=_DETAIL_BYTES_MAX))


def _get_news(fields: MessageFields) -> m.GetNews:
    fields.version()
    digest, port = fields.digest("manifest"), fields.unsigned("port", most=65535)
    wait_ms = fields.unsigned("wait", most=limits.NEWS_WAIT_MS_MAX)
    return m.GetNews(digest, port, _seen(fields), wait_ms, fields.got("got"))


def _news(fields: MessageFields) -> m.News:
    return m.News(fields.held("held") if "held" in fields else None, _peers(fields), _seen(fields))


def _seen(fields: MessageFields) -> tuple[int, int]:
    numbers = fields.numbers("seen", items=2, least=0, most=_SEEN_MAX)
    if len(numbers) != 2:
        raise Malformed("message-bounds", f"seen has {len(numbers)} numbers, not 2")
    return numbers[0], numbers[1]


def _peers(fields: MessageFields) -> tuple[PeerAddress, ...]:
    peers = tuple(map(_unpacked, fields.entries("peers", least=0, most=limits.PEERS_TOLD_MAX)))
    if len(set(peers)) != len(peers):
        raise Malformed("peer-address", "a peer is named twice at one address")
    return peers


def _unpacked(data: bytes) -> PeerAddress:
    ip, port = data[PEER_BYTES:-_PORT_BYTES], int.from_bytes(data[-_PORT_BYTES:], "big")
    if len(ip) not in _IP_BYTES or not port:
        raise Malformed("peer-address", f"{len(data)} bytes with port {port} are no peer at an address")
    try:
        return PeerAddress(PeerId(data[:PEER_BYTES]), Address(str(ipaddress.ip_address(ip)), port))
    except Malformed as exc:
        raise Malformed("peer-address", str(exc)) from exc


_BULK_REQUESTS: dict[str, Callable[[MessageFields], BulkRequest]] = {"open": _open, "want": _want, "ask": _ask}
_BULK_ANSWERS: dict[str, Callable[[MessageFields], BulkAnswer]] = {
    "opening": _opening,
    "chunks": _chunks,
    "blobs": _blobs,
    "refuse": _refuse,
}
_CONTROL_REQUESTS: dict[str, Callable[[MessageFields], m.ControlRequest]] = {
    "ping": _ping,
    "get-release": _get_release,
    "probe": _probe,
    "get-news": _get_news,
}
_CONTROL_ANSWERS: dict[str, Callable[[MessageFields], m.ControlAnswer]] = {
    "pong": lambda fields: m.Pong(),
    "release": lambda fields: m.ReleaseIs(fields.binary("signed", least=0, most=limits.RELEASE_BYTES_MAX)),
    "probed": _probed,
    "news": _news,
}

_FIRST: dict[str, Callable[[MessageFields], BulkRequest | m.ControlRequest]] = {**_BULK_REQUESTS, **_CONTROL_REQUESTS}


def _decode(header: bytes, readers: dict[str, Callable[[MessageFields], _Wanted]]) -> _Wanted:
    values = unpack(header)
    if not isinstance(values, dict):
        raise Malformed("message-map", "a header is a map")
    name = values.get("t")
    reader = readers.get(name) if isinstance(name, str) else None
    if reader is None:
        raise Malformed("message-type", f"message {str(name)[:80]!r} has no place here")
    return reader(MessageFields(values))
