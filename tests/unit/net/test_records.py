"""Sealed records: agreed on by both ends, exact however they are cut, and of no use to who changes a bit of them."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from p2phub import limits
from p2phub.errors import PeerGone, ProtocolViolation
from p2phub.identity import Address, PeerAddress, PeerId, SecretKey
from p2phub.net import tls
from p2phub.net.channel import Progress
from p2phub.net.credential import make_credential
from p2phub.net.direct import open_plane
from p2phub.net.interface import Closed, Link, Opened, Verified
from p2phub.net.listen import open_listener
from p2phub.net.records import Records
from p2phub.net.sealing import CAN_SEAL, HEAD_BYTES, TAG_BYTES, Opener, Sealer
from p2phub.transfer import pacing
from p2phub.wire import ControlAnswer, ControlRequest, Pong
from tests.support.content import Arriving, Content, Published, content_of, random_files
from tests.support.covers import covers

ANN, BOB = SecretKey(b"a" * 32), SecretKey(b"b" * 32)
ONE, OTHER = bytes(range(32)), bytes(range(32, 64))


def test_a_machine_seals_where_its_processor_has_aes() -> None:
    flags = Path("/proc/cpuinfo").read_text()
    has_aes = any(f" {flag} " in flags for flag in ("aes", "pmull"))
    assert has_aes == CAN_SEAL, "PyNaCl has the names that are called, and says that they are fast here"


@contextmanager
def ends() -> Iterator[tuple[Records, Records]]:
    near, far = socket.socketpair()
    with near, far:
        yield (
            Records(near, Sealer(ONE), Opener(OTHER), ANN.peer_id, Progress()),
            Records(far, Sealer(OTHER), Opener(ONE), BOB.peer_id, Progress()),
        )


def read(records: Records, count: int) -> bytes:
    into = memoryview(bytearray(count))
    records.fill(into)
    return bytes(into)


LENGTHS = st.integers(1, 3000) | st.sampled_from([limits.RECORD_BYTES_MAX + by for by in (-1, 0, 1)])


@settings(max_examples=40)
@given(said=st.lists(LENGTHS, max_size=4), cut=st.lists(LENGTHS, max_size=8))
def test_what_is_said_is_read_however_it_is_cut(said: list[int], cut: list[int]) -> None:
    data = os.urandom(sum(said))
    with ends() as (near, far):
        thread = threading.Thread(target=lambda: [near.send([part]) for part in parts(data, said)])
        thread.start()
        total, found = len(data), b""
        for count in [*cut, total]:
            count = min(count, total - len(found))
            found += read(far, count)
        thread.join()
    assert found == data
    assert not far.has_rest


def parts(data: bytes, lengths: list[int]) -> list[bytes]:
    found, at = [], 0
    for length in lengths:
        found.append(data[at : at + length])
        at += length
    return found


def test_both_ways_at_once() -> None:
    data = os.urandom(3 << 20)
    with ends() as (near, far):
        senders = [threading.Thread(target=end.send, args=([data],)) for end in (near, far)]
        for sender in senders:
            sender.start()
        # Each end belongs to two threads here, one a direction, which share nothing.
        readers = [threading.Thread(target=lambda end=end: found.append(read(end, len(data)))) for end in (near, far)]
        found: list[bytes] = []
        for thread in readers:
            thread.start()
        for thread in (*readers, *senders):
            thread.join()
    assert found == [data, data]


def test_what_does_not_fit_is_kept_for_the_next_read() -> None:
    with ends() as (near, far):
        near.send([b"four and the rest"])
        assert read(far, 4) == b"four"
        assert far.has_rest
        assert read(far, 13) == b" and the rest"
        assert not far.has_rest


@covers("T37")
def test_crumbs_are_refused_and_pieces_are_not() -> None:
    with ends() as (near, far):
        for _ in range(66):
            near.send([bytes(1024)])
        assert read(far, 66 << 10) == bytes(66 << 10)
        for _ in range(100):
            near.send([bytes(200)])
        with pytest.raises(ProtocolViolation, match="record-crumbs"):
            read(far, 20_000)


def test_what_a_cap_cuts_is_never_crumbs() -> None:
    assert pacing.BURST_BYTES_MIN / 2 * pacing.PIECE_PART_LOW >= 2 * limits.RECORD_BYTES_LEAST


def test_nothing_of_a_forged_record_is_handed_over() -> None:
    near, far = socket.socketpair()
    with near, far:
        sealed = memoryview(bytearray(HEAD_BYTES + 100 + TAG_BYTES))
        Sealer(ONE).seal(memoryview(b"x" * 100), sealed)
        sealed[-1] ^= 1
        far.sendall(sealed)
        into = memoryview(bytearray(100))
        with pytest.raises(PeerGone, match="tampered"):
            Records(near, Sealer(OTHER), Opener(ONE), ANN.peer_id, Progress()).fill(into)
        assert bytes(into) == bytes(100)


# --- who agrees on them ------------------------------------------------------------------------------------------


async def answer(peer: PeerId, address: Address, request: ControlRequest) -> ControlAnswer:
    return Pong()


@dataclass
class Line:
    """A relay between two peers. `bend` may change what goes from the provider to the requester, by where it stands."""

    address: Address
    bend: Callable[[int, bytearray], None]
    out: bytearray = field(default_factory=bytearray)
    back: bytearray = field(default_factory=bytearray)


def as_it_is(at: int, data: bytearray) -> None: ...


@asynccontextmanager
async def line(target: Address, bend: Callable[[int, bytearray], None]) -> AsyncIterator[Line]:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    made = Line(Address("127.0.0.1", listener.socket.getsockname()[1]), bend)

    async def carry(source: trio.SocketStream, sink: trio.SocketStream, seen: bytearray, *, back: bool) -> None:
        try:
            while data := bytearray(await source.receive_some(65536)):
                if back:
                    made.bend(len(seen), data)
                seen += data
                await sink.send_all(data)
            await sink.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            pass

    async def relay(near: trio.SocketStream) -> None:
        far = await trio.open_tcp_stream(target.ip, target.port)
        async with near, far, trio.open_nursery() as nursery:
            nursery.start_soon(lambda: carry(near, far, made.out, back=False))
            nursery.start_soon(lambda: carry(far, near, made.back, back=True))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, relay, [listener])
        yield made
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def fetching(
    tmp_path: Path, content: Content, bend: Callable[[int, bytearray], None] = as_it_is
) -> AsyncIterator[tuple[Link, Arriving, Line]]:
    """Bob's link to Ann over a line, opened, and all chunks granted."""
    shelf, arriving = Published(content, tmp_path / "ann"), Arriving(content, tmp_path / "bob")
    with trio.fail_after(30):
        async with (
            open_plane(ANN, shelf, answer) as ann,
            open_plane(BOB, shelf, answer) as bob,
            open_listener([Address("127.0.0.1", 0)], ann.handle) as listener,
            line(listener.addresses[0], bend) as between,
        ):
            link = await bob.open_link(
                PeerAddress(ANN.peer_id, between.address), content.root, prefix_bytes=0, via="direct"
            )
            assert isinstance(await link.next_report(), Opened)
            link.use(arriving.plan)
            link.grant(content.whole)
            yield link, arriving, between


