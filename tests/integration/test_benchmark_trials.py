"""A trial of a benchmark measures real processes, counts what they send, and believes no tool about its files."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.contestants import Bare, Disk, Finished, Member, Scene
from benchmarks.crowd_trial import run_crowd_trial
from benchmarks.payload import MIB, Payload, make_payload
from benchmarks.processes import REPOSITORY, Command, ContestantFailed, Running
from benchmarks.sockets import SendWatch, tcp_connections
from benchmarks.trial import run_trial

TIMEOUT_S = 60.0


@pytest.fixture
def payload(tmp_path: Path) -> Payload:
    return make_payload("test", file_sizes=(MIB, MIB), cache=tmp_path)


class BareCrowd:
    """The bare limit in a crowd: nobody serves anybody else, and no cap is kept."""

    name = "bare"
    description = ""

    def __init__(self, *, nothing: bool = False) -> None:
        self._bare = Bare()
        self._nothing = nothing

    def install(self) -> None: ...

    def prepare(self, payload: Payload, scene: Scene, directory: Path) -> None:
        self._bare.prepare(payload, directory)

    def provider(self, number: int) -> Command:
        return self._bare.provider()

    def address(self, provider: Running) -> str:
        return self._bare.address(provider)

    def requesters(self, addresses: Sequence[str], members: Sequence[Member]) -> Sequence[Command]:
        if self._nothing:
            return [Command([sys.executable, "-c", ""]) for _ in members]
        return [command for one in members for command in self._bare.requester(addresses[0], one.into, one.scratch)]

    def finish(self, requester: Running, *, timeout_s: float) -> Finished:
        ended = requester.wait(timeout_s=timeout_s)
        return Finished(ended.moment, ended.moment, ended.cpu_s)

    def tree(self, into: Path) -> Path:
        return into


def kernel_tells() -> bool:
    try:
        list(tcp_connections())
    except OSError:
        return False
    return True


def sends(watch: SendWatch, least: int) -> bool:
    """Look until so much has been acknowledged, but not for ever."""
    return any(sent is not None and sent[0] >= least for sent in (watch.sent_bytes() for _ in range(1_000)))


def test_each_requester_of_a_crowd_is_measured(payload: Payload, tmp_path: Path) -> None:
    contestant, scene = BareCrowd(), Scene(providers=1, requesters=3, cap_bytes_per_s=10**6)
    contestant.prepare(payload, scene, tmp_path)
    trial = run_crowd_trial(contestant, payload, scene, tmp_path / "trial", timeout_s=TIMEOUT_S)
    assert len(trial.done_s) == 3
    assert 0 < trial.done_s[0] <= trial.last_done_s
    assert (trial.sent_bytes is not None) == kernel_tells()
    assert not (tmp_path / "trial").exists()


def test_a_crowd_that_fetched_nothing_fails(payload: Payload, tmp_path: Path) -> None:
    contestant, scene = BareCrowd(nothing=True), Scene(providers=1, requesters=2, cap_bytes_per_s=10**6)
    contestant.prepare(payload, scene, tmp_path)
    with pytest.raises(ContestantFailed, match="not the source"):
        run_crowd_trial(contestant, payload, scene, tmp_path / "trial", timeout_s=TIMEOUT_S)


def test_a_source_that_changed_since_it_was_made_is_not_raced(payload: Payload, tmp_path: Path) -> None:
    bare = Bare()
    bare.prepare(payload, tmp_path)
    (payload.root / payload.files[0].path).write_bytes(b"changed")
    with pytest.raises(ContestantFailed, match="not what its record says"):
        run_trial(bare, payload, tmp_path / "trial", timeout_s=TIMEOUT_S)


@pytest.mark.parametrize("memory", [False, True], ids=["disk", "memory"])
def test_what_is_written_past_the_page_cache_is_the_source(tmp_path: Path, *, memory: bool) -> None:
    odd = make_payload("odd", file_sizes=(2 * MIB + 8190, MIB, 5002), cache=tmp_path)
    disk = Disk()
    disk.prepare(odd, tmp_path)
    shared = Path("/dev/shm") if memory else tmp_path  # A file system without O_DIRECT, by many kernels.
    with tempfile.TemporaryDirectory(dir=shared) as directory:
        trial = run_trial(disk, odd, Path(directory) / "trial", timeout_s=TIMEOUT_S)  # It compares the trees.
    assert 0 < trial.verified_s <= trial.durable_s


@pytest.mark.skipif(not kernel_tells(), reason="the kernel has no inet_diag")
def test_bytes_of_connections_that_are_open_and_that_have_ended_are_counted() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as sender,
        listener.accept()[0] as receiver,
        SendWatch([os.getpid()]) as watch,
    ):
        sender.sendall(bytes(50_000))
        assert receiver.recv(50_000, socket.MSG_WAITALL)
        assert sends(watch, 50_000)
        sender.sendall(bytes(50_000))
        assert receiver.recv(50_000, socket.MSG_WAITALL)
        sender.close()
        receiver.close()
        assert sends(watch, 100_000)


def test_a_run_that_left_the_network_has_loopback_alone() -> None:
    program = """
import socket
from benchmarks.isolation import leave_the_network
if leave_the_network():
    assert [name for _, name in socket.if_nameindex()] == ["lo"], socket.if_nameindex()
with socket.create_server(("127.0.0.1", 0)) as listener:
    socket.create_connection(listener.getsockname()).close()
"""
    ran = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
