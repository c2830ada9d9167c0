"""A provider that lies, for tests: it proves who it is, serves what a shelf offers, and tells one lie.

    async with open_liar(key, shelf, Lie.FIRST_CHUNK) as liar:
        ...  # fetch from PeerAddress(key.peer_id, liar)

It is the real provider but for the lie, so whatever refuses it refuses the lie and nothing else.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from enum import Enum

import trio

from p2phub import limits
from p2phub.content import ChunkRef, Digest
from p2phub.identity import Address, PeerId, SecretKey
from p2phub.net import AnswerControl, Offer, Shelf
from p2phub.net.channel import Channel, Watched
from p2phub.net.chunk_reader import ChunkReader
from p2phub.net.credential import make_credential
from p2phub.net.direct import DirectPlane
from p2phub.net.links import Links
from p2phub.net.listen import open_listener
from p2phub.net.reception import Reception
from p2phub.net.service import BulkService
from p2phub.wire import Ask, BlobsFollow, Chunks, ControlAnswer, ControlRequest, Open, Pong
from p2phub.wire.codec import encode
from p2phub.wire.requester import runs_of


class Lie(Enum):
    """What the liar does. Of chunks and blobs: one flipped byte."""

    NONE = "tells the truth"
    MANIFEST = "a flipped byte in the manifest"
    LATER_BLOB = "a flipped byte in the last page or chunk list of the first flight"
    ASKED_BLOB = "a flipped byte in a blob that was asked for"
    FIRST_CHUNK = "a flipped byte in the first chunk"
    MIDDLE_CHUNK = "a flipped byte in the middle chunk"
    LAST_CHUNK = "a flipped byte in the last chunk"
    SHORT = "announces one byte too few"
    LONG = "announces and sends one byte too many"
    CUT = "ends in the middle of an answer"
    SWAPPED = "sends the next answer's bytes"
    OTHER_CHUNKS = "answers with chunks that were not wanted"
    GARBAGE = "sends random bytes in place of an answer"
    HUGE_FRAME = "announces a header of 4 GiB"
    ENDLESS = "goes on sending after the answer"
    NOTHING = "never answers a want"
    NO_FLIGHT = "never answers Open"
    LEAVES = "ends the connection after the first flight"
    UNASKED = "sends chunks after the first flight that nobody wanted"
    HANGS_UP = "ends the connection in place of an answer"


class LyingService(BulkService):
    """The provider's thread with a lie in it."""

    def __init__(self, channel: Channel, first: Open, shelf: Shelf, lie: Lie) -> None:
        super().__init__(channel, first, _lying_shelf(shelf, lie))
        self._lie = lie

    def _reader(self, offer: Offer) -> ChunkReader:
        last = len(offer.plan.table) - 1
        target = {Lie.FIRST_CHUNK: 0, Lie.MIDDLE_CHUNK: last // 2, Lie.LAST_CHUNK: last}.get(self._lie)
        return _LyingReader(super()._reader(offer), target)

    def _send(self, header: bytes, end: int) -> None:
        if self._lie is Lie.NO_FLIGHT:
            self._say_nothing()
        super()._send(header, end)
        if self._lie is Lie.LEAVES:
            self._channel.cancel()

    def _next_request(self, offer: Offer, reader: ChunkReader) -> bool:
        if self._lie is Lie.UNASKED:
            self._channel.send(encode(Chunks(((0, 1),), 4)) + b"four")
        return super()._next_request(offer, reader)

    def _send_chunks(self, refs: Sequence[ChunkRef], end: int) -> None:
        length = sum(ref.length for ref in refs)
        payload = bytes(self._buffer[end - length : end])
        match self._lie:
            case Lie.SHORT:
                self._channel.send(encode(Chunks(runs_of(refs), length - 1)) + payload[:-1])
            case Lie.LONG:
                self._channel.send(encode(Chunks(runs_of(refs), length + 1)) + payload + b"\0")
            case Lie.CUT:
                self._channel.send(encode(Chunks(runs_of(refs), length)) + payload[: length // 2])
                self._channel.cancel()
            case Lie.SWAPPED:
                swapped = payload[length // 2 :] + payload[: length // 2]
                self._channel.send(encode(Chunks(runs_of(refs), length)) + swapped)
            case Lie.OTHER_CHUNKS:
                self._channel.send(encode(Chunks(((refs[-1].index + 1, len(refs)),), length)) + payload)
            case Lie.GARBAGE:
                self._channel.send(random.Random(1).randbytes(4096))
            case Lie.HUGE_FRAME:
                self._channel.send(b"\xff\xff\xff\xff" + payload)
            case Lie.ENDLESS:
                super()._send_chunks(refs, end)
                while True:
                    self._channel.send(payload)
            case Lie.NOTHING:
                self._say_nothing()
            case Lie.HANGS_UP:
                self._channel.cancel()
            case _:
                super()._send_chunks(refs, end)

    def _answer_ask(self, ask: Ask, offer: Offer) -> None:
        if self._lie is not Lie.ASKED_BLOB:
            super()._answer_ask(ask, offer)
            return
        blobs = [_flipped(offer.blob(digest) or b"") for digest in ask.blobs]
        self._channel.send(encode(BlobsFollow(tuple(len(blob) for blob in blobs))) + b"".join(blobs))

    def _say_nothing(self) -> None:
        """Stay until the requester goes."""
        while not self._channel.wait(limits.SOCKET_CALL_S):
            pass
        one = memoryview(bytearray(1))
        while True:
            self._channel.fill(one)


class _LyingReader(ChunkReader):
    def __init__(self, honest: ChunkReader, target: int | None) -> None:
        self._honest, self._target = honest, target

    def expect(self, files: Sequence[int]) -> None:
        pass

    def read(self, refs: Sequence[ChunkRef], into: memoryview) -> str | None:
        refused = self._honest.read(refs, into)
        at = 0
        for ref in refs:
            if ref.index == self._target:
                into[at + ref.length // 2] ^= 1
            at += ref.length
        return refused

    def close(self) -> None:
        self._honest.close()


class _LyingShelf:
    def __init__(self, honest: Shelf, bend: Callable[[Offer], Offer]) -> None:
        self._honest, self._bend = honest, bend

    def offer(self, manifest: Digest, requester: PeerId) -> Offer:
        return self._bend(self._honest.offer(manifest, requester))

    def sent(self, manifest: Digest, requester: PeerId, bytes_sent: int) -> None:
        self._honest.sent(manifest, requester, bytes_sent)

    def changed(self, manifest: Digest, file: int) -> None:
        self._honest.changed(manifest, file)


def _lying_shelf(shelf: Shelf, lie: Lie) -> Shelf:
    if lie not in (Lie.MANIFEST, Lie.LATER_BLOB):
        return shelf

    def bend(offer: Offer) -> Offer:
        target = offer.order[0 if lie is Lie.MANIFEST else -1]

        def blob(digest: Digest) -> bytes | None:
            found = offer.blob(digest)
            return _flipped(found) if found and digest == target else found

        return Offer(offer.plan, offer.order, blob)

    return _LyingShelf(shelf, bend)


def _flipped(blob: bytes) -> bytes:
    return blob[:-1] + bytes([blob[-1] ^ 1])


async def _pong(peer: PeerId, address: Address, request: ControlRequest) -> ControlAnswer:
    return Pong()


@asynccontextmanager
async def open_liar(
    key: SecretKey, shelf: Shelf, lie: Lie, *, address: Address | None = None, answer: AnswerControl = _pong
) -> AsyncIterator[Address]:
    """Serve `shelf` with a lie in it, as the node `key`; questions are answered by `answer`. Yields the address."""
    watched = Watched()
    async with trio.open_nursery() as nursery:
        reception = Reception(
            shelf, answer, watched, service=lambda channel, first, offered: LyingService(channel, first, offered, lie)
        )
        plane = DirectPlane(make_credential(key), Links(nursery, watched), reception)
        async with open_listener([address or Address("127.0.0.1", 0)], plane.handle) as listener:
            yield listener.addresses[0]
        nursery.cancel_scope.cancel()
