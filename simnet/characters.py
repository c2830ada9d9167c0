"""How a provider may be: honest, or wrong in one way. Each is the real provider but for that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from p2phub import limits
from p2phub.content import ChunkRef, Digest, RangeSet, Readable, ReadPlan
from p2phub.errors import DiskError, PeerRefused
from p2phub.identity import PeerId
from p2phub.net import Offer, Shelf
from p2phub.net.channel import Channel
from p2phub.net.chunk_reader import ChunkReader
from p2phub.net.service import BulkService
from p2phub.wire import Open
from simnet.carrier import Service
from simnet.det import pause

LIE_AFTER_BYTES = 512 * limits.KIB
DRIP_S = 4.0
"""Between two small answers of a tarpit: never quite silent."""

CHARACTERS = frozenset(
    {"honest", "liar", "flooder", "tarpit", "staller", "boaster", "empty", "refuser", "absent", "rider"}
)
"""`boaster`: a false Have, all is refused. `empty`: a false provider, it has nothing. `refuser`: it never has a place.
`absent`: it was named, and nobody is there. `rider`: a requester that takes from everybody, serves nobody, and says
nothing good of anybody."""

GUILTY = frozenset({"liar", "flooder"})
"""Characters whose lie can be proved. All others may be slow, useless or gone, but are never to be banned."""


class Liar(BulkService):
    """Flips a byte in one chunk of each answer, once it has won some trust."""

    chance: Random

    def _reader(self, offer: Offer) -> ChunkReader:
        return _LyingReader(super()._reader(offer), self.chance)


class _LyingReader(ChunkReader):
    def __init__(self, honest: ChunkReader, chance: Random) -> None:
        self._honest, self._chance = honest, chance
        self._sent = 0

    def read(self, refs: Sequence[ChunkRef], into: memoryview) -> str | None:
        refused = self._honest.read(refs, into)
        self._sent += len(into)
        if refused is None and self._sent > LIE_AFTER_BYTES:
            into[self._chance.randrange(len(into))] ^= 1 + self._chance.randrange(255)
        return refused

    def expect(self, files: Sequence[int]) -> None:
        self._honest.expect(files)

    def close(self) -> None:
        self._honest.close()


class Flooder(BulkService):
    """Answers the first want with garbage without end."""

    chance: Random

    def _send_chunks(self, refs: Sequence[ChunkRef], end: int) -> None:
        while True:
            self._channel.send(self.chance.randbytes(64 * limits.KIB))


class Tarpit(BulkService):
    """Opens promptly, and then sends a few bytes of its answers now and then."""

    def _send_chunks(self, refs: Sequence[ChunkRef], end: int) -> None:
        if not refs:
            return
        self._channel.send(self._machine.chunks(refs))
        payload = self._buffer[end - sum(ref.length for ref in refs) : end]
        while payload:
            pause(DRIP_S)
            self._channel.send(payload[:16])
            payload = payload[16:]


class Staller(BulkService):
    """Opens promptly, and never answers a want."""

    def _send_chunks(self, refs: Sequence[ChunkRef], end: int) -> None:
        while not self._channel.wait(limits.SOCKET_CALL_S):
            pass


class _Refuser:
    """A shelf that is always taken: it has the content, and no place for whoever asks."""

    def __init__(self, honest: Shelf) -> None:
        self._honest = honest

    def offer(self, manifest: Digest, requester: PeerId) -> Offer:
        raise PeerRefused("no place", reason="busy")

    def sent(self, manifest: Digest, requester: PeerId, bytes_sent: int) -> None:
        self._honest.sent(manifest, requester, bytes_sent)

    def changed(self, manifest: Digest, file: int) -> None:
        self._honest.changed(manifest, file)


class _Boaster:
    """A shelf that says it holds everything and can read nothing of it."""

    def __init__(self, honest: Shelf) -> None:
        self._honest = honest

    def offer(self, manifest: Digest, requester: PeerId) -> Offer:
        offer = self._honest.offer(manifest, requester)
        whole = RangeSet.whole(len(offer.plan.table))
        return Offer(ReadPlan(manifest, offer.plan.table, whole, _nothing_there), offer.order, offer.blob)

    def sent(self, manifest: Digest, requester: PeerId, bytes_sent: int) -> None:
        self._honest.sent(manifest, requester, bytes_sent)

    def changed(self, manifest: Digest, file: int) -> None:
        pass


def _nothing_there(file: int) -> Readable:
    raise DiskError(f"file {file} is not there")


class _Miser:
    """A shelf from which nobody gets anything."""

    def __init__(self, honest: Shelf) -> None:
        self._honest = honest

    def offer(self, manifest: Digest, requester: PeerId) -> Offer:
        raise PeerRefused(f"{manifest} is not for {requester}", reason="unknown")

    def sent(self, manifest: Digest, requester: PeerId, bytes_sent: int) -> None:
        pass

    def changed(self, manifest: Digest, file: int) -> None:
        pass


def _as_it_is(honest: Shelf) -> Shelf:
    return honest


_SHELVES: dict[str, Callable[[Shelf], Shelf]] = {"boaster": _Boaster, "refuser": _Refuser, "rider": _Miser}


def service_of(character: str, chance: Random) -> Service:
    """Return who serves bulk connections for a node of this character."""
    kinds: dict[str, Callable[[Channel, Open, Shelf], BulkService]] = {
        "liar": Liar,
        "flooder": Flooder,
        "tarpit": Tarpit,
        "staller": Staller,
    }
    assert character in CHARACTERS, f"nobody is a {character}"  # Misspelt, it would be an honest one.
    kind = kinds.get(character, BulkService)

    def serve(channel: Channel, first: Open, shelf: Shelf) -> BulkService:
        service = kind(channel, first, _SHELVES.get(character, _as_it_is)(shelf))
        if isinstance(service, Liar | Flooder):
            service.chance = chance
        return service

    return serve
