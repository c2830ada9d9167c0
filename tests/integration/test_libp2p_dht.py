"""Real hosts on loopback find, over the DHT, what one of them announced."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack

import pytest
import trio
import trio.testing

from p2phub import limits
from p2phub.content import Digest, digest_of
from p2phub.discovery import Allowance, Contact, Kind, Question, Reply, decode_question, encode_reply, frame
from p2phub.errors import NotTrusted, PeerError, PeerGone, ProtocolViolation
from p2phub.identity import Address, PeerAddress, PeerId, SecretKey
from p2phub.manifest import Release, dht_key, sign_release
from p2phub.net.libp2p_asking import PROTOCOL
from p2phub.net.libp2p_host import Host
from p2phub.net.libp2p_messages import Messages
from p2phub.net.libp2p_stream import Stream
from tests.support.covers import covers
from tests.support.libp2p_nodes import Node, dht_client, dht_node, listening_host, providers_of, secret

MANIFEST = digest_of(b"a manifest")


def release_of(key: SecretKey, *, sequence: int = 1, manifest: Digest = MANIFEST, expires_in: int = 3600) -> bytes:
    now = int(time.time())
    release = Release(
        publisher=key.peer_id,
        name="minilm",
        manifest=manifest,
        sequence=sequence,
        bytes_total=1,
        created=now - 60,
        expires=now + expires_in,
    )
    return sign_release(key, release)


async def network(stack: AsyncExitStack, count: int) -> list[Node]:
    """Start `count` servers; the first is the others' bootstrap. Return when each has been reached by another."""
    nodes = [await stack.enter_async_context(dht_node("bootstrap"))]
    for number in range(1, count):
        nodes.append(await stack.enter_async_context(dht_node(f"node {number}", [nodes[0].at])))
    for node in nodes:
        await reached(node, count - 1)
    return nodes


async def reached(node: Node, count: int) -> None:
    """Return when `node` has reached `count` others."""
    with trio.fail_after(20):
        while node.dht.table_size() < count:
            await trio.sleep(0.01)


async def test_who_knows_only_the_bootstrap_finds_provider_and_release() -> None:
    async with AsyncExitStack() as stack:
        nodes = await network(stack, 5)
        publisher = secret("publisher")
        signed = release_of(publisher)
        assert await nodes[1].dht.announce(MANIFEST) == 4
        assert await nodes[1].dht.put_release(dht_key(publisher.peer_id, "minilm", "main"), signed) == 4
        fetcher = await stack.enter_async_context(dht_client("fetcher", [nodes[0].at]))
        assert await fetcher.dht.release(publisher.peer_id, "minilm", "main") == (signed,)
        assert await providers_of(fetcher.dht, MANIFEST) == [nodes[1].at]


async def test_what_nobody_announced_is_not_found_and_the_search_says_who_was_asked() -> None:
    async with AsyncExitStack() as stack:
        (bootstrap,) = await network(stack, 1)
        fetcher = await stack.enter_async_context(dht_client("fetcher", [bootstrap.at]))
        assert await providers_of(fetcher.dht, MANIFEST) == []
        assert fetcher.dht.asked()[0].answered == (str(bootstrap.at),)
        assert await fetcher.dht.release(secret("nobody").peer_id, "minilm", "main") == ()


async def test_a_client_never_stands_in_a_servers_table() -> None:
    async with AsyncExitStack() as stack:
        (bootstrap,) = await network(stack, 1)
        client = await stack.enter_async_context(dht_client("client", [bootstrap.at]))
        await providers_of(client.dht, MANIFEST)
        assert bootstrap.dht.table_size() == 0


@covers("T11")
async def test_the_newest_release_wins_whoever_holds_the_older_one() -> None:
    async with AsyncExitStack() as stack:
        nodes = await network(stack, 4)
        publisher = secret("publisher")
        key = dht_key(publisher.peer_id, "minilm", "main")
        old, new = release_of(publisher, sequence=1), release_of(publisher, sequence=2)
        assert await nodes[1].dht.put_release(key, old) == 3
        assert await nodes[2].dht.release(publisher.peer_id, "minilm", "main") == (old,)
        assert await nodes[2].dht.put_release(key, new) == 3
        assert await nodes[3].dht.release(publisher.peer_id, "minilm", "main") == (new,)
        assert await nodes[1].dht.put_release(key, old) == 0  # Refused by every holder: never turned back.


