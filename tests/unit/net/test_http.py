"""An HTTP connection to a checked address: whose name the certificate must have, and what the server is told."""

from __future__ import annotations

import datetime
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import trio
import trio.testing
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from p2phub.errors import PeerGone
from p2phub.identity import Address, parse_web_url
from p2phub.net.http import HttpConnection, connect
from tests.support.covers import covers
from tests.support.turns import turns_of_others

HOST = "models.example.org"


def certificate(folder: Path, host: str) -> Path:
    """Make a certificate for `host` that signs itself; return the file with it and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "p2phub test")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    place = folder / f"{host}.pem"
    encoding = serialization.Encoding.PEM
    place.write_bytes(
        built.public_bytes(encoding)
        + key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return place


@dataclass
class Told:
    """What a server was told."""

    port: int = 0
    names: list[str | None] = field(default_factory=list)  # By SNI.
    hosts: list[str] = field(default_factory=list)  # By the Host header.
    encodings: list[str] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, told: Told, *args: object) -> None:
        self.told = told
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self.told.hosts.append(self.headers["Host"])
        self.told.encodings.append(self.headers["Accept-Encoding"])
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Server(HTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that would not take the certificate."""


@contextmanager
def encrypted(pem: Path) -> Iterator[Told]:
    told = Told()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    context.sni_callback = lambda _socket, name, _context: told.names.append(name)
    with _Server(("127.0.0.1", 0), partial(_Handler, told)) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        told.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield told
        finally:
            server.shutdown()
            thread.join()


async def get(told: Told, host: str, trusted: Path | None) -> None:
    url = parse_web_url(f"https://{host}:{told.port}/x")
    with trio.fail_after(20):
        connection = await connect(
            url, Address("127.0.0.1", told.port), lambda: ssl.create_default_context(cafile=trusted)
        )
        try:
            assert (await connection.ask(url)).status_code == 200
            assert await connection.next_piece() == b"ok"
            assert await connection.next_piece() is None
        finally:
            await connection.aclose()


@covers("T42")
async def test_the_address_is_dialled_and_the_name_is_told_and_proven(tmp_path: Path) -> None:
    pem = certificate(tmp_path, HOST)
    with encrypted(pem) as told:
        await get(told, HOST, pem)
    assert told.names == [HOST]
    assert told.hosts == [f"{HOST}:{told.port}"]
    assert told.encodings == ["identity"]


@pytest.mark.parametrize("why", ["another name", "nobody vouches for it"])
async def test_a_server_that_cannot_prove_the_name_is_told_nothing(tmp_path: Path, why: str) -> None:
    pem = certificate(tmp_path, HOST)
    host, trusted = ("other.example.org", pem) if why == "another name" else (HOST, None)
    with encrypted(pem) as told, pytest.raises(PeerGone, match="certificate"):
        await get(told, host, trusted)
    assert told.hosts == []


async def test_a_server_that_does_not_speak_tls_is_gone(tmp_path: Path) -> None:
    with _Server(("127.0.0.1", 0), partial(_Handler, Told())) as server:
        thread = threading.Thread(target=server.handle_request, daemon=True)
        thread.start()
        with pytest.raises(PeerGone):
            await get(Told(server.server_address[1]), HOST, None)
        thread.join()


async def answered_with(data: bytes) -> HttpConnection:
    """A connection on which all of `data` is there at once."""
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.send_all(data)
    return HttpConnection(ours, Address("127.0.0.1", 80))


@covers("T15")
async def test_a_server_that_only_says_wait_is_left() -> None:
    connection = await answered_with(b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000)
    with pytest.raises(PeerGone, match="without end"):
        await connection.ask(URL)


@covers("T15")
async def test_a_body_in_crumbs_lets_others_have_their_turn() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    connection = await answered_with(head + b"1\r\nx\r\n" * 1000 + b"0\r\n\r\n")
    async with turns_of_others() as turns:
        await connection.ask(URL)
        before, pieces = turns(), 0
        while await connection.next_piece() is not None:
            pieces += 1
    assert pieces == 1000
    assert turns() - before >= pieces - 1


@covers("T15")
async def test_a_head_is_bounded_also_where_all_of_it_is_there_at_once() -> None:
    """Taken apart it would cost a second of everybody's time."""
    connection = await answered_with(b"HTTP/1.1 200 OK\r\n" + b"a:\r\n" * 200_000 + b"\r\n")
    with pytest.raises(PeerGone):
        await connection.ask(URL)


URL = parse_web_url("http://127.0.0.1/x")


async def body_of(connection: HttpConnection) -> bytes:
    pieces = []
    while (piece := await connection.next_piece()) is not None:
        pieces.append(bytes(piece))
    return b"".join(pieces)


@pytest.mark.parametrize("said", [b"", b"Connection: keep-alive\r\n"])
async def test_after_a_body_of_a_known_length_another_answer_follows_on_the_same_connection(said: bytes) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    connection = HttpConnection(ours, Address("127.0.0.1", 80))
    for content in (b"x" * 3_000_000, b"", b"last"):
        head = b"HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n" % (said, len(content))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(theirs.send_all, head + content)
            assert (await connection.ask(URL)).status_code == 200
            assert await body_of(connection) == content
        assert connection.next_cycle()


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 4\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\n",
    ],
)
async def test_a_connection_that_its_server_is_done_with_is_not_used_again(head: bytes) -> None:
    connection = await answered_with(head + b"body")
    await connection.ask(URL)
    assert await body_of(connection) == b"body"
    assert not connection.next_cycle()


async def test_a_connection_whose_body_was_not_read_to_its_end_is_not_used_again() -> None:
    connection = await answered_with(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nbody")
    await connection.ask(URL)
    assert await connection.next_piece() == b"body"
    assert not connection.next_cycle()


async def test_of_a_body_no_more_is_read_than_its_head_says() -> None:
    connection = await answered_with(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody and more")
    await connection.ask(URL)
    assert await body_of(connection) == b"body"
    assert not connection.next_cycle()  # It sends what nobody asked for.


@covers("T15")
@pytest.mark.parametrize("length", [b"9" * 5000, b"4, 5", b"-1", b"x", b"+4"])
async def test_a_length_that_is_none_is_the_servers_fault(length: bytes) -> None:
    connection = await answered_with(b"HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\nbody" % length)

    async def take() -> None:
        await connection.ask(URL)
        await body_of(connection)

    with pytest.raises(PeerGone):
        await take()
