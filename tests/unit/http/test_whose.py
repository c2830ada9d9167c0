"""Whose program is at the other end of a loopback connection, as the kernel tells it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from p2phub.http.whose import NOBODY, user_at


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
