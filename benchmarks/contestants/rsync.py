"""rsync from its own daemon: what moves trees between machines that trust each other, over a plain connection.

rsync compares a checksum of each whole file by itself (xxHash where both sides have it), with what the daemon read;
nothing says that this is what somebody published.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from benchmarks.payload import Payload
from benchmarks.peers import Program, find_program
from benchmarks.processes import Command, Ended, Running
from benchmarks.web import free_port, wait_for_port

_CONFIGURATION = """
address = 127.0.0.1
port = {port}
use chroot = no
reverse lookup = no
pid file = {directory}/rsyncd.pid
log file = {directory}/rsyncd.log
{user}
[payload]
    path = {root}
    read only = yes
"""


class Rsync:
    """`rsync --daemon` to `rsync --archive`."""

    name = "rsync"
    description = "rsync daemon over plain TCP, no cipher, its own checksum of each file (xxHash or MD5)"

    def __init__(self, *, cache: Path) -> None:
        self._cache = cache
        self._payload: Payload | None = None
        self._directory = Path()
        self._program = Program("rsync")
        self._port = 0

    def install(self) -> None:
        self._program = find_program("rsync", "rsync", asked="--version", cache=self._cache)

    def prepare(self, payload: Payload, directory: Path) -> None:
        self._payload, self._directory = payload, directory

    def provider(self) -> Command:
        assert self._payload is not None
        self._port = free_port()
        configuration = self._directory / "rsyncd.conf"
        user = "uid = root\ngid = root" if os.geteuid() == 0 else ""  # else it becomes `nobody`, who may not read this
        configuration.write_text(
            _CONFIGURATION.format(directory=self._directory, port=self._port, root=self._payload.root, user=user)
        )
        (self._directory / "rsyncd.pid").unlink(missing_ok=True)  # it refuses to start beside an old one
        return self._command("--daemon", "--no-detach", f"--config={configuration}")

    def address(self, provider: Running) -> str:
        wait_for_port(provider, self._port)
        return f"rsync://127.0.0.1:{self._port}/payload/"

    def requester(self, address: str, into: Path, scratch: Path) -> Sequence[Command]:
        return [self._command("--archive", address, f"{into}/")]

    def tree(self, into: Path) -> Path:
        return into

    def verified_at(self, ended: Sequence[Ended]) -> float:
        return ended[-1].moment

    def _command(self, *words: str) -> Command:
        return Command([self._program.path, *words], {**self._program.environment, "RSYNC_PROXY": ""})
