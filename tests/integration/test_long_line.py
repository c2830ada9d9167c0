"""A race over a long line has its ends in two networks of its own, and leaves nothing behind."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.contestants import Bare, Contestant, P2phub
from benchmarks.isolation import within
from benchmarks.line import PROVIDER_IP, Line, joined, why_not
from benchmarks.payload import MIB, Payload, make_payload
from benchmarks.procfs import session_members
from benchmarks.race import How, Race, run_race

LINE = Line(50_000_000, 0.04)
SLOW = Line(5_000_000, 0.04)
NETWORK = Path("/proc/thread-self/ns/net")


@pytest.fixture
def payload(tmp_path: Path) -> Payload:
    return make_payload("test", file_sizes=(MIB, MIB), cache=tmp_path)


@pytest.fixture
def root(tmp_path: Path) -> None:
    if (why := why_not(LINE, tmp_path)) is not None:
        pytest.skip(why)


@pytest.fixture
def runtime() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="p2pb-") as directory:  # Short, because a socket's path must be.
        yield Path(directory)


def race(payload: Payload, contestant: Contestant, tmp_path: Path) -> Race:
    how = How(rounds=1, work=tmp_path / "work", timeout_s=60.0, tell=lambda _: None)
    how.work.mkdir()
    return run_race("far", payload, [contestant], how, line=LINE)


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("name", ["bare", "p2phub"])
def test_a_contestant_fetches_from_the_other_end(name: str, payload: Payload, runtime: Path, tmp_path: Path) -> None:
    contestants: dict[str, Contestant] = {
        "bare": Bare(host=PROVIDER_IP),
        "p2phub": P2phub(runtime=runtime, host=PROVIDER_IP),
    }
    standing = race(payload, contestants[name], tmp_path).standings[name]
    assert standing.failures == []
    assert len(standing.trials) == 1  # The trees were compared.


@pytest.mark.usefixtures("root")
def test_both_ends_have_loopback_and_the_line_alone(tmp_path: Path) -> None:
    own = NETWORK.stat().st_ino
    with joined(LINE, stderr=tmp_path / "stderr", tell=lambda _: None) as ends:
        for end in (ends.provider, ends.requester):
            with within(end):
                assert sorted(name for _, name in socket.if_nameindex()) == ["line", "lo"]
                assert NETWORK.stat().st_ino != own
        assert ends.provider.stat().st_ino != ends.requester.stat().st_ino
        assert NETWORK.stat().st_ino == own


@pytest.mark.usefixtures("root")
def test_nothing_crosses_the_line_sooner_than_its_delay_and_its_rate_let_it(tmp_path: Path) -> None:
    with joined(SLOW, stderr=tmp_path / "stderr", tell=lambda _: None) as ends:
        with within(ends.provider):
            listener = socket.create_server((PROVIDER_IP, 0))
        with within(ends.requester):
            began = time.monotonic()
            receiver = socket.create_connection(listener.getsockname())
            connected = time.monotonic()
        with listener, receiver, listener.accept()[0] as sender:
            sending = threading.Thread(target=sender.sendall, args=(bytes(2 * MIB),))
            sending.start()
            assert len(receiver.recv(2 * MIB, socket.MSG_WAITALL)) == 2 * MIB
            received = time.monotonic()
            sending.join()
    assert connected - began >= SLOW.round_trip_s
    assert received - connected >= 2 * MIB / SLOW.bytes_per_s


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("how", [KeyboardInterrupt, RuntimeError])
def test_no_network_is_left_when_a_race_ends_in_the_middle(how: type[BaseException], tmp_path: Path) -> None:
    own, seen = NETWORK.stat().st_ino, list[Path]()

    def break_off() -> None:
        with joined(LINE, stderr=tmp_path / "stderr", tell=lambda _: None) as ends, within(ends.provider):
            seen.append(ends.provider)
            raise how

    with pytest.raises(how):
        break_off()
    assert NETWORK.stat().st_ino == own
    [provider] = seen
    assert not provider.exists()  # What kept it was a descriptor of the line's process.
    assert not session_members(int(provider.parts[2]))


def test_without_root_the_race_says_so_and_measures_nothing(
    payload: Payload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    far = race(payload, Bare(host=PROVIDER_IP), tmp_path)
    assert far.not_measured is not None
    assert far.not_measured.startswith("needs root")
    assert far.standings == {}


def test_where_networks_cannot_be_joined_the_reason_is_the_programs_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    assert "/no/such/python" in (why_not(LINE, tmp_path) or "")