@covers("T11")
async def test_who_holds_an_older_release_itself_asks_the_network_all_the_same() -> None:
    """Without: a copy kept here answered, for as long as it was kept, whatever the network had."""
    publisher = secret("publisher")
    key = dht_key(publisher.peer_id, "minilm", "main")
    old, new = release_of(publisher, sequence=1), release_of(publisher, sequence=2)
    async with dht_node("holder") as holder, dht_node("asker", [holder.at]) as asker:
        await reached(asker, 1)
        for node, signed in ((asker, old), (holder, new)):
            now, wall_now = trio.current_time(), time.time()
            assert node.dht._server.releases.put(key.encode(), signed, seen_ip=None, wall_now=wall_now, now=now)
        assert await asker.dht.release(publisher.peer_id, "minilm", "main") == (new, old)


@covers("F31")
async def test_who_answers_with_garbage_what_it_is_given_ends_nothing_and_the_others_get_it_all_the_same() -> None:
    """Without: two bytes of one peer ended the whole node that had looked a release up."""
    publisher = secret("publisher")
    key, signed = dht_key(publisher.peer_id, "minilm", "main"), release_of(publisher)
    given = trio.Event()

    async def evil(stream: Stream) -> None:
        messages = Messages(stream)
        while (message := await messages.next(seconds=5)) is not None:
            question = decode_question(message)
            if question.kind is Kind.PUT_VALUE:
                await stream.write(b"\x02\x0b\x0b")
                given.set()
            else:
                await stream.write(frame(encode_reply(Reply(question.kind, question.key))))

    async with AsyncExitStack() as stack:
        holder, empty = [await stack.enter_async_context(dht_node(name)) for name in ("holder", "empty")]
        await holder.dht.put_release(key, signed)
        host, _ = await stack.enter_async_context(listening_host("evil"))
        host.on_stream(PROTOCOL, evil)
        at = [PeerAddress(host.peer_id, host.addresses[0]), empty.at, holder.at]
        victim = await stack.enter_async_context(dht_node("victim", at))
        assert await victim.dht.release(publisher.peer_id, "minilm", "main") == (signed,)
        with trio.fail_after(20):
            await given.wait()
            while not empty.dht._server.releases.get(key.encode(), wall_now=time.time(), now=trio.current_time()):
                await trio.sleep(0.01)
        assert await victim.dht.release(publisher.peer_id, "minilm", "main") == (signed,)


@covers("F31")
@pytest.mark.parametrize("error", [ProtocolViolation("garbage"), PeerGone("it went")])
async def test_who_fails_to_take_a_record_costs_itself_alone(error: PeerError) -> None:
    failed = trio.Event()

    async def put(contact: Contact) -> bool:
        if contact.peer == secret("evil").peer_id:
            failed.set()
            raise error
        await failed.wait()
        await trio.testing.wait_all_tasks_blocked()
        return True

    async with dht_client("node") as node:
        contacts = [Contact(secret(name).peer_id, ()) for name in ("ann", "evil", "bob")]
        assert await node.dht._put_at(contacts, put) == 2


@covers("F31")
async def test_a_fault_of_our_own_in_a_look_around_is_logged_and_the_node_looks_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looks, again = 0, trio.Event()

    async def fails(*_: object) -> None:
        nonlocal looks
        looks += 1
        if looks == 3:  # The second time: it looks for itself, and for anything.
            again.set()
        raise ValueError("what we made of a stranger's answer")

    monkeypatch.setattr("p2phub.net.libp2p_asking.Asker.look_up", fails)
    monkeypatch.setattr("p2phub.net.libp2p_dht._JOIN_FIRST_S", 0.01)
    async with dht_node("node"):
        with trio.fail_after(10):
            await again.wait()
    assert "a look around" in caplog.text


@covers("T10")
async def test_a_release_that_does_not_hold_is_not_even_offered() -> None:
    async with AsyncExitStack() as stack:
        nodes = await network(stack, 2)
        publisher = secret("publisher")
        signed = release_of(publisher)
        forged = signed[:-1] + bytes([signed[-1] ^ 1])
        with pytest.raises(NotTrusted):
            await nodes[1].dht.put_release(dht_key(publisher.peer_id, "minilm", "main"), forged)


