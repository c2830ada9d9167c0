"""Strangers who mean a node harm, on its one port: garbage, half-open connections, malformed messages by the thousand.

Each kind of garbage is a function of a number, so that an attack can be had again. Those of `RAW` need no identity;
`misuse_streams` and `misuse_frames` prove one first and then break the protocols behind it. All run in the caller's
process, against any node on loopback.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random

import trio

from p2phub import limits
from p2phub.discovery.messages import Field, Kind
from p2phub.discovery.protobuf import bytes_field, fields, number_field, varint
from p2phub.errors import PeerError
from p2phub.identity import Address, PeerAddress, SecretKey
from p2phub.net import tls
from p2phub.net.credential import make_credential
from p2phub.net.libp2p_host import Host, open_host
from p2phub.wire import Ping, encode
from tests.support.tls_stranger import TlsStranger

IDENTIFY = "/ipfs/id/1.0.0"
_IDENTIFY_PROTOCOLS = 3
OTHERS = ("/meshsub/1.1.0", "/floodsub/1.0.0", "/ipfs/kad/1.0.0", "/ipfs/ping/1.0.0", "/p2phub/none", "/" + "x" * 200)
"""Protocols that no node of ours answers (gossip among them): asking for them must cost it nothing either."""

MULTISTREAM = b"\x13/multistream/1.0.0\n"
RAW: Sequence[Callable[[Random], bytes]] = (
    lambda chance: chance.randbytes(chance.randint(1, 2000)),
    lambda chance: b"\x16\x03\x01" + chance.randbytes(2),  # A TLS record's head, cut off.
    lambda chance: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + chance.randbytes(chance.randint(0, 508)),
    lambda chance: b"\x16" + chance.randbytes(300),
    lambda chance: b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    lambda chance: b"POST /api HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n" + bytes(500),
    lambda chance: MULTISTREAM + chance.randbytes(400),
    lambda chance: MULTISTREAM + b"\x07/noise\n" + chance.randbytes(400),  # A handshake of noise indeed.
    lambda chance: MULTISTREAM + b"\x07/noise\n\x00\x20" + chance.randbytes(32),  # A point, and then nothing.
    lambda chance: MULTISTREAM + b"\xff\xff\xff\xff\x0f" + bytes(200),  # A line of 4 GiB.
    lambda chance: MULTISTREAM + b"\x03ls\n" * 60,
    lambda chance: b"",
)


def throw(address: Address, count: int, *, seed: int = 0) -> None:
    """Make `count` connections with garbage of every kind, one after the other: some wait for an answer. Blocks."""
    chance = Random(seed)
    for number in range(count):
        with _dial(address) as stranger:
            try:
                stranger.sendall(RAW[number % len(RAW)](chance))
                if number % 5 == 0:
                    stranger.shutdown(socket.SHUT_WR)
                    stranger.settimeout(0.05)
                    stranger.recv(4096)
                elif number % 5 == 1:
                    _end_with_reset(stranger)
            except OSError:
                continue  # It closed, or does not answer: all the same to a stranger.


@contextmanager
def half_open(address: Address, count: int) -> Iterator[list[socket.socket]]:
    """Hold `count` connections that have begun and do not go on: silent, within TLS's hello, within multistream's."""
    beginnings = (b"", b"\x16", b"\x16\x03\x01\x02\x00", b"\x13/multi", MULTISTREAM, MULTISTREAM + b"\x07/noise\n")
    strangers: list[socket.socket] = []
    try:
        for number in range(count):
            strangers.append(_dial(address))
            try:
                strangers[-1].sendall(beginnings[number % len(beginnings)])
            except OSError:
                continue
        yield strangers
    finally:
        for stranger in strangers:
            stranger.close()


def messages(chance: Random) -> list[bytes]:
    """Return malformed DHT messages, each with its length before it, and lies about that length."""
    key = chance.randbytes(32)
    contact = bytes_field(1, chance.randbytes(38)) + bytes_field(2, chance.randbytes(20))
    deep = b"\x0a\x00"
    while len(deep) < 2000:
        deep = bytes_field(1, deep)
    bodies = [
        chance.randbytes(300),
        number_field(Field.TYPE, 99),
        number_field(Field.TYPE, Kind.FIND_NODE),  # No key.
        number_field(Field.TYPE, Kind.FIND_NODE)
        + bytes_field(Field.KEY, chance.randbytes(limits.DHT_KEY_BYTES_MAX + 1)),
        number_field(Field.TYPE, Kind.ADD_PROVIDER)
        + bytes_field(Field.KEY, key)
        + bytes_field(Field.PROVIDERS, contact),
        number_field(Field.TYPE, Kind.ADD_PROVIDER) + bytes_field(Field.KEY, key) + bytes_field(Field.PROVIDERS, deep),
        number_field(Field.TYPE, Kind.PUT_VALUE)
        + bytes_field(Field.KEY, key)
        + bytes_field(Field.RECORD, b"\xff" * 90),
        number_field(Field.TYPE, Kind.PUT_VALUE)
        + bytes_field(Field.KEY, key)
        + bytes_field(Field.RECORD, bytes_field(1, key) + bytes_field(2, chance.randbytes(3000))),
        number_field(Field.TYPE, Kind.GET_VALUE) + bytes_field(Field.KEY, key) * 3000,
        number_field(Field.TYPE, Kind.PING) + number_field(Field.PORT, (1 << 63) + 5),
        deep,
        b"\x08" + b"\xff" * 20,  # A number without an end.
        b"\x0b" * 100,  # Groups, which protobuf has no more.
        b"",
    ]
    framed = [varint(len(body)) + body for body in bodies]
    lies = [
        varint(1 << 62),
        varint(limits.DHT_MESSAGE_BYTES_MAX + 1) + bytes(100),
        b"\xff" * 40,
        varint(500) + b"short",
    ]
    return framed + lies


async def protocols_of(node: PeerAddress) -> tuple[str, ...]:
    """Return what a node says it speaks over libp2p, by identify. Raises PeerGone."""
    async with open_host(_key(0)) as asker:
        stream = await asker.open_stream(node.peer, [node.address], IDENTIFY)
        said = bytearray()
        while part := await stream.read(65536):
            said += part
        await stream.close()
    length = 0
    for shift, byte in enumerate(said):
        length |= (byte & 127) << (7 * shift)
        if byte < 128:
            break
    body = bytes(said[len(varint(length)) :][:length])
    found = (
        value.decode() for field, value in fields(body) if field == _IDENTIFY_PROTOCOLS and isinstance(value, bytes)
    )
    return tuple(found)


async def misuse_streams(node: PeerAddress, protocols: Sequence[str], count: int, *, seed: int = 0) -> int:
    """Open `count` streams by several strangers, and send malformed messages on each. Returns how many were opened.

    Some read the answer, some close, some leave the stream open until the stranger goes.
    """
    chance = Random(seed)
    opened = 0
    number = 0
    while number < count:
        async with open_host(_key(chance.getrandbits(64))) as stranger:
            for _ in range(min(50, count - number)):
                opened += await _misuse_one(stranger, node, protocols[number % len(protocols)], number, chance)
                number += 1
    return opened


async def _misuse_one(stranger: Host, node: PeerAddress, protocol: str, number: int, chance: Random) -> bool:
    wrong = messages(chance)
    try:
        stream = await stranger.open_stream(node.peer, [node.address], protocol)
        await stream.write(wrong[number % len(wrong)])
        match number % 4:
            case 0:
                with trio.move_on_after(0.05):
                    await stream.read(1000)
                await stream.close()
            case 1:
                await stream.close()
            case 2:
                await stream.abort()
            case _:
                pass
    except PeerError:
        return False
    return True


async def misuse_frames(node: PeerAddress, count: int, *, seed: int = 0) -> int:
    """Prove an identity over TLS `count` times, then send what is no frame of ours. Returns how many got that far."""
    chance = Random(seed)
    context = tls.make_context(make_credential(_key(seed)))
    proven = 0
    frames = (
        lambda: chance.randbytes(600),
        lambda: b"\xff\xff\xff\xff" + bytes(100),  # A header of 4 GiB.
        lambda: len(b"\xc1" * 50).to_bytes(4, "big") + b"\xc1" * 50,  # 0xc1 is never msgpack.
        lambda: (200).to_bytes(4, "big") + b"\x91" * 200,  # Lists in lists.
        lambda: (5).to_bytes(4, "big") + b"\xdf\xff\xff\xff\xff",  # A map of 4 billion entries.
        lambda: (60_000).to_bytes(4, "big") + b"\xa0",  # The rest never comes.
        lambda: b"",
    )
    for number in range(count):
        sock = socket.socket()
        sock.setblocking(False)
        try:
            await trio.socket.from_stdlib_socket(sock).connect((node.address.ip, node.address.port))
            connection = await tls.connect(context, sock, node.address, node.peer)
            proven += 1
            await connection.write(frames[number % len(frames)]())
            if number % 3:
                with trio.move_on_after(0.05):
                    await connection.read(1000)
            await connection.aclose()
        except (PeerError, OSError):
            sock.close()
    return proven


def misuse_records(node: PeerAddress, count: int, *, seed: int = 0) -> int:
    """Make `count` connections whose TLS has crumbs, or nothing for the node. Returns how many it ended. Blocks."""
    ended = 0
    for number in range(count):
        with _dial(node.address) as sock:
            stranger = TlsStranger(sock, _key(seed), dials=True)
            try:
                if number % 4 == 0:  # A hello of 64 KiB.
                    sock.sendall(
                        b"".join(b"\x16\x03\x01\0\1" + bytes([byte]) for byte in b"\1\0\xff\xff" + bytes(0xFFFF))
                    )
                else:
                    stranger.shake()
                    if number % 4 == 1:
                        sock.sendall(stranger.crumbs((60_000).to_bytes(4, "big") + bytes(3000)))
                    elif number % 4 == 2:
                        sock.sendall(stranger.key_updates(3000, asks=True))
                    else:
                        sock.sendall(stranger.record(encode(Ping())) + stranger.key_updates(3000))
                while sock.recv(65536):
                    pass
            except TimeoutError:
                continue
            except OSError:
                pass
            ended += 1
    return ended


def _key(number: int) -> SecretKey:
    return SecretKey(number.to_bytes(8, "big") * 4)


def _dial(address: Address) -> socket.socket:
    while True:
        try:
            return socket.create_connection((address.ip, address.port), timeout=10)
        except OSError as exc:
            if exc.errno not in (errno.EADDRNOTAVAIL, errno.ECONNRESET):  # Ports run out for a moment in a long flood.
                raise


def _end_with_reset(stranger: socket.socket) -> None:
    stranger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
