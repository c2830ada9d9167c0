"""Two machines on one local network find each other: two network namespaces of the test, joined by a virtual cable.

Nothing is multicast outside them. Needs what namespaces need (root, or a user who may make them) and `ip`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from p2phub.identity import Address, PeerAddress
from tests.support.house import ROOT
from tests.support.lan_node import peer_of
from tests.support.models import make_safetensors_folder, tree_digest
from tests.support.processes import P2PHUB, Scene

# Each side waits in its namespace until its stdin ends; then the kernel takes namespace and cable away.
HOLD = ["unshare", "--net", "cat"]


@dataclass
class Machine:
    """A namespace, by the process that holds it, and the address that it has there."""

    holder: subprocess.Popen[str]
    ip: str

    def enter(self) -> list[str]:
        """Return what to put before a command that is to run here."""
        return ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net"]

    def run(self, *command: str) -> None:
        subprocess.run([*self.enter(), *command], check=True, capture_output=True)


def _may_make_namespaces() -> bool:
    if not all(shutil.which(tool) for tool in ("unshare", "nsenter", "ip")):
        return False
    return subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(
    not _may_make_namespaces(), reason="needs network namespaces of its own: it must not multicast on the real network"
)


@pytest.fixture
def machines() -> Iterator[tuple[Machine, Machine]]:
    holders = [subprocess.Popen(HOLD, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        for holder in holders:
            wait_for_namespace(holder)
        made = (Machine(holders[0], "10.99.0.1"), Machine(holders[1], "10.99.0.2"))
        made[0].run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", str(holders[1].pid))
        for machine in made:
            machine.run("ip", "link", "set", "lo", "up")
            machine.run("ip", "addr", "add", f"{machine.ip}/24", "dev", "eth0")
            machine.run("ip", "link", "set", "eth0", "up")
        yield made
    finally:
        for holder in holders:
            holder.communicate(timeout=10)


def wait_for_namespace(holder: subprocess.Popen[str]) -> None:
    """Return when `cat` runs in its new namespace: it echoes."""
    assert holder.stdin is not None
    assert holder.stdout is not None
    holder.stdin.write("there\n")
    holder.stdin.flush()
    assert holder.stdout.readline() == "there\n"


class Node:
    """A running `tests.support.lan_node`."""

    def __init__(self, machine: Machine, name: str, ip: str) -> None:
        self.process = subprocess.Popen(
            [*machine.enter(), sys.executable, "-m", "tests.support.lan_node", name, ip],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def is_open(self) -> None:
        assert self._line() == "open"

    def ask(self, command: str) -> list[str]:
        """Give a command; return what was printed until it was done."""
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        lines: list[str] = []
        while (line := self._line()) != "done":
            lines.append(line)
        return lines

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the node ended early"
        return line.strip()


@pytest.fixture
def start(machines: tuple[Machine, Machine]) -> Iterator[Callable[[Machine, str, str], Node]]:
    """Start nodes, and end them all in the end."""
    nodes: list[Node] = []

    def start_one(machine: Machine, name: str, ip: str) -> Node:
        nodes.append(Node(machine, name, ip))
        return nodes[-1]

    yield start_one
    for node in nodes:
        node.process.communicate(timeout=10)
    assert [node.process.returncode for node in nodes] == [0] * len(nodes)


def line_of(name: str, machine: Machine) -> str:
    return f"{PeerAddress(peer_of(name), Address(machine.ip, 4717))} via lan"


Start = Callable[[Machine, str, str], Node]


def test_neighbours_find_each_other_without_bootstrap(machines: tuple[Machine, Machine], start: Start) -> None:
    here, there = machines
    ann, bob = start(here, "ann", here.ip), start(there, "bob", there.ip)
    for node in (ann, bob):
        node.is_open()
        node.ask("await 1")
    assert ann.ask("look") == [line_of("bob", there)]
    assert bob.ask("look") == [line_of("ann", here)]


def test_one_who_only_fetches_finds_and_is_not_found(machines: tuple[Machine, Machine], start: Start) -> None:
    here, there = machines
    ann, guest = start(here, "ann", here.ip), start(there, "guest", "-")
    ann.is_open()
    guest.is_open()
    guest.ask("await 1")
    assert guest.ask("look") == [line_of("ann", here)]
    assert ann.ask("look") == []


def test_a_neighbour_that_says_goodbye_is_gone(machines: tuple[Machine, Machine], start: Start) -> None:
    here, there = machines
    ann, bob = start(here, "ann", here.ip), start(there, "bob", there.ip)
    ann.is_open()
    bob.is_open()
    ann.ask("await 1")
    bob.process.communicate(timeout=10)
    ann.ask("await-not 1")
    assert ann.ask("look") == []


STRANGER = """
import socket
from zeroconf import DNSOutgoing, DNSPointer
SERVICE = "_p2phub._tcp.local."
names = ["evil.example.", "x._ipp._tcp.local.", SERVICE, *(f"invented{number}." + SERVICE for number in range(40))]
out = DNSOutgoing(0x8400)
for name in names:
    out.add_answer_at_time(DNSPointer(SERVICE, 12, 1, 4500, name), 0)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("{ip}"))
    sock.bind(("{ip}", 5353))
    for packet in out.packets():
        sock.sendto(packet, ("224.0.0.251", 5353))