async def test_putting_the_same_release_again_is_taken_again() -> None:
    async with AsyncExitStack() as stack:
        nodes = await network(stack, 3)
        publisher = secret("publisher")
        key, signed = dht_key(publisher.peer_id, "minilm", "main"), release_of(publisher)
        assert await nodes[1].dht.put_release(key, signed) == 2
        assert await nodes[1].dht.put_release(key, signed) == 2


async def test_more_announcements_than_libp2p_keeps_are_all_held() -> None:
    """libp2p's own server drops what comes beyond 10 in 10 s, and its sender does not notice."""
    async with AsyncExitStack() as stack:
        nodes = await network(stack, 2)
        manifests = [digest_of(b"%d" % number) for number in range(11)]
        for manifest in manifests:
            assert await nodes[1].dht.announce(manifest) == 1
        for manifest in manifests:
            assert await providers_of(nodes[0].dht, manifest) == [nodes[1].at]


async def test_whoever_is_told_something_is_told_it_when_its_turn_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without: what comes to one peer beyond 10 in 10 s is lost with it, if it runs libp2p's own server."""
    turn_s = 1234.5
    waited: list[float] = []
    really = trio.sleep

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        await really(0 if seconds == turn_s else seconds)

    async with AsyncExitStack() as stack:
        nodes = await network(stack, 3)
        monkeypatch.setattr(Allowance, "reserve", lambda self, peer, *, now: turn_s)
        monkeypatch.setattr(trio, "sleep", sleep)
        assert await nodes[1].dht.announce(MANIFEST) == 2
        monkeypatch.undo()
    assert waited.count(turn_s) == 2


async def test_a_peer_that_has_no_place_just_now_is_asked_once_more() -> None:
    """Without: of sixty who ask one of libp2p's nodes at once, twelve are answered and the rest are reset."""
    ann = secret("ann").peer_id
    asked = 0

    async def busy_at_first(stream: Stream) -> None:
        nonlocal asked
        messages = Messages(stream)
        while (message := await messages.next(seconds=5)) is not None:
            question = decode_question(message)
            if question.kind is Kind.GET_PROVIDERS:
                asked += 1
                if asked == 1:
                    await stream.abort()
                    return
            known = (Contact(ann, (Address("127.0.0.1", 4717),)),)
            await stream.write(frame(encode_reply(Reply(question.kind, question.key, providers=known))))

    async with listening_host("busy") as (host, _):
        host.on_stream(PROTOCOL, busy_at_first)
        async with dht_client("fetcher", [PeerAddress(host.peer_id, host.addresses[0])]) as fetcher:
            found = await providers_of(fetcher.dht, MANIFEST)
    assert [each.peer for each in found] == [ann]
    assert asked == 2


@covers("T05")
async def test_of_what_one_peer_says_of_another_a_few_addresses_count() -> None:
    """Without: whoever answered first gave sixteen of them, and left no room for the right one."""
    ann = secret("ann").peer_id
    silent = tuple(Address("127.0.0.1", 1000 + number) for number in range(limits.ADDRESSES_PER_PEER_MAX))

    async def squat(stream: Stream) -> None:
        messages = Messages(stream)
        while (message := await messages.next(seconds=5)) is not None:
            question = decode_question(message)
            reply = Reply(question.kind, question.key, providers=(Contact(ann, silent),))
            await stream.write(frame(encode_reply(reply)))

    async with listening_host("squatter") as (host, _):
        host.on_stream(PROTOCOL, squat)
        async with dht_client("fetcher", [PeerAddress(host.peer_id, host.addresses[0])]) as fetcher:
            for _ in range(2):  # The second time from what was heard the first time, too.
                found = await providers_of(fetcher.dht, MANIFEST)
                assert len(found) == limits.PROVIDER_ADDRESSES_MAX


