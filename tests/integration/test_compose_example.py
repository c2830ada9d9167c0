"""The scripts of the Compose file, run as they stand: in three homes, on addresses of loopback and not Docker's."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.house import ROOT
from tests.support.models import tree_digest
from tests.support.operations import compose_scripts

UP_S = 90.0
FREE = 0


class Containers:
    """Each service as a process: its home is its `/data`, `/shared` and `/model` are folders here."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = _free_ports(9)
        (folder / "bin").mkdir(parents=True)
        (folder / "shared").mkdir()
        for name, run in (("p2phub", "-m p2phub"), ("python", "")):
            program = folder / "bin" / name
            program.write_text(f'#!/bin/sh\nexec {sys.executable} {run} "$@"\n')
            program.chmod(0o755)
        self._started: list[subprocess.Popen[bytes]] = []

    def script(self, name: str) -> str:
        """Return the script of a service, with addresses and folders of this machine in it."""
        text = compose_scripts()[name].replace("172.30.47.", "127.47.30.")
        for place in ("data", "shared", "model"):
            text = text.replace(f"/{place}", str(self.folder / place))
        at = ("bootstrap", "publisher", "fetcher").index(name) * 3
        for number, port in enumerate(("4717", "7700", "7701")):
            # Peers find the bootstrap where it listens.
            mine = self.ports[number] if number == 0 else self.ports[at + number]
            text = text.replace(f":{port}", f":{mine}").replace(f"/tcp/{port}/", f"/tcp/{mine}/")
        return text

    def environment(self, name: str) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("P2PHUB_")}
        path = os.pathsep.join([str(self.folder / "bin"), kept["PATH"]])
        return {
            **kept,
            "PATH": path,
            "PYTHONPATH": str(ROOT),
            "P2PHUB_HOME": str(self.folder / name),
            "P2PHUB_LAN": "0",
        }

    def up(self, name: str) -> int:
        """Start a service; return its port for probes, once it is ready there."""
        log = (self.folder / f"{name}.log").open("wb")
        with log:
            process = subprocess.Popen(
                ["sh", "-ec", self.script(name)],
                env=self.environment(name),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._started.append(process)
        port = self.ports[("bootstrap", "publisher", "fetcher").index(name) * 3 + 2]
        while process.poll() is None:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=UP_S)
                connection.request("GET", "/readyz")
                if connection.getresponse().status == 200:
                    return port
            except ConnectionError:
                process_ended(process)
            finally:
                connection.close()
        raise AssertionError((self.folder / f"{name}.log").read_text())

    def exec(self, name: str, *words: str) -> str:
        """Run a command in a service, as `docker compose exec` does."""
        done = subprocess.run(
            words,
            env=self.environment(name),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=UP_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def down(self) -> None:
        for process in self._started:
            process.terminate()
        for process in self._started:
            try:
                process.wait(UP_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def process_ended(process: subprocess.Popen[bytes]) -> None:
    """Wait a moment for its end."""
    try:
        process.wait(0.05)
    except subprocess.TimeoutExpired:
        return


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for sock in sockets:
        sock.bind(("127.0.0.1", FREE))
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


@pytest.fixture
def containers(tmp_path: Path) -> Iterator[Containers]:
    containers = Containers(tmp_path / "c")
    yield containers
    containers.down()


def test_the_third_container_fetches_what_the_second_has_and_finds_it_by_the_first(containers: Containers) -> None:
    assert shutil.which("sh")
    model = containers.folder / "model"
    model.mkdir()
    (model / "config.json").write_bytes(b"{}")
    (model / "weights.bin").write_bytes(os.urandom(3_000_000))
    for name in ("bootstrap", "publisher", "fetcher"):
        containers.up(name)
    reference = (containers.folder / "shared/reference").read_text().strip()
    into = containers.folder / "models/demo"
    containers.exec("fetcher", "p2phub", "fetch", reference, "--into", str(into), "--wait", "60s")
    assert tree_digest(into) == tree_digest(model)
