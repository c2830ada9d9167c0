"""The list of known peers is a help: no state of its file, and no disk, ends a node for it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing

from p2phub import limits
from p2phub.errors import Damaged, DiskError, DiskFull, HubError
from p2phub.identity import Address, PeerAddress, SecretKey
from p2phub.node import lifecycle
from p2phub.node.peers import PEERS_FILE, read_peers, write_peers

PEERS = tuple(PeerAddress(SecretKey(bytes([n]) * 32).peer_id, Address("192.0.2.1", n)) for n in range(1, 4))


def test_what_was_written_is_read_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    write_peers(tmp_path, PEERS[:1])
    write_peers(tmp_path, PEERS)
    assert read_peers(tmp_path) == PEERS
    assert stat.S_IMODE((tmp_path / PEERS_FILE).stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == [PEERS_FILE]


def test_no_more_peers_are_written_or_read_than_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_peers(tmp_path, PEERS)
    monkeypatch.setattr(limits, "KNOWN_PEERS_MAX", 2)
    assert read_peers(tmp_path) == PEERS[:2]
    write_peers(tmp_path, PEERS)
    monkeypatch.undo()
    assert read_peers(tmp_path) == PEERS[:2]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"[" * 100_000, id="nested deeper than the stack"),
        pytest.param(b"", id="empty"),
        pytest.param(b"{}", id="a mapping"),
        pytest.param(b"5", id="a number"),
        pytest.param(b"[[1]]", id="not lines"),
        pytest.param(b'["/ip4/1.2.3.4"]', id="no peer"),
        pytest.param(b'"' + b"\xff" * 9 + b'"', id="not text"),
        pytest.param(b"[" + b"9" * 5000 + b"]", id="a number longer than Python reads"),
        pytest.param(b"[]" + b" " * limits.MIB, id="longer than a list can be"),
    ],
)
def test_a_file_that_makes_no_sense_means_that_no_peer_is_known(tmp_path: Path, content: bytes) -> None:
    (tmp_path / PEERS_FILE).write_bytes(content)
    assert read_peers(tmp_path) == ()


def test_a_list_too_long_is_not_read_whole(tmp_path: Path) -> None:
    line = f'"{PEERS[0]}"'.encode()
    (tmp_path / PEERS_FILE).write_bytes(b"[" + line + b" " * limits.MIB + b"]")
    assert read_peers(tmp_path) == ()


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: os.symlink("elsewhere", path)])
def test_what_is_no_file_is_not_waited_for_or_followed(tmp_path: Path, make: Callable[[Path], None]) -> None:
    (tmp_path / "elsewhere").write_text(f'["{PEERS[0]}"]')
    make(tmp_path / PEERS_FILE)
    assert read_peers(tmp_path) == ()


def test_a_link_in_its_place_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("kept")
    (tmp_path / PEERS_FILE).symlink_to("precious")
    (tmp_path / (PEERS_FILE + ".new")).symlink_to("precious")
    write_peers(tmp_path, PEERS)
    assert (tmp_path / "precious").read_text() == "kept"
    assert read_peers(tmp_path) == PEERS


def test_a_write_that_fails_is_a_disk_error_and_leaves_nothing_beside(tmp_path: Path) -> None:
    (tmp_path / PEERS_FILE).mkdir()
    with pytest.raises(DiskError):
        write_peers(tmp_path, PEERS)
    assert os.listdir(tmp_path) == [PEERS_FILE]


async def test_a_daemon_that_cannot_write_its_peers_goes_on(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    tried = 0

    async def remember_peers() -> None:
        nonlocal tried
        tried += 1
        raise DiskFull("cannot write peers.json: no space left")

    parts: Any = SimpleNamespace(remember_peers=remember_peers)
    with trio.move_on_after(3.5 * lifecycle.REMEMBER_PEERS_S) as scope:
        await lifecycle._remember_peers(parts)
    assert scope.cancelled_caught
    assert tried == 3 + 1  # And once more at the end.
    assert "known peers are not remembered: cannot write peers.json: no space left" in caplog.text


@pytest.mark.parametrize("kind", [DiskError, Damaged])
async def test_a_daemon_that_cannot_check_its_store_goes_on(
    kind: type[HubError], caplog: pytest.LogCaptureFixture
) -> None:
    def check() -> tuple[str, ...]:
        raise kind("cannot check /home: it is gone")

    async def run(work: Callable[[], object]) -> object:
        return work()

    parts: Any = SimpleNamespace(workers=SimpleNamespace(run_long=run), store=SimpleNamespace(check=check))
    nothing: Any = None
    await lifecycle._check_store(parts, nothing)
    assert "the store could not be checked: cannot check /home: it is gone" in caplog.text
