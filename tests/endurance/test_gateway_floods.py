"""Ten thousand clients at once that never come to the point: an honest one is served, and nothing of them stays."""

from __future__ import annotations

import http.client
import os
import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import pytest

from p2phub import limits
from tests.support.covers import covers
from tests.support.processes import Node, Scene

pytestmark = pytest.mark.endurance

CLIENTS = 10_000
BIG = os.urandom(32 * limits.MIB)
MEMORY_MB_MAX = 100
SERVED_S = 120.0


@pytest.fixture(autouse=True)
def _descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    assert hard > CLIENTS + 100, "so many sockets this machine does not let a process have"
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "big.safetensors").write_bytes(BIG)
    with Scene(tmp_path / "scene") as scene:
        scene.publish("ann", folder, name="mini")
        yield scene.node("ann", "--gateway", "127.0.0.1:0")


def in_crumbs(client: socket.socket, place: SplitResult) -> None:
    client.sendall(b"GET /mini/resolve/main/big.sa")  # And never more.


def half_closed(client: socket.socket, place: SplitResult) -> None:
    client.sendall(b"GET /mini/resolve/main/big.safetensors HTTP/1.1\r\nHost: " + place.netloc.encode() + b"\r\n\r\n")
    client.shutdown(socket.SHUT_WR)  # And it never reads.


def silent(client: socket.socket, place: SplitResult) -> None:
    pass


@covers("T36", "T37")
@pytest.mark.parametrize("does", [in_crumbs, half_closed, silent])
def test_beside_ten_thousand_clients_at_once_an_honest_one_is_served_and_nothing_of_them_stays(
    node: Node, does: Callable[[socket.socket, SplitResult], None]
) -> None:
    place = urlsplit(node.ready["gateway"])
    assert served(place)
    before = descriptors(node), memory_mb(node)
    with ExitStack() as stack:
        for _ in range(CLIENTS):
            with suppress(OSError):  # Beyond some number they are reset.
                does(stack.enter_context(socket.create_connection((place.hostname, place.port), timeout=60)), place)
        until_served(place)
        assert memory_mb(node) - before[1] < MEMORY_MB_MAX
    until_served(place)
    deadline = time.monotonic() + SERVED_S
    while descriptors(node) > before[0] + 8:
        assert time.monotonic() < deadline, f"were {before[0]}, are {descriptors(node)}"
        served(place)


def until_served(place: SplitResult) -> None:
    """Ask as a client does that is told to come again, until it gets what it asked for."""
    deadline = time.monotonic() + SERVED_S
    while not served(place):
        assert time.monotonic() < deadline, "an honest client was never served"


def served(place: SplitResult) -> bool:
    connection = http.client.HTTPConnection(place.netloc, timeout=60)
    try:
        connection.request("GET", "/mini/resolve/main/big.safetensors", headers={"Connection": "close"})
        answer = connection.getresponse()
        if answer.status == 503:
            return False
        assert (answer.status, answer.read() == BIG) == (200, True)
        return True
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def descriptors(node: Node) -> int:
    return len(os.listdir(f"/proc/{node.pid}/fd"))


def memory_mb(node: Node) -> float:
    """Return the node's anonymous memory."""
    status = Path(f"/proc/{node.pid}/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) * 1024 / 1e6
