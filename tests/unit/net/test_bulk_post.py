"""Letters between parent and child: in order, whole, with their descriptors, and never in anybody's way."""

from __future__ import annotations

import errno
import gc
import os
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
import trio
import trio.testing

from p2phub.errors import (
    ChunkMismatch,
    ContentChanged,
    DiskFull,
    HubError,
    Malformed,
    PeerGone,
    PeerRefused,
    PeerStalled,
    ProtocolViolation,
    WrongPeer,
)
from p2phub.net.bulk.letters import error_in, error_out
from p2phub.net.bulk.post import LOST, PACKET_BYTES_MAX, Post, PostClosed, make_pair
from p2phub.store.folders import LeavesFolder
from tests.support.covers import covers
from tests.support.opening import all_closed_again


@asynccontextmanager
async def posts() -> AsyncIterator[tuple[Post, Post]]:
    near, far = (Post(sock) for sock in make_pair())
    try:
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(near.run)
                nursery.start_soon(far.run)
                yield near, far
                nursery.cancel_scope.cancel()
    finally:
        near.close()
        far.close()


async def test_letters_come_in_order_with_their_descriptors() -> None:
    reading, writing = os.pipe()
    async with posts() as (near, far):
        near.send({"t": "one", "data": b"\x00\xff"})
        near.send({"t": "two"}, [writing])
        assert await far.receive() == ({"t": "one", "data": b"\x00\xff"}, [])
        letter, [descriptor] = await far.receive()
        assert letter == {"t": "two"}
        os.write(descriptor, b"hello")
        os.close(descriptor)
        assert os.read(reading, 10) == b"hello"
        assert os.read(reading, 10) == b""  # No other end is left open: it was given away.
    os.close(reading)


@pytest.mark.parametrize("length", [PACKET_BYTES_MAX - 100, PACKET_BYTES_MAX, PACKET_BYTES_MAX + 1, 5_000_000])
async def test_a_letter_may_be_long(length: int) -> None:
    data = bytes(range(256)) * (length // 256 + 1)
    async with posts() as (near, far):
        near.send({"t": "long", "data": data[:length]})
        near.send({"t": "after"})
        letter, descriptors = await far.receive()
        assert letter["data"] == data[:length]
        assert descriptors == []
        assert (await far.receive())[0] == {"t": "after"}


async def test_sending_never_waits_and_nothing_is_lost() -> None:
    with all_closed_again():
        async with posts() as (near, far):
            for number in range(3000):  # More than any socket buffer holds.
                near.send({"number": number, "data": bytes(1000)}, [os.dup(0)] if number % 500 == 0 else [])
            for number in range(3000):
                letter, descriptors = await far.receive()
                assert letter["number"] == number
                assert len(descriptors) == (number % 500 == 0)
                for descriptor in descriptors:
                    os.close(descriptor)


async def test_the_end_of_one_is_told_to_the_other_and_what_is_sent_then_is_dropped() -> None:
    with all_closed_again():
        async with posts() as (near, far):
            near.send({"t": "last"})
            near.close()
            assert (await far.receive())[0] == {"t": "last"}
            with pytest.raises(PostClosed):
                await far.receive()
            far.send({"t": "nobody hears it"}, [os.dup(0)])
            near.send({"t": "nor this"}, [os.dup(0)])


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Let this process open nothing more."""
    gc.collect()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))  # What is open stays open.
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@covers("F10")
async def test_long_letters_go_and_come_where_no_descriptor_is_left() -> None:
    data = os.urandom(3 * PACKET_BYTES_MAX)
    async with posts() as (near, far):
        with no_descriptor_left():
            near.send({"t": "long", "data": data})
            letter, descriptors = await far.receive()
        assert (letter, descriptors) == ({"t": "long", "data": data}, [])


@covers("F10")
@pytest.mark.parametrize("length", [0, 3 * PACKET_BYTES_MAX])
async def test_a_letter_says_that_its_descriptors_were_lost(length: int) -> None:
    with all_closed_again():
        async with posts() as (near, far):
            near.send({"t": "files", "data": bytes(length)}, [os.dup(0), os.dup(0)])
            with no_descriptor_left():
                letter, descriptors = await far.receive()
            assert letter[LOST]
            assert (letter["t"], len(letter["data"]), descriptors) == ("files", length, [])
            near.send({"t": "more"}, [os.dup(0)])
            letter, descriptors = await far.receive()
            assert letter == {"t": "more"}
            os.close(descriptors.pop())


class AtItsLimit(socket.socket):
    """A socket whose sending fails a few times for a reason of the system's."""

    failures = (errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM)
    failed = 0

    def sendmsg(self, *args: object) -> int:  # type: ignore[override]
        if AtItsLimit.failed < len(self.failures):
            AtItsLimit.failed += 1
            raise OSError(self.failures[AtItsLimit.failed - 1], "at a limit")
        return super().sendmsg(*args)  # type: ignore[arg-type]


@covers("F10")
async def test_what_the_system_cannot_carry_just_now_is_sent_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AtItsLimit, "failed", 0)
    near_socket, far_socket = make_pair()
    near, far = Post(AtItsLimit(fileno=near_socket.detach())), Post(far_socket)
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(near.run)
            near.send({"t": "one"}, [os.dup(0)])
            near.send({"t": "two"})
            letter, [descriptor] = await far.receive()
            os.close(descriptor)
            assert (letter, (await far.receive())[0]) == ({"t": "one"}, {"t": "two"})
            nursery.cancel_scope.cancel()
    near.close()
    far.close()


@pytest.mark.parametrize(
    "error",
    [
        HubError("a bug", hint="tell us"),
        PeerGone("gone", peer="ann", hint="a limit"),
        PeerStalled("slow", peer="ann"),
        WrongPeer("somebody else", peer="ann"),
        ProtocolViolation("garbage [unasked]", peer="ann"),
        PeerRefused("ann refused: busy", reason="busy", peer="ann"),
        ChunkMismatch("a lie", file="a/b.bin", chunk=7, peer="ann"),
        Malformed("path-dots", "a path with dots", hint="ask its publisher"),
        DiskFull("full", hint="make room"),
        ContentChanged("changed"),
    ],
)
def test_an_error_stays_what_it_is(error: HubError) -> None:
    back = error_in(error_out(error))
    assert type(back) is type(error)
    assert vars(back) == vars(error)


def test_an_error_that_only_the_store_knows_is_told_as_what_it_is_to_others() -> None:
    assert type(error_in(error_out(LeavesFolder("it leads out")))).__name__ == "DiskError"
