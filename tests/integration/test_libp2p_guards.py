"""What a stranger, a dead peer or a cancelled caller may do to a libp2p host without harming it.

Each test names the library's fault that it guards against: when it passes without our guard, the guard can go.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing
from libp2p.crypto.secp256k1 import create_new_key_pair
from libp2p.network.connection.raw_connection import RawConnection
from multiaddr import Multiaddr

from p2phub import limits
from p2phub.content import digest_of
from p2phub.errors import PeerGone, ProtocolViolation, WrongPeer
from p2phub.identity import Address
from p2phub.net.libp2p_host import Host, open_host
from p2phub.net.libp2p_library import connect_tcp, dial_tcp, libp2p_id_of
from p2phub.net.libp2p_stream import Stream
from p2phub.net.listen import Listener
from tests.support.covers import covers
from tests.support.libp2p_nodes import dht_node, listening_host, providers_of, secret

ECHO = "/test/echo"
DIGEST = digest_of(b"a manifest")


async def echo(stream: Stream) -> None:
    while data := await stream.read(1000):
        await stream.write(data)
    await stream.close()


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[Host, Host, Listener]]:
    """A server that echoes, and a client."""
    async with listening_host("server") as (server, listener), open_host(secret("client")) as client:
        server.on_stream(ECHO, echo)
        yield server, client, listener


async def echoes(client: Host, server: Host, data: bytes = b"hello") -> bool:
    stream = await client.open_stream(server.peer_id, server.addresses, ECHO)
    await stream.write(data)
    answer = b""
    with trio.fail_after(10):
        while len(answer) < len(data):
            answer += await stream.read(len(data))
    await stream.close()
    return answer == data


async def first_byte(client: Host, server: Host, protocol: str) -> bytes:
    """Open a stream and read from it: it may be reset while it is being opened or afterwards."""
    stream = await client.open_stream(server.peer_id, server.addresses, protocol)
    return await stream.read(1, seconds=10)


async def is_reset(client: Host, server: Host, protocol: str) -> bool:
    """Whether the other end ends a stream: who leaves it as it is makes the reader give up as well, but late."""
    with pytest.raises(PeerGone) as gone:
        await first_byte(client, server, protocol)
    return "no answer in time" not in gone.value.message


@covers("F31")
async def test_an_exception_in_any_handler_ends_its_stream_alone() -> None:
    """Without: one exception that leaves a handler ends the process, or at least leaves its stream hanging."""

    async def broken(stream: Stream) -> None:
        raise RuntimeError("a bug of ours, or whatever a stranger's bytes did")

    async with pair() as (server, client, _):
        server.on_stream("/test/broken", broken)
        for _ in range(3):
            assert await is_reset(client, server, "/test/broken")
        assert await echoes(client, server)


@covers("F31")
async def test_a_handler_that_libp2p_itself_registers_is_guarded_too() -> None:
    """Without: one malformed gossip message ends the process."""

    async def as_pubsub_does(raw: Any) -> None:
        raise ValueError("Error parsing message")

    async with pair() as (server, client, _):
        server._host.set_stream_handler("/meshsub/1.1.0", as_pubsub_does)  # type: ignore[arg-type]
        for _ in range(3):
            assert await is_reset(client, server, "/meshsub/1.1.0")
        assert await echoes(client, server)


@covers("T27")
async def test_garbage_on_every_protocol_leaves_the_node_answering() -> None:
    async with dht_node("server") as server, open_host(secret("stranger")) as stranger:
        for protocol in server.host.protocols:
            for garbage in (b"", b"\x00", b"\xff" * 40, b"\x05\x08\x63\x12\x01", b"\xff\xff\xff\x7f" + b"x" * 100):
                stream = await stranger.open_stream(server.host.peer_id, server.host.addresses, protocol)
                await stream.write(garbage)
                await stream.close()
        async with dht_node("neighbour", [server.at]) as neighbour:
            assert await neighbour.dht.announce(DIGEST) == 1


@covers("F30")
async def test_a_call_cancelled_in_the_middle_of_a_frame_leaves_its_connection_usable() -> None:
    """Without: half a frame stays on the connection, which still looks connected, and nothing on it works any more."""
    async with pair() as (server, client, _):
        assert await echoes(client, server)
        (link,) = client._connections.to(server.peer_id)
        whole_write = link.stream.write
        scope = trio.CancelScope()

        async def cancelled_half_way(data: bytes) -> None:
            await whole_write(data[: len(data) // 2])
            scope.cancel()
            await trio.sleep(0)
            await whole_write(data[len(data) // 2 :])

        async def write() -> None:
            await stream.write(b"x" * 50_000)

        async def read() -> None:
            await stream.write(b"x")
            await stream.read(10)

        async def open_one() -> None:
            await client.open_stream(server.peer_id, server.addresses, ECHO)

        for call in (write, read, open_one):
            stream = await client.open_stream(server.peer_id, server.addresses, ECHO)
            scope = trio.CancelScope()
            link.stream.write = cancelled_half_way  # type: ignore[method-assign]
            with scope:
                await call()
            assert scope.cancelled_caught
            link.stream.write = whole_write  # type: ignore[method-assign]
            assert await echoes(client, server)
        assert len(client._swarm.get_connections()) == 1


async def test_a_failing_task_of_the_library_ends_alone() -> None:
    """Without: an exception in one connection's task ends the swarm, and with it the process."""

    async def fails() -> None:
        raise ValueError("what a stranger's frame made of it")

    async with pair() as (server, client, _):
        server._swarm.manager.run_task(fails)
        assert await echoes(client, server)


