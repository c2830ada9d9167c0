"""TLS in trio: both ends proven before anything is said, and no stranger has the loop for long."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from contextlib import suppress

import pytest
import trio
import trio.testing
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from OpenSSL import SSL, crypto

from p2phub import limits
from p2phub.errors import PeerError, PeerGone, ProtocolViolation, WrongPeer
from p2phub.identity import Address, PeerId
from p2phub.net import tls
from p2phub.net.bytestream import read_frame
from p2phub.net.control import ControlConnection, serve_control
from p2phub.net.credential import make_credential
from p2phub.net.tls_line import wait_readable
from p2phub.wire import ControlAnswer, ControlRequest, Ping, Pong, encode
from tests.support.covers import covers
from tests.support.tls_pair import ANN, BOB, EVE, HERE, beside_a_stranger, connected, pair
from tests.support.turns import turns_of_others


async def test_both_ends_know_each_other() -> None:
    async with connected() as (bob, ann):
        assert (bob.peer, ann.peer) == (ANN.peer_id, BOB.peer_id)
        await bob.write(b"hello")
        assert await ann.read(100) == b"hello"
        await ann.aclose()
        assert await bob.read(100) == b""


@covers("T37")
async def test_a_reader_that_has_to_wait_for_what_a_writer_waits_for_ends_that_connection_alone() -> None:
    # Who renews its keys and takes nothing makes a reader wait until it can write, perhaps beside a writer.
    near, far = pair()
    with near, far, trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait_readable, near)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(PeerGone):
                await wait_readable(near)
            nursery.cancel_scope.cancel()


async def test_no_connection_resumes_an_earlier_one() -> None:
    server, client = tls.make_context(make_credential(ANN)), tls.make_context(make_credential(BOB))
    for _ in range(2):
        near, far = pair()
        with near, far, trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(tls.accept, server, far, HERE)
                bob = await tls.connect(client, near, HERE, ANN.peer_id)
            assert bob._ssl.get_protocol_version_name() == "TLSv1.3"
            assert not tls._LIB.SSL_session_reused(bob._ssl._ssl)


@covers("T05")
async def test_another_peer_than_meant_is_refused_by_who_dials() -> None:
    near, far = pair()
    with near, far, trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tls.accept, tls.make_context(make_credential(EVE)), far, HERE)
            with pytest.raises(WrongPeer) as caught:
                await tls.connect(tls.make_context(make_credential(BOB)), near, HERE, ANN.peer_id)
            assert str(EVE.peer_id) in caught.value.message


def anonymous() -> SSL.Context:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_alpn_protos([tls.ALPN])
    return context


def old_version() -> SSL.Context:
    context = tls.make_context(make_credential(BOB))
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    return context


def other_protocol() -> SSL.Context:
    context = tls.make_context(make_credential(BOB))
    context.set_alpn_protos([b"h2"])
    return context


def no_protocol() -> SSL.Context:
    context = SSL.Context(SSL.TLS_METHOD)
    credential = make_credential(BOB)
    context.use_certificate(x509.load_der_x509_certificate(credential.certificate))
    context.use_privatekey(serialization.load_der_private_key(credential.leaf_key, None))  # type: ignore[arg-type]
    return context


UNPROVEN = [anonymous, old_version, other_protocol, no_protocol]


@pytest.mark.parametrize("context", UNPROVEN, ids=lambda make: make.__name__)
async def test_a_client_that_does_not_prove_itself_is_refused_by_who_serves(context: Callable[[], SSL.Context]) -> None:
    near, far = pair()

    async def dial() -> None:
        connection = SSL.Connection(context(), near)
        connection.set_connect_state()
        while True:
            try:
                connection.do_handshake()
                connection.send(b"a request that nobody may read")
                return
            except SSL.WantReadError:
                await trio.lowlevel.wait_readable(near.fileno())
            except SSL.Error:
                return

    with near, far, trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(dial)
            with pytest.raises((WrongPeer, PeerGone)):
                await tls.accept(tls.make_context(make_credential(ANN)), far, HERE)
            far.close()


def odd(how: str) -> SSL.Context:
    """A context whose certificate OpenSSL takes, and the parser of certificates does not."""
    credential = make_credential(BOB)
    der = credential.certificate
    if how == "of a version that there is not":
        der = der.replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020105"), 1)
    else:
        at = der.index(b"\x17\x0d") + 2
        der = der[:at] + b"991399999999Z" + der[at + 13 :]
    context = tls.make_context(credential)
    context.use_certificate(crypto.load_certificate(crypto.FILETYPE_ASN1, der))
    context.use_privatekey(serialization.load_der_private_key(credential.leaf_key, None))  # type: ignore[arg-type]
    return context


@covers("T19", "T37")
@pytest.mark.parametrize("how", ["of a version that there is not", "of a month that there is not"])
@pytest.mark.parametrize("odd_one", ["dials", "is dialled"])
async def test_a_certificate_that_openssl_takes_and_we_cannot_read_is_the_wrong_peer(how: str, odd_one: str) -> None:
    ours, theirs = tls.make_context(make_credential(ANN)), odd(how)
    near, far = pair()

    async def dial(context: SSL.Context, expected: PeerId) -> object:
        return await tls.connect(context, near, HERE, expected)

    async def serve(context: SSL.Context, _: PeerId) -> object:
        return await tls.accept(context, far, HERE)

    other, judge = (dial, serve) if odd_one == "dials" else (serve, dial)

    async def show() -> None:
        with suppress(PeerError):
            await other(theirs, ANN.peer_id)

    with near, far, trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(show)
            with pytest.raises(WrongPeer, match="not a certificate of this protocol"):
                await judge(ours, BOB.peer_id)


@covers("T36")
@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + bytes(1000), b"\x16" * 100, b""])
async def test_garbage_in_place_of_a_handshake_is_refused(data: bytes) -> None:
    near, far = pair()
    with near, far:
        near.send(data)
        near.close()
        with trio.fail_after(10), pytest.raises(PeerGone):
            await tls.accept(tls.make_context(make_credential(ANN)), far, HERE)


# --- a stranger who holds its records small, or sends what is nothing for us -----------------------------------------


@covers("T37")
@pytest.mark.parametrize("dials", [True, False], ids=["it dialled", "we dialled"])
async def test_between_key_updates_others_have_their_turn(dials: bool) -> None:
    async with beside_a_stranger(dials=dials) as (ann, stranger, sock):
        sock.sendall(stranger.key_updates(20, asks=True) + stranger.record(b"hello"))

        async with turns_of_others() as turns:
            assert await ann.read(100) == b"hello"
        assert turns() >= 15  # One between any two, but for where the count begins and ends.
        await ann.write(b"with keys that were renewed twenty times")


@covers("T37")
@pytest.mark.parametrize("dials", [True, False], ids=["it dialled", "we dialled"])
async def test_who_goes_on_renewing_its_keys_is_refused(dials: bool) -> None:
    async with beside_a_stranger(dials=dials) as (ann, stranger, sock):
        sock.sendall(stranger.key_updates(2 * limits.TLS_SILENT_RECORDS_MAX))
        with pytest.raises(ProtocolViolation, match="record-crumbs"):
            await ann.read(100)


@covers("T37")
async def test_key_updates_between_bytes_are_refused_too() -> None:
    async with beside_a_stranger(dials=True) as (ann, stranger, sock):
        for _ in range(limits.TLS_SILENT_RECORDS_MAX):
            sock.sendall(stranger.key_updates(1) + stranger.record(b"x"))
            assert await ann.read(100) == b"x"
        sock.sendall(stranger.key_updates(1) + stranger.record(b"x"))
        with pytest.raises(ProtocolViolation):
            await ann.read(100)


@covers("T37")
async def test_between_records_others_have_their_turn() -> None:
    async with beside_a_stranger(dials=True) as (ann, stranger, sock):
        sock.sendall(stranger.crumbs(bytes(100)))

        async with turns_of_others() as turns:
            for _ in range(100):
                assert await ann.read(1000) == b"\0"
        assert turns() >= 95


@covers("T37")
async def test_a_first_frame_in_crumbs_is_refused_and_one_in_pieces_is_not() -> None:
    async with beside_a_stranger(dials=True) as (ann, stranger, sock):
        sock.sendall(stranger.record(b"\0\0\x20\0") + stranger.record(bytes(4096)) + stranger.record(bytes(4096)))
        assert await read_frame(ann) == bytes(8192)
        sock.sendall(stranger.crumbs(b"\0\0\x20\0" + bytes(100)))
        with pytest.raises(ProtocolViolation, match="record-crumbs"):
            await read_frame(ann)


@covers("T37")
async def test_an_answer_in_crumbs_is_refused() -> None:
    async with beside_a_stranger(dials=False) as (ann, stranger, sock):
        control = ControlConnection(ann)
        assert sock.sendall(stranger.record(encode(Pong()))) is None
        assert await control.ask(Ping()) == Pong()
        sock.sendall(stranger.crumbs(encode(Pong())))
        with pytest.raises(ProtocolViolation, match="record-crumbs"):
            await control.ask(Ping())


@covers("T37")
async def test_questions_in_crumbs_are_refused_and_many_short_ones_are_not() -> None:
    async with beside_a_stranger(dials=True) as (ann, stranger, sock):
        asked = 0

        async def answer(peer: PeerId, where: Address, request: ControlRequest) -> ControlAnswer:
            nonlocal asked
            asked += 1
            return Pong()

        sock.sendall(b"".join(stranger.record(encode(Ping())) for _ in range(10)) + stranger.crumbs(encode(Ping())))
        with pytest.raises(ProtocolViolation, match="record-crumbs"):
            await serve_control(ann, Ping(), answer)
        assert asked == 11


@covers("T36", "T37")
async def test_a_handshake_in_crumbs_is_refused_before_it_is_whole() -> None:
    near, far = pair()
    with near, far, trio.fail_after(10):
        far.sendall(b"".join(b"\x16\x03\x01\0\1" + bytes([byte]) for byte in b"\1\0\xff\xff" + bytes(1000)))

        async with turns_of_others() as turns:
            with pytest.raises(ProtocolViolation, match="record-crumbs"):
                await tls.accept(tls.make_context(make_credential(ANN)), near, HERE)
        assert turns() >= limits.TLS_HANDSHAKE_RECORDS_MAX - 5


def other_key(kind: str) -> SSL.Context:
    """A context with a certificate of another kind of key, else as ours."""
    leaf = rsa.generate_private_key(65537, 2048) if kind == "RSA" else ec.generate_private_key(ec.SECP521R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    built = x509.CertificateBuilder(name, name, leaf.public_key(), 1, now - day, now + day).sign(leaf, hashes.SHA256())
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_alpn_protos([tls.ALPN])
    context.set_alpn_select_callback(lambda connection, offered: tls.ALPN)
    context.use_certificate(built)
    context.use_privatekey(leaf)
    return context


@covers("T36", "T37")
@pytest.mark.parametrize("kind", ["RSA", "P-521"])
async def test_openssl_does_not_work_on_keys_of_another_kind(kind: str) -> None:
    assert tls.can_choose_signatures(SSL.Context(SSL.TLS_METHOD)), "the pinned pyOpenSSL has the names that are called"
    near, far = pair()

    async def dial() -> None:
        with suppress(PeerError):
            await tls.connect(other_key(kind), near, HERE, ANN.peer_id)

    with near, far, trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(dial)
            with pytest.raises(PeerGone, match="handshake failed"):
                await tls.accept(tls.make_context(make_credential(ANN)), far, HERE)