"""


def test_names_that_a_stranger_invents_do_not_end_the_discovery_of_others(
    machines: tuple[Machine, Machine], start: Start
) -> None:
    here, there = machines
    ann = start(here, "ann", here.ip)
    ann.is_open()
    there.run(sys.executable, "-c", STRANGER.replace("{ip}", there.ip))
    bob = start(there, "bob", there.ip)
    bob.is_open()
    ann.ask("await 1")
    assert ann.ask("look") == [line_of("bob", there)]


@pytest.mark.parametrize("by", ["reference", "manifest"])
def test_a_model_arrives_from_a_neighbour_without_any_bootstrap(
    machines: tuple[Machine, Machine], tmp_path: Path, by: str
) -> None:
    here, there = machines
    model = make_safetensors_folder(tmp_path / "model", 3_000_000, files=2)
    with (
        Scene(tmp_path / "here", lan=True, program=[*here.enter(), *P2PHUB]) as publishing,
        Scene(tmp_path / "there", lan=True, program=[*there.enter(), *P2PHUB]) as fetching,
    ):
        node = publishing.start("publisher", "node", "--listen", f"{here.ip}:0")
        node.wait_for("ready", timeout_s=60)
        published = publishing.publish("publisher", model, name="thing")

        fetcher = fetching.start_fetch("fetcher", published[by], tmp_path / "out")
        source = fetcher.wait_for("source", timeout_s=60)
        fetcher.wait_for("done", timeout_s=60)
        assert fetcher.finish(timeout_s=30) == 0
    assert source["via"] == "lan"
    assert tree_digest(tmp_path / "out") == tree_digest(model)


def test_a_fetch_that_proves_long_finds_a_neighbour_that_nobody_named(
    machines: tuple[Machine, Machine], tmp_path: Path
) -> None:
    """The provider that the user named is slow; another of the same network holds the same files."""
    here, there = machines
    model = make_safetensors_folder(tmp_path / "model", 12_000_000, files=2)
    with (
        Scene(tmp_path / "here", lan=True, program=[*here.enter(), *P2PHUB]) as holding,
        Scene(tmp_path / "there", lan=True, program=[*there.enter(), *P2PHUB]) as fetching,
    ):
        slow = holding.start("slow", "node", "--listen", f"{here.ip}:0", "--up", "400kB", "--no-lan")
        [address] = slow.wait_for("ready", timeout_s=60)["addresses"]
        published = holding.publish("slow", model, name="thing")
        quick = holding.start("quick", "node", "--listen", f"{here.ip}:0")
        quick_id = quick.wait_for("ready", timeout_s=60)["peer_id"]
        assert holding.publish("quick", model, name="same")["manifest"] == published["manifest"]

        fetcher = fetching.start_fetch(
            "fetcher", published["reference"], tmp_path / "out", arguments=["--provider", address]
        )
        done = fetcher.wait_for("done", timeout_s=60)
        assert fetcher.finish(timeout_s=30) == 0
    assert done["sources"][0]["peer_id"] == quick_id
    assert done["sources"][0]["bytes"] > 6_000_000
    assert tree_digest(tmp_path / "out") == tree_digest(model)