@covers("F31")
@pytest.mark.parametrize("error", [ProtocolViolation("garbage"), ValueError("what we made of a stranger's bytes")])
async def test_a_failing_task_of_the_host_ends_alone(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """Without: whatever but a lost connection a stranger had a task meet ended the host, and with it the node."""

    async def fails() -> None:
        raise error

    async with pair() as (server, client, _):
        server.start(fails)
        await trio.testing.wait_all_tasks_blocked()
        assert await echoes(client, server)
    assert ("a fault of our own" in caplog.text) == isinstance(error, ValueError), "a bug is not hidden"


@covers("F31")
async def test_a_stranger_with_a_key_of_another_kind_is_no_peer_and_harms_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without: while it was connected, whoever asked which peers are found none, and a lookup ended with the node."""
    other = create_new_key_pair()
    monkeypatch.setattr("p2phub.net.libp2p_library._key_pair", lambda key: other)
    async with AsyncExitStack() as stack:
        stranger = await stack.enter_async_context(open_host(secret("stranger")))
        monkeypatch.undo()
        server, client, _ = await stack.enter_async_context(pair())
        address = server.addresses[0]
        tcp = await dial_tcp(address, connect_tcp)
        stack.push_async_callback(trio.aclose_forcefully, tcp.stream)
        await stranger._swarm.upgrade_outbound_raw_conn(RawConnection(tcp, True), libp2p_id_of(server.peer_id))
        await trio.testing.wait_all_tasks_blocked()
        assert len(server._swarm.get_connections()) == 1, "it is connected"
        assert server.connected() == ()
        assert await echoes(client, server)


async def test_silence_ends_the_connection_and_the_next_call_dials_anew() -> None:
    """Without: a frozen peer stays "connected", and all new streams to it time out."""

    async def silent(stream: Stream) -> None:
        await trio.sleep_forever()

    async with pair() as (server, client, _):
        server.on_stream("/test/silent", silent)
        stream = await client.open_stream(server.peer_id, server.addresses, "/test/silent")
        with pytest.raises(PeerGone):
            await stream.read(1, seconds=0.05)
        with trio.fail_after(5):
            while client.connected():
                await trio.sleep(0.01)
        assert await echoes(client, server)


async def test_the_second_address_is_tried_when_the_first_is_dead() -> None:
    """Without: one address of a kind is tried, and then the peer is refused for a minute."""
    async with pair() as (server, client, _):
        async with listening_host("gone") as (gone, _):
            dead = gone.addresses[0]
        with pytest.raises(PeerGone):
            await client.open_stream(server.peer_id, [dead], ECHO)
        stream = await client.open_stream(server.peer_id, [dead, *server.addresses], ECHO)
        assert stream.remote == server.addresses[0]


async def test_a_dial_does_not_wait_a_quarter_second_after_it_succeeded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without: 251 ms for each connection. Shown by making that wait endless."""
    monkeypatch.setattr("libp2p.network.swarm._HAPPY_EYEBALLS_DELAY", 60.0)
    async with pair() as (server, client, _):
        with trio.fail_after(10):
            assert await echoes(client, server)


async def test_somebody_else_at_the_address_is_told_apart_from_nobody() -> None:
    async with pair() as (server, client, _):
        with pytest.raises(WrongPeer):
            await client.open_stream(secret("whom we meant").peer_id, server.addresses, ECHO)


@covers("T37")
async def test_more_connections_come_and_go_than_libp2ps_listener_has_places(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without: a place is kept for each connection that ever came, until none is left."""
    monkeypatch.setattr("p2phub.limits.LIBP2P_CONNECTIONS_MAX", 2)
    monkeypatch.setattr("p2phub.limits.LIBP2P_HANDSHAKES_MAX", 4)
    async with listening_host("server") as (server, _):
        server.on_stream(ECHO, echo)
        for number in range(12):
            async with open_host(secret(f"client {number}")) as client:
                assert await echoes(client, server)
            with trio.fail_after(5):
                while server.connected():
                    await trio.sleep(0.01)


@covers("T37")
async def test_when_all_places_are_taken_the_idlest_connection_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2phub.limits.LIBP2P_CONNECTIONS_MAX", 2)
    async with (
        listening_host("server") as (server, _),
        open_host(secret("first")) as first,
        open_host(secret("second")) as second,
        open_host(secret("third")) as third,
    ):
        server.on_stream(ECHO, echo)
        assert await echoes(first, server)
        busy = await second.open_stream(server.peer_id, server.addresses, ECHO)
        await busy.write(b"x")
        assert await busy.read(1) == b"x"
        assert await echoes(third, server)
        with trio.fail_after(5):
            while first.peer_id in server.connected():
                await trio.sleep(0.01)
        assert set(server.connected()) == {second.peer_id, third.peer_id}


@covers("T37")
async def test_a_peer_that_ignores_its_window_cannot_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without: Yamux logs it and keeps everything."""
    monkeypatch.setattr("p2phub.limits.LIBP2P_BUFFERED_BYTES_MAX", 300_000)

    async def never_reads(stream: Stream) -> None:
        await trio.sleep_forever()

    async with pair() as (server, client, _):
        server.on_stream("/test/never", never_reads)
        stream = await client.open_stream(server.peer_id, server.addresses, "/test/never")
        yamux: Any = stream._raw.muxed_conn
        number = stream._raw.muxed_stream.stream_id  # type: ignore[attr-defined]
        frame = struct.pack("!BBHII", 0, 0, 0, number, 50_000) + bytes(50_000)
        with pytest.raises(Exception), trio.fail_after(10):  # noqa: B017, PT012 - whatever the library says of it.
            while True:
                await yamux.secured_conn.write(frame)
        with trio.fail_after(5):
            while server.connected():
                await trio.sleep(0.01)


@covers("T37")
async def test_a_peer_that_opens_streams_without_end_loses_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without: nobody counts the streams that a peer opens."""
    monkeypatch.setattr("p2phub.limits.LIBP2P_STREAMS_PER_CONNECTION_MAX", 20)
    async with pair() as (server, client, _):
        stream = await client.open_stream(server.peer_id, server.addresses, ECHO)
        yamux: Any = stream._raw.muxed_conn
        with pytest.raises(Exception), trio.fail_after(10):  # noqa: B017, PT012 - whatever the library says of it.
            for number in range(1001, 200_001, 2):
                await yamux.secured_conn.write(struct.pack("!BBHII", 0, 1, 1, number, 0))
        with trio.fail_after(5):
            while server.connected():
                await trio.sleep(0.01)


@covers("T36")
async def test_half_open_connections_do_not_keep_out_one_who_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2phub.limits.LIBP2P_HANDSHAKES_MAX", 5)
    async with pair() as (server, client, _), trio.open_nursery() as nursery:
        for _ in range(30):
            silent = await trio.open_tcp_stream(server.addresses[0].ip, server.addresses[0].port)
            await silent.send_all(b"\x13/multistream/1.0.0\n")
            nursery.start_soon(hold, silent)
        assert await echoes(client, server)
        assert len(server._shaking_hands) <= 5
        nursery.cancel_scope.cancel()


async def hold(stream: trio.SocketStream) -> None:
    async with stream:
        await trio.sleep_forever()


@covers("T36")
async def test_garbage_instead_of_a_handshake_leaves_nothing_behind() -> None:
    async with pair() as (server, client, listener):
        assert await echoes(client, server)
        for garbage in (b"\x13", b"\x13" * 100, b"\x13/multistream/1.0.0\n" + b"\xff" * 200, b"GET / HTTP/1.1\r\n\r\n"):
            for _ in range(10):
                stream = await trio.open_tcp_stream(server.addresses[0].ip, server.addresses[0].port)
                await stream.send_all(garbage)
                await stream.aclose()
        assert await echoes(client, server)
        with trio.fail_after(limits.HANDSHAKE_S + 5):
            while listener.connections > 1:
                await trio.sleep(0.01)
        assert not server._shaking_hands


@covers("T37")
async def test_what_a_peer_leaves_in_the_books_is_gone_when_it_goes() -> None:
    async with listening_host("server") as (server, _):
        server.on_stream(ECHO, echo)
        for number in range(5):
            async with open_host(secret(f"client {number}")) as client:
                assert await echoes(client, server)
        with trio.fail_after(5):
            while len(server._connections):
                await trio.sleep(0.01)
        assert not server._dialling
        assert server._host.get_peerstore().peer_ids() == [libp2p_id_of(server.peer_id)]
        assert not server._swarm.auto_connector._recent_disconnects


async def test_peers_that_could_not_be_reached_leave_nothing_behind() -> None:
    async with open_host(secret("client")) as client:

        async def reach(number: int, cancelled: bool) -> None:
            scope = trio.CancelScope()
            if cancelled:
                scope.cancel()
            with scope, pytest.raises(PeerGone):
                await client.reach(secret(f"nobody {number}").peer_id, [Address("127.0.0.1", 1)])

        async with trio.open_nursery() as nursery:
            for number in range(3):
                for cancelled in (False, True, False):
                    nursery.start_soon(reach, number, cancelled)
        with pytest.raises(PeerGone):
            await client.prove(secret("nobody").peer_id, [Address("127.0.0.1", 1)], heard_from=None)
        assert not client._dialling


async def test_one_at_a_time_dials_a_peer() -> None:
    dialling, most = 0, 0
    async with open_host(secret("client")) as client:
        peer = secret("server").peer_id

        async def dial(*_: object) -> Address:
            nonlocal dialling, most
            dialling += 1
            most = max(most, dialling)
            await trio.testing.wait_all_tasks_blocked()
            dialling -= 1
            raise PeerGone("nobody there")

        async def reach() -> None:
            with pytest.raises(PeerGone):
                await client.reach(peer, [])

        client._dial = dial  # type: ignore[method-assign]
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(reach)
        assert (most, client._dialling) == (1, {})


@covers("T41")
async def test_libp2p_never_dials_on_its_own() -> None:
    """Without: whenever connections are few it dials whatever address a stranger has named."""
    async with pair() as (server, client, _):
        called: list[str] = []

        async def dialled(peer: Any) -> list[Any]:
            called.append(str(peer))
            return []

        client._swarm.dial_peer = dialled  # type: ignore[method-assign]
        named = Multiaddr("/ip4/8.8.8.8/tcp/4717")
        client._host.get_peerstore().add_addrs(libp2p_id_of(secret("named by a stranger").peer_id), [named], 100)
        await client._swarm.auto_connector.maybe_connect()
        client._swarm._schedule_auto_connect()
        assert await echoes(client, server)
        assert called == []


async def test_plaintext_and_other_muxers_are_not_offered() -> None:
    """Without: plaintext is in the default set."""
    async with pair() as (server, _, _):
        upgrader = server._swarm.upgrader
        assert [str(each) for each in upgrader.security_multistream.transports] == ["/noise"]
        assert [str(each) for each in upgrader.muxer_multistream.transports] == ["/yamux/1.0.0"]


async def test_a_host_on_ipv6_knows_who_is_at_the_other_end() -> None:
    """Without: an IPv6 connection has no address at all."""
    seen: list[Address] = []

    async def look(stream: Stream) -> None:
        seen.append(stream.remote)
        await stream.write(b"seen")

    async with listening_host("server", Address("::1", 0)) as (server, _), open_host(secret("client")) as client:
        server.on_stream("/test/look", look)
        stream = await client.open_stream(server.peer_id, server.addresses, "/test/look")
        assert await stream.read(4) == b"seen"
        assert seen[0].ip == "::1"


async def test_closing_a_host_with_frozen_connections_takes_a_bounded_time() -> None:
    """Without: connections are closed one by one, with a tenth of a second for each, and no bound."""
    handler: Callable[[Stream], Awaitable[None]] = echo
    async with listening_host("server") as (server, _):
        server.on_stream(ECHO, handler)
        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(connected_for_ever, f"client {number}", server)
            with trio.fail_after(20):
                while len(server.connected()) < 10:
                    await trio.sleep(0.01)
            started = trio.current_time()
            nursery.cancel_scope.cancel()
        assert trio.current_time() - started < 5


async def connected_for_ever(name: str, server: Host) -> None:
    async with open_host(secret(name)) as client:
        assert await echoes(client, server)
        await trio.sleep_forever()


@covers("T36", "T37")
async def test_a_search_beside_a_flood_of_garbage_still_finds() -> None:
    async with dht_node("server") as server, trio.open_nursery() as nursery:
        await server.dht.announce(DIGEST)

        async def flood() -> None:
            while True:
                stream = await trio.open_tcp_stream(server.host.addresses[0].ip, server.host.addresses[0].port)
                await stream.send_all(b"\x13garbage")
                await stream.aclose()

        nursery.start_soon(flood)
        async with dht_node("asker", [server.at]) as asker:
            assert await providers_of(asker.dht, DIGEST) == [server.at]
        nursery.cancel_scope.cancel()