@covers("T06", "T41")
async def test_a_peer_is_known_and_told_of_where_it_was_reached_alone() -> None:
    """Whoever named it gave a victim's addresses beside its own: they were kept with it, told on as our own word, and
    dialled as if the user had named them once it was gone from its own."""
    silent = tuple(Address("127.0.0.1", 1000 + number) for number in range(limits.ADDRESSES_PER_PEER_MAX - 1))
    async with dht_node("accomplice") as accomplice, listening_host("liar") as (liar, _):
        named = Contact(accomplice.host.peer_id, (*accomplice.host.addresses, *silent))

        async def lie(stream: Stream) -> None:
            messages = Messages(stream)
            while (message := await messages.next(seconds=5)) is not None:
                question = decode_question(message)
                await stream.write(frame(encode_reply(Reply(question.kind, question.key, closer=(named,)))))

        liar.on_stream(PROTOCOL, lie)
        async with dht_node("node", [PeerAddress(liar.peer_id, liar.addresses[0])]) as node:
            await reached(node, 2)
            closest = {each.peer: each.addresses for each in await node.dht._closest(b"a key")}
            assert closest == {each: host.addresses for each, host in _by_peer(accomplice.host, liar).items()}
            async with dht_client("stranger", [node.at]) as stranger:
                question = Question(Kind.FIND_NODE, accomplice.host.peer_id.raw)
                (told,) = await stranger.dht._asker.ask(Contact(node.host.peer_id, node.host.addresses), question)
                assert {each.addresses for each in told.closer} == {accomplice.host.addresses, liar.addresses}


def _by_peer(*hosts: Host) -> dict[PeerId, Host]:
    return {host.peer_id: host for host in hosts}


@covers("F25")
async def test_a_restart_with_known_peers_needs_no_bootstrap() -> None:
    stop, running = trio.Event(), trio.open_memory_channel[PeerAddress](1)

    async def run_bootstrap() -> None:
        async with dht_node("bootstrap") as node:
            await running[0].send(node.at)
            await stop.wait()
        await running[0].send(node.at)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_bootstrap)
        bootstrap = await running[1].receive()
        async with dht_node("holder", [bootstrap]) as holder:
            async with dht_node("traveller", [bootstrap]) as traveller:
                await reached(traveller, 2)
                known = traveller.dht.known_peers()
            assert set(known) == {bootstrap, holder.at}
            stop.set()
            await running[1].receive()
            assert await holder.dht.announce(MANIFEST) == 0  # Nobody is left to hold it, but the holder knows itself.
            async with dht_client("traveller", [bootstrap], known) as again:
                assert await providers_of(again.dht, MANIFEST) == [holder.at]
                assert again.dht.asked()[0].failed == (str(bootstrap),)


@covers("F25")
async def test_a_dead_and_a_wrong_bootstrap_do_not_hide_a_good_one() -> None:
    async with AsyncExitStack() as stack:
        (bootstrap,) = await network(stack, 1)
        async with listening_host("gone") as (gone, _):
            dead = PeerAddress(gone.peer_id, gone.addresses[0])
        wrong = PeerAddress(secret("somebody else").peer_id, bootstrap.at.address)
        publisher = secret("publisher")
        signed = release_of(publisher)
        await bootstrap.dht.put_release(dht_key(publisher.peer_id, "minilm", "main"), signed)
        fetcher = await stack.enter_async_context(dht_client("fetcher", [dead, wrong, bootstrap.at]))
        assert await fetcher.dht.release(publisher.peer_id, "minilm", "main") == (signed,)
        assert set(fetcher.dht.asked()[0].failed) == {str(dead), str(wrong)}


@covers("F25")
async def test_a_silent_bootstrap_costs_a_bounded_time_and_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with AsyncExitStack() as stack:
        (bootstrap,) = await network(stack, 1)
        await bootstrap.dht.announce(MANIFEST)
        nursery = await stack.enter_async_context(trio.open_nursery())
        (silent,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, hold, [silent])
        address = Address("127.0.0.1", silent.socket.getsockname()[1])
        monkeypatch.setattr("p2phub.limits.LOOKUP_S", 0.5)
        fetcher = await stack.enter_async_context(
            dht_client("fetcher", [PeerAddress(secret("silent").peer_id, address), bootstrap.at])
        )
        with trio.fail_after(5):
            assert await providers_of(fetcher.dht, MANIFEST) == [bootstrap.at]
        nursery.cancel_scope.cancel()


async def hold(stream: trio.SocketStream) -> None:
    async with stream:
        await trio.sleep_forever()