async def all_of(link: Link, content: Content) -> None:
    left = content.whole
    while left:
        report = await link.next_report()
        assert isinstance(report, Verified), report
        left -= report.chunks


def is_cut_into_tls_records(data: bytes) -> bool:
    """Whether `data` is TLS's records from beginning to end."""
    at = 0
    while at < len(data):
        if data[at] not in (20, 21, 22, 23) or data[at + 1 : at + 3] not in (b"\x03\x01", b"\x03\x03"):
            return False
        at += 5 + int.from_bytes(data[at + 3 : at + 5], "big")
    return at == len(data)


@pytest.mark.parametrize("requester", [True, False], ids=["it can", "it cannot"])
@pytest.mark.parametrize("provider", [True, False], ids=["and the provider can", "and the provider cannot"])
async def test_records_are_used_if_both_ends_can(
    requester: bool, provider: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = content_of(random_files(1, a=900_000))

    def make_context(credential: object) -> SSL.Context:
        """Each side's context with what that side can do."""
        can = requester if credential in bobs else provider
        monkeypatch.setattr(tls, "CAN_SEAL", can)
        context = made(credential)  # type: ignore[arg-type]
        context.set_alpn_select_callback(choose)
        return context

    def choose(connection: SSL.Connection, offered: list[bytes]) -> bytes:
        monkeypatch.setattr(tls, "CAN_SEAL", provider)
        return tls._choose_alpn(connection, offered)

    bobs: list[object] = []
    made = tls.make_context
    monkeypatch.setattr(tls, "make_context", make_context)
    monkeypatch.setattr(
        "p2phub.net.credential.make_credential",
        lambda key: bobs.append(make_credential(key)) or bobs[-1] if key is BOB else make_credential(key),
    )
    async with fetching(tmp_path, content) as (link, arriving, between):
        await all_of(link, content)
        assert arriving.files() == dict(content.files)
        assert is_cut_into_tls_records(bytes(between.back)) != (requester and provider)


def test_an_older_peer_is_answered_in_the_protocol_that_it_offers() -> None:
    # What an older p2phub offers and takes is `p2phub/1` alone.
    context = tls.make_context(make_credential(BOB))
    context.set_alpn_protos([tls.ALPN])
    assert tls._choose_alpn(SSL.Connection(context), [tls.ALPN]) == tls.ALPN
    assert tls._choose_alpn(SSL.Connection(context), [b"h2", tls.ALPN_SEALED, tls.ALPN]) == tls.ALPN_SEALED
    with pytest.raises(SSL.Error):
        tls._choose_alpn(SSL.Connection(context), [b"h2"])


async def test_who_listens_on_the_line_reads_nothing(tmp_path: Path) -> None:
    content = content_of({"a": b"a secret that nobody reads on the line " * 20_000})
    async with fetching(tmp_path, content) as (link, arriving, between):
        await all_of(link, content)
        assert arriving.files() == dict(content.files)
        for way in (between.out, between.back):
            assert b"secret" not in way
            assert content.root.raw not in way
        # What the requester wants is sealed, too: the frame's words are nowhere.
        assert b"ranges" not in between.out


def where_records_begin(data: bytes) -> int | None:
    """Return where TLS's records end and ours begin: with a zero, as all lengths below 2^24 do."""
    at = 0
    while at + 5 <= len(data):
        if data[at] == 0:
            return at
        at += 5 + int.from_bytes(data[at + 3 : at + 5], "big")
    return None


@covers("T33")
@pytest.mark.parametrize("where", ["its length", "what is sealed", "its tag"])
async def test_who_changes_a_bit_of_a_record_on_the_line_ends_the_connection(where: str, tmp_path: Path) -> None:
    content, seen, bent = content_of(random_files(1, a=3_000_000)), bytearray(), list[int]()

    def bend(at: int, data: bytearray) -> None:
        seen.extend(data)
        begin = where_records_begin(seen)
        if begin is None or bent or len(seen) < begin + HEAD_BYTES:
            return
        length = int.from_bytes(seen[begin : begin + HEAD_BYTES], "big")
        steps = {"its length": HEAD_BYTES - 1, "what is sealed": HEAD_BYTES, "its tag": HEAD_BYTES + length}
        if at <= begin + steps[where] < at + len(data):
            bent.append(begin + steps[where])
            data[bent[0] - at] ^= 1

    async with fetching(tmp_path, content, bend) as (link, arriving, _):
        while not isinstance(report := await link.next_report(), Closed):
            assert isinstance(report, Verified)
        assert bent
        assert isinstance(report.error, PeerGone)
        assert "tampered" in report.error.message
        assert not any(arriving.files().values())
