"""What DHT nodes say to each other, as values, and their bytes: the messages of libp2p's Kademlia.

The bytes are those of the libp2p specification, spoken under our own protocol id, with one field of ours that others
skip: `port` in a question, where the asker itself serves the DHT. Contacts that cannot be ours (other key types, other
transports, names instead of numbers) are left out when reading, so a neighbour of a later version does no harm; a
message that cannot be read at all is refused. Source: proto/discovery.md §1.
"""

from __future__ import annotations

import ipaddress
from enum import IntEnum

import msgspec

from p2phub import limits
from p2phub.discovery.candidate import Contact
from p2phub.discovery.protobuf import bytes_field, fields, number_field, read_varint, varint
from p2phub.errors import Malformed
from p2phub.identity import Address, PeerId, peer_id_of_bytes


class Kind(IntEnum):
    """The `type` of a message."""

    PUT_VALUE = 0
    GET_VALUE = 1
    ADD_PROVIDER = 2
    GET_PROVIDERS = 3
    FIND_NODE = 4
    PING = 5


class Field(IntEnum):
    """The numbers of a message's fields. PORT is ours; the others are libp2p's."""

    TYPE = 1
    KEY = 2
    RECORD = 3
    CLOSER = 8
    PROVIDERS = 9
    PORT = 1017


class Question(msgspec.Struct, frozen=True):
    """What one node asks of another, or tells it.

    `key`: a peer id (FIND_NODE), a provider key, or the text of a release key; 1 ..= DHT_KEY_BYTES_MAX bytes, empty for
    PING. `value`: a signed release (PUT_VALUE). `addresses`: where the asker can be reached (ADD_PROVIDER). `port`: the
    TCP port at which the asker serves the DHT (in ADD_PROVIDER: the manifest), 0 if it does not. `sender`: whom
    ADD_PROVIDER is about, or None.
    """

    kind: Kind
    key: bytes = b""
    value: bytes = b""
    addresses: tuple[Address, ...] = ()
    port: int = 0
    sender: PeerId | None = None


class Reply(msgspec.Struct, frozen=True):
    """The answer. `closer`: peers near the key; `providers`: of the key; `value`: the signed release, or empty."""

    kind: Kind
    key: bytes = b""
    value: bytes = b""
    closer: tuple[Contact, ...] = ()
    providers: tuple[Contact, ...] = ()


_PEER_ID, _PEER_ADDRESSES = 1, 2
_RECORD_KEY, _RECORD_VALUE = 1, 2
_IP4, _IP6, _TCP, _P2P = 4, 41, 6, 421
_KINDS = frozenset(int(kind) for kind in Kind)
_CONTACTS_MAX = limits.PROVIDERS_PER_KEY_MAX


def encode_question(question: Question) -> bytes:
    """Return the bytes of `question`, without the length that goes before them on a stream."""
    out = number_field(Field.TYPE, question.kind)
    if question.key:
        out += bytes_field(Field.KEY, question.key)
    if question.kind is Kind.PUT_VALUE:
        out += bytes_field(Field.RECORD, _encode_record(question.key, question.value))
    if question.kind is Kind.ADD_PROVIDER and question.sender is not None:
        out += bytes_field(Field.PROVIDERS, _encode_contact(Contact(question.sender, question.addresses)))
    if question.port:
        out += number_field(Field.PORT, question.port)
    return out


def decode_question(data: bytes) -> Question:
    """Read a question. Raises Malformed, its rule one of proto/discovery.md §1."""
    parts = _read(data)
    needs_key = parts.kind is not Kind.PING
    if needs_key and not 1 <= len(parts.key) <= limits.DHT_KEY_BYTES_MAX:
        raise Malformed("dht-key-length", f"a key of {len(parts.key)} bytes")
    if parts.kind is Kind.PUT_VALUE:
        if parts.record_key != parts.key:
            raise Malformed("dht-record-key", "the record is not for the key it is put under")
        if not 1 <= len(parts.value) <= limits.RELEASE_BYTES_MAX:
            raise Malformed("dht-value-length", f"a record of {len(parts.value)} bytes")
    sender = parts.providers[0] if parts.kind is Kind.ADD_PROVIDER and parts.providers else None
    if parts.kind is Kind.ADD_PROVIDER and sender is None:
        raise Malformed("dht-no-provider", "an announcement that names nobody")
    return Question(
        parts.kind,
        parts.key,
        parts.value,
        sender.addresses if sender is not None else (),
        parts.port,
        sender.peer if sender is not None else None,
    )


def encode_reply(reply: Reply) -> bytes:
    """Return the bytes of `reply`, without the length that goes before them on a stream."""
    out = number_field(Field.TYPE, reply.kind)
    if reply.key:
        out += bytes_field(Field.KEY, reply.key)
    if reply.value:
        out += bytes_field(Field.RECORD, _encode_record(reply.key, reply.value))
    for contact in reply.closer:
        out += bytes_field(Field.CLOSER, _encode_contact(contact))
    for contact in reply.providers:
        out += bytes_field(Field.PROVIDERS, _encode_contact(contact))
    return out


