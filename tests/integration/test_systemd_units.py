"""The units of docs/operations, started by a real systemd in namespaces of its own, with all that they take away."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.operations import FOLDER
from tests.support.systemd_host import SystemdHost, systemd_host

SYSTEM, USER = "systemd/p2phub.service", "systemd/user/p2phub.service"
HOME = "/var/lib/p2phub"
FOR_A_TEST = "[Service]\nStandardOutput=append:/run/p2phub.log\nStandardError=append:/run/p2phub.log\nRestartSec=0\n"
SESSION = """
[Service]
User=alice
Delegate=yes
Type=notify
RuntimeDirectory=alice
Environment=XDG_RUNTIME_DIR=/run/alice HOME=/home/alice SYSTEMD_UNIT_PATH=/run/units/alice
ExecStart=/lib/systemd/systemd --user
"""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[SystemdHost]:
    units = {
        "p2phub.service": (FOLDER / SYSTEM).read_text(encoding="utf-8"),
        "p2phub.service.d/log.conf": FOR_A_TEST,
        "session.service": SESSION,
        "alice/p2phub.service": (FOLDER / USER).read_text(encoding="utf-8"),
        "alice/default.target": "[Unit]\n",
        "alice/basic.target": "[Unit]\n",
        "alice/shutdown.target": "[Unit]\n",
    }
    with systemd_host(tmp_path, units) as made:
        yield made


def p2phub(host: SystemdHost, *words: str) -> dict[str, object]:
    """Run a command as the unit's comment says; return the last event."""
    said = host.ask("p2phub", "--home", HOME, "--json", *words, user="p2phub")
    event: dict[str, object] = json.loads(said.splitlines()[-1])
    return event


def test_the_unit_of_a_machine_runs_a_node_that_publishes_and_fetches_and_comes_back_when_it_is_killed(
    host: SystemdHost,
) -> None:
    host.ask("useradd", "--system", "--home-dir", HOME, "--shell", "/usr/sbin/nologin", "p2phub")
    started = host.run("systemctl", "start", "p2phub")  # Which ends once the node said that it is up.
    assert started.returncode == 0, host.ask("cat", "/run/p2phub.log")
    first = host.property("p2phub", "MainPID")
    assert host.property("p2phub", "StatusText").endswith("is up")
    assert p2phub(host, "status")["daemon"] is True

    host.ask("sh", "-c", "mkdir /srv/model && head -c 3000000 /dev/urandom > /srv/model/w.bin")
    published = p2phub(host, "publish", "/srv/model", "--name", "model")
    status = p2phub(host, "status")
    (address, *_) = status["addresses"]  # type: ignore[misc]
    other = ("p2phub", "--home", "/tmp/other", "fetch", str(published["reference"]), "--provider", str(address))
    host.ask(*other, "--into", "/tmp/fetched", "--no-lan", "--no-serve")
    host.ask("cmp", "/srv/model/w.bin", "/tmp/fetched/w.bin")
    again = ("p2phub", "--home", HOME, "fetch", str(published["reference"]), "--into")
    host.ask(*again, f"{HOME}/again", user="p2phub")
    host.ask("cmp", "/srv/model/w.bin", f"{HOME}/again/w.bin")
    host.ask("sh", "-c", "mkdir /srv/into && chown p2phub /srv/into")
    refused = host.run(*again, "/srv/into/model", user="p2phub")
    assert refused.returncode == 6
    assert "ReadWritePaths=" in refused.stdout

    host.ask("kill", f"-{signal.SIGKILL}", first)
    host.ask("sh", "-c", "while [ $(systemctl show --property NRestarts --value p2phub) = 0 ]; do :; done")
    host.ask("systemctl", "start", "p2phub")  # Joins what its restart began.
    assert host.property("p2phub", "MainPID") != first
    assert p2phub(host, "status")["daemon"] is True
    host.ask("systemctl", "stop", "p2phub")
    assert host.property("p2phub", "Result") == "success"
    lines = host.ask("cat", "/run/p2phub.log").splitlines()
    assert [line for line in lines if not line.startswith("{")] == []
    assert {json.loads(line).get("event") for line in lines} >= {"ready", "stopped"}


def test_settings_that_make_no_sense_are_not_tried_again(host: SystemdHost) -> None:
    host.ask("useradd", "--system", "--home-dir", HOME, "--shell", "/usr/sbin/nologin", "p2phub")
    host.ask("sh", "-c", f"mkdir {HOME}; chmod 700 {HOME}; echo 'up = \"much\"' > {HOME}/config.toml")
    host.ask("chown", "-R", "p2phub:p2phub", HOME)
    assert host.run("systemctl", "start", "p2phub").returncode != 0
    assert host.property("p2phub", "ExecMainStatus") == "2"
    assert host.property("p2phub", "ActiveState") == "failed"  # Not "activating", as before a restart.
    assert "not a rate" in host.ask("cat", "/run/p2phub.log")


def test_the_unit_of_a_user_runs_a_node_without_root(host: SystemdHost) -> None:
    host.ask("useradd", "--create-home", "--home-dir", "/home/alice", "alice")
    host.ask("mkdir", "-p", "/home/alice/.local/bin", user="alice")
    host.ask("cp", "/usr/local/bin/p2phub", "/home/alice/.local/bin/p2phub", user="alice")
    host.ask("systemctl", "start", "session")
    within = ("XDG_RUNTIME_DIR=/run/alice", "HOME=/home/alice")
    host.ask("systemctl", "--user", "start", "p2phub", user="alice", within=within)
    status = json.loads(host.ask("p2phub", "--json", "status", user="alice", within=within))
    assert (status["daemon"], status["home"]) == (True, "/home/alice/.local/share/p2phub")
    host.ask("systemctl", "--user", "stop", "p2phub", user="alice", within=within)
    assert json.loads(host.ask("p2phub", "--json", "status", user="alice", within=within))["daemon"] is False
