"""HTTP over real sockets of loopback: what clients, slow ones, broken ones and hostile ones get of the gateway."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import h11
import pytest
import trio
import trio.testing

from p2phub import limits
from p2phub.errors import NoProvider
from p2phub.gateway.app import App
from p2phub.http.exchange import Exchange
from p2phub.http.front import Front
from p2phub.http.guard import Door
from p2phub.http.server import Server
from tests.support.covers import covers
from tests.support.memory_exchange import TOKEN
from tests.support.memory_shelf import MemoryShelf

BIG = os.urandom(20 << 20)
FILE = "/acme/m/resolve/main/big.safetensors"


class Scene:
    def __init__(self, port: int, shelf: MemoryShelf) -> None:
        self.port = port
        self.shelf = shelf

    async def connect(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.port)

    def request(self, method: str, target: str, *more: str, host: str | None = None) -> bytes:
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host or f'127.0.0.1:{self.port}'}", *more]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    async def get(self, target: str, *more: str, method: str = "GET") -> tuple[int, bytes]:
        async with await self.connect() as stream:
            return await answer_to(stream, self.request(method, target, *more), method)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    shelf = MemoryShelf()
    shelf.add("acme/m", {"big.safetensors": BIG, "small.txt": b"small", "empty": b""})
    async with serving(shelf) as scene:
        yield scene


@asynccontextmanager
async def serving(shelf: MemoryShelf, *, user: int | None = None) -> AsyncIterator[Scene]:
    """`user`: whose gateway it is; None: of who asks."""
    user = os.geteuid() if user is None else user
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            Server(Front(Door("127.0.0.1", port, TOKEN, user), {"": App(shelf)}).handle).serve, listeners
        )
        yield Scene(port, shelf)
        nursery.cancel_scope.cancel()


async def answer_to(stream: trio.SocketStream, request: bytes, method: str = "GET") -> tuple[int, bytes]:
    """Send a request and return the status and body of its answer; the connection stays."""
    await stream.send_all(request)
    return (await answers_on(stream, [method]))[0]


async def answers_on(stream: trio.SocketStream, methods: list[str]) -> list[tuple[int, bytes]]:
    """Read as many answers as there were requests, by their heads alone: what is behind the last must not be there."""
    data = bytearray()
    found = []
    for method in methods:
        while b"\r\n\r\n" not in data:
            received = await stream.receive_some(1 << 20)
            assert received, f"the connection ended: {bytes(data)[:200]!r}"
            data += received
        head, _, rest = bytes(data).partition(b"\r\n\r\n")
        machine = h11.Connection(h11.CLIENT)
        machine.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
        machine.send(h11.EndOfMessage())
        machine.receive_data(head + b"\r\n\r\n")
        event = machine.next_event()
        assert isinstance(event, h11.Response)
        length = 0 if method == "HEAD" else int(dict(event.headers)[b"content-length"])
        data = bytearray(rest)
        while len(data) < length:
            received = await stream.receive_some(1 << 20)
            assert received, "the body ended early"
            data += received
        found.append((event.status_code, bytes(data[:length])))
        del data[:length]
    assert not data
    return found


async def to_the_end(stream: trio.SocketStream) -> bytes:
    """Read up to the FIN. A reset is an error."""
    data = bytearray()
    while received := await stream.receive_some(1 << 20):
        data += received
    return bytes(data)


async def test_one_connection_carries_head_get_error_and_range_in_turn(scene: Scene) -> None:
    async with await scene.connect() as stream:
        assert await answer_to(stream, scene.request("HEAD", FILE), "HEAD") == (200, b"")
        assert await answer_to(stream, scene.request("GET", FILE)) == (200, BIG)
        assert (await answer_to(stream, scene.request("GET", FILE + "x")))[0] == 404
        assert await answer_to(stream, scene.request("GET", FILE, "Range: bytes=7-9")) == (206, BIG[7:10])
        assert (await answer_to(stream, scene.request("GET", FILE, "Range: bytes=99999999-")))[0] == 416
        assert await answer_to(stream, scene.request("GET", "/acme/m/resolve/main/empty")) == (200, b"")
        form = "Content-Type: application/x-www-form-urlencoded"
        asked = scene.request("POST", "/api/models/acme/m/paths-info/main", form, "Content-Length: 11") + b"paths=empty"
        assert (await answer_to(stream, asked))[0] == 200
        assert await answer_to(stream, scene.request("GET", "/acme/m/resolve/main/small.txt")) == (200, b"small")


async def test_a_head_that_says_no_length_ends_and_the_next_request_is_answered(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "GATEWAY_SIZE_TOLD_MAX", 0)
    async with await scene.connect() as stream:
        assert await answer_to(stream, scene.request("HEAD", FILE), "HEAD") == (200, b"")
        assert await answer_to(stream, scene.request("GET", FILE)) == (200, BIG)


async def test_requests_sent_ahead_are_answered_in_their_order(scene: Scene) -> None:
    small, nothing = "/acme/m/resolve/main/small.txt", "/acme/m/resolve/main/nothing"
    async with await scene.connect() as stream:
        await stream.send_all(b"".join(scene.request("GET", each) for each in (small, nothing, FILE, small)))
        answers = await answers_on(stream, ["GET"] * 4)
        assert [status for status, _ in answers] == [200, 404, 200, 200]
        assert answers[2][1] == BIG


async def test_a_client_that_goes_between_two_requests_is_let_go_of_at_once(scene: Scene) -> None:
    for target in ("/api/whoami-v2", "/acme/m/resolve/main/small.txt", FILE):
        async with await scene.connect() as stream:
            await answer_to(stream, scene.request("GET", target))
            await stream.send_eof()
            with trio.fail_after(limits.GATEWAY_IDLE_S / 2):
                assert await stream.receive_some(1) == b""


async def test_what_is_fetched_while_it_is_sent_is_the_same(scene: Scene) -> None:
    scene.shelf.standing = False
    assert await scene.get(FILE) == (200, BIG)
    assert await scene.get(FILE, "Range: bytes=100-99999") == (206, BIG[100:100000])


async def test_every_split_of_a_request_is_the_same_request(scene: Scene) -> None:
    request = scene.request("GET", "/acme/m/resolve/main/small.txt")
    for split in range(1, len(request), 7):
        async with await scene.connect() as stream:
            await stream.send_all(request[:split])
            await trio.testing.wait_all_tasks_blocked()
            assert await answer_to(stream, request[split:]) == (200, b"small")


async def test_a_client_that_says_its_last_first_is_answered(scene: Scene) -> None:
    async with await scene.connect() as stream:
        await stream.send_all(scene.request("GET", FILE))
        await stream.send_eof()
        assert (await to_the_end(stream)).endswith(BIG)


async def test_an_old_client_is_answered_and_its_connection_ended(scene: Scene) -> None:
    async with await scene.connect() as stream:
        host = f"127.0.0.1:{scene.port}"
        await stream.send_all(f"GET /acme/m/resolve/main/small.txt HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        assert (await to_the_end(stream)).endswith(b"\r\n\r\nsmall")


# --- an answer that cannot go on --------------------------------------------------------------------------------------


@pytest.mark.parametrize("ahead", [0, 600])
async def test_an_answer_that_cannot_go_on_ends_with_a_fin_and_never_a_reset(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    monkeypatch.setattr(limits, "GATEWAY_GOODBYE_S", 1000.0)  # The FIN does not wait for the client.
    scene.shelf.standing, scene.shelf.fails_after, scene.shelf.failure = False, 5 << 20, NoProvider("all are gone")
    async with await scene.connect() as stream:
        # What was sent ahead and is never read would make the system reset the connection.
        await stream.send_all(scene.request("GET", FILE) * (1 + ahead))
        with trio.fail_after(60):
            data = await to_the_end(stream)
        head, _, body = data.partition(b"\r\n\r\n")
        assert f"Content-Length: {len(BIG)}".encode() in head
        assert body == BIG[: 5 << 20]
    scene.shelf.fails_after = None
    assert await scene.get(FILE, f"Range: bytes={5 << 20}-") == (206, BIG[5 << 20 :])


async def test_what_was_sent_before_the_end_is_had_by_a_client_that_reads_late(scene: Scene) -> None:
    scene.shelf.standing, scene.shelf.fails_after, scene.shelf.failure = False, 1 << 18, NoProvider("all are gone")
    connection = trio.socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # Most of the answer waits at the gateway's end.
    await connection.connect(("127.0.0.1", scene.port))
    async with trio.SocketStream(connection) as stream:
        await stream.send_all(scene.request("GET", FILE) * 600)
        await trio.testing.wait_all_tasks_blocked(0.01)
        _, _, body = (await to_the_end(stream)).partition(b"\r\n\r\n")
        assert body == BIG[: 1 << 18]


async def test_a_file_that_changes_while_it_is_sent_ends_with_a_fin(scene: Scene) -> None:
    scene.shelf.changes_after = 1
    async with await scene.connect() as stream:
        await stream.send_all(scene.request("GET", FILE))
        _, _, body = (await to_the_end(stream)).partition(b"\r\n\r\n")
        assert len(body) < len(BIG)


async def test_no_byte_of_an_edit_reaches_a_client_that_asks_for_the_rest_later(scene: Scene) -> None:
    """What was cut short is resumed behind what came, and nobody looks at that again."""
    async with await scene.connect() as stream:
        await stream.send_all(scene.request("GET", FILE))
        data = bytes(await stream.receive_some(1000))
        await trio.testing.wait_all_tasks_blocked(0.01)  # The socket is full, and the rest is to be sent.
        scene.shelf.edit_open_files()
        _, _, body = (data + await to_the_end(stream)).partition(b"\r\n\r\n")
        assert len(body) < len(BIG)
        assert body == BIG[: len(body)]


async def test_clients_that_vanish_leave_nothing(scene: Scene) -> None:
    async def vanish(standing: bool) -> None:
        scene.shelf.standing = standing
        stream = await scene.connect()
        await stream.send_all(scene.request("GET", FILE))
        assert await stream.receive_some(100)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # A reset, as of one killed.
        await stream.aclose()

    await scene.get(FILE)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        await vanish(standing=True)
        await vanish(standing=False)
    assert (await scene.get("/acme/m/resolve/main/small.txt"))[0] == 200
    await scene.shelf.until_closed()
    assert scene.shelf.reads == 0
    with trio.fail_after(30):
        while len(os.listdir("/proc/self/fd")) > before:
            await trio.testing.wait_all_tasks_blocked()


@covers("T45")
async def test_another_user_of_this_machine_gets_nothing_without_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2phub.http.connection.user_at", lambda ours, theirs: 4711)
    shelf = MemoryShelf()
    shelf.add("acme/m", {"small.txt": b"small"})
    async with serving(shelf) as scene:
        for target in ("/acme/m/resolve/main/small.txt", "/api/models", "/acme/none/resolve/main/small.txt"):
            assert (await scene.get(target))[0] == 401
        wanted = ("/acme/m/resolve/main/small.txt", f"Authorization: Bearer {TOKEN}")
        assert await scene.get(*wanted) == (200, b"small")


# --- many and slow ones -----------------------------------------------------------------------------------------------


@covers("T36")
@pytest.mark.parametrize("standing", [True, False])
async def test_clients_that_do_not_read_hold_up_nobody(scene: Scene, standing: bool) -> None:
    scene.shelf.standing = standing
    idlers = [await scene.connect() for _ in range(30)]
    for stream in idlers:
        await stream.send_all(scene.request("GET", FILE))
        assert await stream.receive_some(100)
    assert await scene.get(FILE) == (200, BIG)
    assert (await answers_rest(idlers[0])).endswith(BIG[-1000:])
    for stream in idlers:
        await trio.aclose_forcefully(stream)


async def answers_rest(stream: trio.SocketStream) -> bytes:
    """Read what is left of an answer with BIG, as far as its length says."""
    data = bytearray()
    while len(data) < len(BIG) - 100:
        data += await stream.receive_some(1 << 20)
    while BIG[-1000:] not in data:
        data += await stream.receive_some(1 << 20)
    return bytes(data)


@covers("T36")
async def test_a_client_that_takes_nothing_is_cut_off(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "GATEWAY_UNREAD_S", 0.1)
    for scene.shelf.standing in (True, False):
        async with await scene.connect() as stream:
            await stream.send_all(scene.request("GET", FILE))
            assert await stream.receive_some(1)
            await scene.shelf.until_closed()
            assert len(await to_the_end(stream)) < len(BIG)


@covers("T36")
@pytest.mark.parametrize("part", [b"", b"G", b"GET /api/models HTTP/1.1\r\nHost: 127.0.0.1:1\r\nX: "])
async def test_a_request_that_does_not_come_is_not_waited_for(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, part: bytes
) -> None:
    monkeypatch.setattr(limits, "GATEWAY_HEAD_S", 0.05)
    monkeypatch.setattr(limits, "GATEWAY_IDLE_S", 0.05)
    async with await scene.connect() as stream:
        if part:
            await stream.send_all(part)
        with trio.fail_after(30):
            said = await to_the_end(stream)
        assert said.startswith(b"HTTP/1.1 408 ") if part else said == b""


@covers("T36")
async def test_a_request_in_crumbs_does_not_last_for_ever(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "GATEWAY_HEAD_S", 0.2)
    async with await scene.connect() as stream, trio.open_nursery() as nursery:

        async def drip() -> None:
            try:
                for letter in scene.request("GET", FILE, "X-Long: " + "x" * 10_000):
                    await stream.send_all(bytes([letter]))
                    await trio.testing.wait_all_tasks_blocked()
            except trio.BrokenResourceError:
                pass

        nursery.start_soon(drip)
        with trio.fail_after(30):
            assert (await to_the_end(stream)).startswith(b"HTTP/1.1 408 ")
        nursery.cancel_scope.cancel()


@covers("T36")
@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10_000 + b"\r\n", 431),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n", 403),
    ],
)
async def test_what_is_no_request_is_refused_and_the_next_one_answered(scene: Scene, data: bytes, status: int) -> None:
    async with await scene.connect() as stream:
        await stream.send_all(data)
        await stream.send_eof()
        assert (await to_the_end(stream)).startswith(b"HTTP/1.1 %d " % status)
    assert (await scene.get("/acme/m/resolve/main/small.txt"))[0] == 200


@covers("T36")
async def test_when_there_are_too_many_who_waits_longest_gives_way(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "GATEWAY_CONNECTIONS_MAX", 3)
    small = scene.request("GET", "/acme/m/resolve/main/small.txt")
    streams = []
    for _ in range(3):
        streams.append(await scene.connect())
        assert await answer_to(streams[-1], small) == (200, b"small")
        await trio.testing.wait_all_tasks_blocked(0.1)  # Until the server waits for its next request.
    await answer_to(streams[0], small)  # So it is not the one that waits longest.
    await trio.testing.wait_all_tasks_blocked(0.1)
    assert (await scene.get("/acme/m/resolve/main/small.txt"))[0] == 200
    assert await to_the_end(streams[1]) == b""
    assert await answer_to(streams[0], small) == (200, b"small")
    for stream in streams:
        await trio.aclose_forcefully(stream)


@covers("T36")
async def test_when_all_are_at_work_the_newcomer_is_told_to_come_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "GATEWAY_CONNECTIONS_MAX", 2)
    busy = [await scene.connect() for _ in range(2)]
    for stream in busy:
        await stream.send_all(scene.request("GET", FILE))
        assert await stream.receive_some(1)
    async with await scene.connect() as stream:
        assert (await to_the_end(stream)).startswith(b"HTTP/1.1 503 ")
    for stream in busy:
        await trio.aclose_forcefully(stream)


@covers("T36")
async def test_where_all_are_at_work_one_that_takes_nothing_for_long_gives_way(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "GATEWAY_CONNECTIONS_MAX", 2)
    stuck = [await scene.connect() for _ in range(2)]
    for stream in stuck:
        await stream.send_all(scene.request("GET", FILE, "Connection: close"))  # Else it is kept for the next request.
        assert await stream.receive_some(1)
    await trio.testing.wait_all_tasks_blocked(0.3)  # A thread stays with each for a moment.
    monkeypatch.setattr(limits, "GATEWAY_STUCK_S", 0.0)
    assert await scene.get("/acme/m/resolve/main/small.txt") == (200, b"small")
    try:
        ends = [await to_the_end(stream) for stream in stuck]
    finally:
        for stream in stuck:
            await trio.aclose_forcefully(stream)
    assert sorted(len(end) < len(BIG) for end in ends) == [False, True]


@covers("T36")
async def test_a_flood_holds_no_more_sockets_than_connections_and_goodbyes(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "GATEWAY_CONNECTIONS_MAX", 3)
    monkeypatch.setattr(limits, "GATEWAY_ENDING_MAX", 2)
    monkeypatch.setattr(limits, "GATEWAY_GOODBYE_S", 1000.0)
    before = len(os.listdir("/proc/self/fd"))
    streams = [await scene.connect() for _ in range(60)]  # None of them says its last.
    with trio.fail_after(30):
        while len(os.listdir("/proc/self/fd")) - before - len(streams) > 5:
            await trio.testing.wait_all_tasks_blocked(0.01)
    for stream in streams:
        await trio.aclose_forcefully(stream)
    assert (await scene.get("/acme/m/resolve/main/small.txt"))[0] == 200


# --- bodies of requests -----------------------------------------------------------------------------------------------

PATHS_INFO = "/api/models/acme/m/paths-info/main"
JSON = "Content-Type: application/json"


async def test_a_body_in_chunks_and_one_that_waits_for_a_word_are_read(scene: Scene) -> None:
    async with await scene.connect() as stream:
        chunked = scene.request("POST", PATHS_INFO, JSON, "Transfer-Encoding: chunked")
        assert (await answer_to(stream, chunked + b'b\r\n{"paths":["\r\n7\r\nempty"]\r\n1\r\n}\r\n0\r\n\r\n'))[0] == 200
        await stream.send_all(scene.request("POST", PATHS_INFO, JSON, "Expect: 100-continue", "Content-Length: 17"))
        assert (await stream.receive_some(1000)).startswith(b"HTTP/1.1 100 ")
        assert (await answer_to(stream, b'{"paths":["nope"]}'[:17]))[0] in (200, 400)


async def test_a_body_that_is_too_long_is_refused_before_it_has_come(scene: Scene) -> None:
    async with await scene.connect() as stream:
        length = f"Content-Length: {1 << 40}"
        await stream.send_all(
            scene.request("POST", PATHS_INFO, JSON, length) + b"x" * (limits.GATEWAY_BODY_BYTES_MAX + 1)
        )
        assert (await to_the_end(stream)).startswith(b"HTTP/1.1 413 ")


async def test_a_body_that_nobody_wants_ends_the_connection_and_is_no_next_request(scene: Scene) -> None:
    inner = scene.request("GET", FILE)
    async with await scene.connect() as stream:
        await stream.send_all(scene.request("POST", "/api/repos/create", f"Content-Length: {len(inner) + 1}") + inner)
        said = await to_the_end(stream)
        assert said.startswith(b"HTTP/1.1 403 ")
        assert said.count(b"HTTP/1.1") == 1


async def test_where_a_body_that_nobody_reads_is_still_on_its_way_the_answer_says_that_the_connection_ends(
    scene: Scene,
) -> None:
    """Many clients send head and body in two writes, and the next request wherever the answer lets them."""
    head = scene.request("POST", "/api/models/acme/m", "Content-Length: 2")
    async with await scene.connect() as stream:
        await stream.send_all(head)
        assert b"connection: close" in (await to_the_end(stream)).lower()
    async with await scene.connect() as stream:
        assert (await answer_to(stream, head + b"{}", "POST"))[0] == 405
        assert await answer_to(stream, scene.request("GET", "/acme/m/resolve/main/small.txt")) == (200, b"small")


async def test_a_body_that_does_not_come_is_not_waited_for(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "GATEWAY_BODY_S", 0.05)
    async with await scene.connect() as stream:
        await stream.send_all(scene.request("POST", PATHS_INFO, JSON, "Content-Length: 100") + b"{")
        assert (await to_the_end(stream)).startswith(b"HTTP/1.1 408 ")


async def test_a_bug_in_one_answer_is_a_500_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    async def handle(exchange: Exchange) -> None:
        if exchange.request.target == "/late":
            await exchange.begin(200, [], length=10)
            await exchange.send(b"12345")
        if exchange.request.target != "/fine":
            raise ZeroDivisionError
        await exchange.answer(200, [], b"fine")

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Server(handle).serve, listeners)
        scene = Scene(listeners[0].socket.getsockname()[1], MemoryShelf())
        assert (await scene.get("/early"))[0] == 500
        async with await scene.connect() as stream:
            await stream.send_all(scene.request("GET", "/late"))
            assert (await to_the_end(stream)).endswith(b"\r\n\r\n12345")
        assert await scene.get("/fine") == (200, b"fine")
        nursery.cancel_scope.cancel()
    assert "ZeroDivisionError" in caplog.text


@covers("T48")
async def test_a_token_is_in_no_log(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    scene.shelf.unreachable = NoProvider("nobody")
    await scene.get(FILE, "Authorization: Bearer hf_secret")
    await scene.get("/api/whoami-v2", "Authorization: Bearer hf_secret")
    async with await scene.connect() as stream:
        await stream.send_all(b"GET / HTTP/1.1\r\nAuthorization: Bearer hf_secret\r\nBroken\r\n\r\n")
        await to_the_end(stream)
    assert "cannot answer GET" in caplog.text
    assert "hf_secret" not in caplog.text
