"""The direct plane as a whole: two nodes of this process over loopback."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

import pytest

from p2phub.content import RangeSet
from p2phub.errors import PeerGone
from p2phub.identity import Address, PeerAddress, PeerId, SecretKey
from p2phub.net.direct import open_plane
from p2phub.net.interface import Closed, Link, Opened, Verified
from p2phub.net.listen import open_listener
from p2phub.wire import ControlAnswer, ControlRequest, Ping, Pong
from tests.support.content import Arriving, Published, content_of, random_files
from tests.support.covers import covers

ANN, BOB = SecretKey(b"a" * 32), SecretKey(b"b" * 32)


async def answer(peer: PeerId, address: Address, request: ControlRequest) -> ControlAnswer:
    return Pong()


async def fetch(link: Link, arriving: Arriving) -> RangeSet:
    got = RangeSet()
    opened = await link.next_report()
    assert isinstance(opened, Opened), opened
    for chunk, data in opened.prefix:
        arriving.write(chunk, data)
        got |= RangeSet(((chunk, chunk + 1),))
    link.use(arriving.plan)
    missing = arriving.content.whole - got
    link.grant(missing)
    while got != arriving.content.whole:
        report = await link.next_report()
        assert isinstance(report, Verified), report
        got |= report.chunks
    link.close()
    assert await link.next_report() == Closed(None)
    return got


async def test_a_model_arrives_bit_for_bit(tmp_path: Path) -> None:
    content = content_of(random_files(1, a=3_000_000, b=10, c=0, d=5_000_001))
    shelf = Published(content, tmp_path / "ann")
    arriving = Arriving(content, tmp_path / "bob")
    async with (
        open_plane(ANN, shelf, answer) as ann,
        open_plane(BOB, shelf, answer) as bob,
        open_listener([Address("127.0.0.1", 0)], ann.handle) as listener,
    ):
        there = PeerAddress(ANN.peer_id, listener.addresses[0])
        link = await bob.open_link(there, content.root, prefix_bytes=1 << 20, via="direct")
        await fetch(link, arriving)
        control = await bob.open_control(there)
        assert await control.ask(Ping()) == Pong()
        await control.aclose()
    files = dict(content.files)
    assert files.pop("c.bin") == b""
    assert arriving.files() == files
    assert shelf.requesters == [BOB.peer_id]
    assert shelf.bytes_sent == 8_000_011


@covers("F10")
async def test_a_link_that_finds_no_descriptor_is_a_dial_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = content_of(random_files(1, a=1000))
    shelf = Published(content, tmp_path / "ann")

    def none_left() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    async with (
        open_plane(ANN, shelf, answer) as ann,
        open_plane(BOB, shelf, answer) as bob,
        open_listener([Address("127.0.0.1", 0)], ann.handle) as listener,
    ):
        where = PeerAddress(ANN.peer_id, listener.addresses[0])
        with monkeypatch.context() as patch:
            patch.setattr("p2phub.net.tls_channel.Wakeup", none_left)
            with pytest.raises(PeerGone, match="Too many open files"):
                await bob.open_link(where, content.root, prefix_bytes=0, via="direct")
        link = await bob.open_link(where, content.root, prefix_bytes=0, via="direct")
        assert isinstance(await link.next_report(), Opened)


@covers("F31")
@pytest.mark.parametrize("where", ["p2phub.net.tls.peer_of", "p2phub.wire.control.decode_control_answer"])
async def test_a_fault_of_our_own_in_what_a_peer_answers_counts_as_that_peer_gone(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def faulty(data: bytes) -> None:
        raise ValueError("a bug")

    async with (
        open_plane(ANN, Published(content_of({}), tmp_path / "ann"), answer) as ann,
        open_plane(BOB, Published(content_of({}), tmp_path / "bob"), answer) as bob,
        open_listener([Address("127.0.0.1", 0)], ann.handle) as listener,
    ):
        monkeypatch.setattr(where, faulty)

        async def asks() -> None:
            control = await bob.open_control(PeerAddress(ANN.peer_id, listener.addresses[0]))
            try:
                await control.ask(Ping())
            finally:
                await control.aclose()

        with pytest.raises(PeerGone, match="a fault of our own"):
            await asks()
    assert "a bug" in caplog.text


@covers("F31")
async def test_a_fault_of_our_own_in_the_thread_of_a_link_ends_that_link_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    content = content_of(random_files(1, a=1000))
    arriving = Arriving(content, tmp_path / "here")

    def faulty(*args: object) -> None:
        raise RuntimeError("a bug")

    async with (
        open_plane(ANN, Published(content, tmp_path / "ann"), answer) as ann,
        open_plane(BOB, Published(content_of({}), tmp_path / "bob"), answer) as bob,
        open_listener([Address("127.0.0.1", 0)], ann.handle) as listener,
    ):
        where = PeerAddress(ANN.peer_id, listener.addresses[0])
        with monkeypatch.context() as patch:
            patch.setattr("p2phub.net.chunk_writer.ChunkWriter.write", faulty)
            link = await bob.open_link(where, content.root, prefix_bytes=0, via="direct")
            assert isinstance(await link.next_report(), Opened)
            link.use(arriving.plan)
            link.grant(content.whole)
            last = await link.next_report()
            assert isinstance(last, Closed)
            assert last.returned == content.whole
        await fetch(await bob.open_link(where, content.root, prefix_bytes=0, via="direct"), arriving)
    assert "a bug" in caplog.text


async def test_of_a_dial_that_fails_the_address_is_told_once(tmp_path: Path) -> None:
    with socket.socket() as nobody:  # Bound and not listening: a connection to it is refused.
        nobody.bind(("127.0.0.1", 0))
        where = PeerAddress(ANN.peer_id, Address("127.0.0.1", nobody.getsockname()[1]))
        async with open_plane(BOB, Published(content_of({}), tmp_path / "bob"), answer) as bob:
            with pytest.raises(PeerGone) as gone:
                await bob.open_control(where)
    assert gone.value.message == f"no connection to {where.address}: Connection refused"