def decode_reply(data: bytes, question: Question) -> Reply:
    """Read the answer to `question`. Raises Malformed; an answer to something else is "dht-other-answer"."""
    parts = _read(data)
    if parts.kind is not question.kind or (parts.key and parts.key != question.key):
        raise Malformed("dht-other-answer", f"asked {question.kind.name}, answered {parts.kind.name}")
    if len(parts.value) > limits.RELEASE_BYTES_MAX:
        raise Malformed("dht-value-length", f"a record of {len(parts.value)} bytes")
    return Reply(parts.kind, parts.key, parts.value, parts.closer[: limits.DHT_REPLICATION], parts.providers)


def frame(message: bytes) -> bytes:
    """Return `message` as it goes on a stream: its length as a varint, then its bytes."""
    return varint(len(message)) + message


class _Parts(msgspec.Struct):
    kind: Kind
    key: bytes
    record_key: bytes
    value: bytes
    port: int
    closer: tuple[Contact, ...]
    providers: tuple[Contact, ...]


def _read(data: bytes) -> _Parts:
    if len(data) > limits.DHT_MESSAGE_BYTES_MAX:
        raise Malformed("dht-message-length", f"a message of {len(data)} bytes")
    kind, port = 0, 0
    key = record_key = value = b""
    closer: list[Contact] = []
    providers: list[Contact] = []
    for field, content in fields(data):
        match field, content:
            case (Field.TYPE, int(number)):
                kind = number
            case (Field.KEY, bytes(content)):
                key = content
            case (Field.RECORD, bytes(content)):
                record_key, value = _read_record(content)
            case (Field.CLOSER, bytes(content)):
                _take_contact(closer, content)
            case (Field.PROVIDERS, bytes(content)):
                _take_contact(providers, content)
            case (Field.PORT, int(number)) if number <= 65535:
                port = number
            case _:
                pass  # A field of a later version, or one of libp2p's that says nothing to us.
    if kind not in _KINDS:
        raise Malformed("dht-type", f"no message has type {kind}")
    return _Parts(Kind(kind), key, record_key, value, port, tuple(closer), tuple(providers))


def _take_contact(into: list[Contact], data: bytes) -> None:
    if len(into) >= _CONTACTS_MAX:
        raise Malformed("dht-contacts", f"more than {_CONTACTS_MAX} peers in one list")
    contact = _read_contact(data)
    if contact is not None:
        into.append(contact)


def _encode_record(key: bytes, value: bytes) -> bytes:
    return bytes_field(_RECORD_KEY, key) + bytes_field(_RECORD_VALUE, value)


def _read_record(data: bytes) -> tuple[bytes, bytes]:
    key = value = b""
    for field, content in fields(data):
        if field == _RECORD_KEY and isinstance(content, bytes):
            key = content
        elif field == _RECORD_VALUE and isinstance(content, bytes):
            value = content
    return key, value


def _encode_contact(contact: Contact) -> bytes:
    out = bytes_field(_PEER_ID, contact.peer.raw)
    for address in contact.addresses:
        out += bytes_field(_PEER_ADDRESSES, encode_multiaddr(address))
    return out


def _read_contact(data: bytes) -> Contact | None:
    peer: PeerId | None = None
    addresses: dict[Address, None] = {}
    for field, content in fields(data):
        if not isinstance(content, bytes):
            continue
        if field == _PEER_ID:
            try:
                peer = peer_id_of_bytes(content)
            except Malformed:
                return None  # Another kind of key: nobody of ours.
        elif field == _PEER_ADDRESSES and len(addresses) < limits.ADDRESSES_PER_PEER_MAX:
            address = decode_multiaddr(content)
            if address is not None:
                addresses[address] = None
    return None if peer is None else Contact(peer, tuple(addresses))


def encode_multiaddr(address: Address) -> bytes:
    """Return the binary multiaddr of `address`: code and number of IP and TCP."""
    number = ipaddress.ip_address(address.ip)
    code = _IP4 if number.version == 4 else _IP6
    return varint(code) + number.packed + varint(_TCP) + address.port.to_bytes(2, "big")


def decode_multiaddr(data: bytes) -> Address | None:
    """Read a binary multiaddr; None if it is anything but IP and TCP with a port, and perhaps a peer id after it."""
    try:
        code, at = read_varint(data, 0)
        width = {_IP4: 4, _IP6: 16}.get(code)
        if width is None or len(data) < at + width:
            return None
        ip = str(ipaddress.ip_address(data[at : at + width]))
        code, at = read_varint(data, at + width)
        if code != _TCP or len(data) < at + 2:
            return None
        port, at = int.from_bytes(data[at : at + 2], "big"), at + 2
        if at < len(data) and read_varint(data, at)[0] != _P2P:
            return None  # Something more than TCP, such as a web socket.
        return Address(ip, port) if port else None
    except Malformed:
        return None
