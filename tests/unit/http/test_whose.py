"""Whose program is at the other end of a loopback connection, as the kernel tells it."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator

import pytest

from p2phub.http.whose import NOBODY, user_at
from tests.support.covers import covers


@pytest.fixture(params=[(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")], ids=["4", "6"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection: the one that was accepted, and its client."""
    family, ip = request.param
    with socket.socket(family) as listener:
        listener.bind((ip, 0))
        listener.listen()
        with socket.create_connection(listener.getsockname()[:2]) as client:
            accepted, _ = listener.accept()
            with accepted:
                yield accepted, client


def test_the_other_end_is_the_users_who_connected(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = (end.getsockname()[:2] for end in pair)
    assert user_at(ours, theirs) == os.geteuid()
    assert user_at(theirs, ours) == os.geteuid()


def test_where_no_socket_is_the_other_end_nobody_is(pair: tuple[socket.socket, socket.socket]) -> None:
    ip, port = pair[1].getsockname()[:2]
    assert user_at((ip, 1), (ip, port)) == NOBODY


def test_a_socket_that_its_program_let_go_of_is_nobodys_and_not_roots(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """The kernel tells a connection that waits for its end as root's, so that any user who closed at once was let in:
    what they asked for was fetched."""
    ours, theirs = (end.getsockname()[:2] for end in pair)
    pair[1].sendall(b"GET /acme/m/resolve/main/big HTTP/1.1\r\n\r\n")
    pair[1].close()
    assert user_at(ours, theirs) == NOBODY


def test_of_a_system_that_does_not_tell_nothing_is_known(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = (end.getsockname()[:2] for end in pair)
    monkeypatch.delattr(socket, "AF_NETLINK")
    assert user_at(ours, theirs) is None


def failing(number: int) -> type[socket.socket]:
    """Sockets that cannot be made, for this reason."""

    class Failing(socket.socket):
        def __init__(self, *args: object, **options: object) -> None:
            raise OSError(number, os.strerror(number))

    return Failing


@covers("T45")
@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EAGAIN])
def test_where_the_kernel_cannot_answer_just_now_nobody_is_taken_for_the_user(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Another user of the machine, who saw to it that descriptors ran out, was let in without a token."""
    ours, theirs = (end.getsockname()[:2] for end in pair)
    monkeypatch.setattr(socket, "socket", failing(number))
    assert user_at(ours, theirs) == NOBODY


@pytest.mark.parametrize("number", [errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.EPERM, errno.EACCES])
def test_of_a_sandbox_without_netlink_nothing_is_known(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    ours, theirs = (end.getsockname()[:2] for end in pair)
    monkeypatch.setattr(socket, "socket", failing(number))
    assert user_at(ours, theirs) is None
