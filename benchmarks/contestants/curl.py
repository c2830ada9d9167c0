"""curl from nginx over TLS, then a BLAKE3 check: what a careful user of a plain web server does.

curl fetches all files in parallel; `programs.check_files` then compares digests.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from benchmarks.contestants.checking import check_command
from benchmarks.isolation import LOOPBACK
from benchmarks.payload import Payload
from benchmarks.processes import Command, ContestantFailed, Ended, Running
from benchmarks.web import Nginx, find_nginx


class Curl:
    """nginx to `curl --parallel`, then `programs.check_files`."""

    name = "curl"
    description = "curl --parallel from nginx, TLS 1.3 AES-128-GCM, then BLAKE3 of the files on all cores"

    def __init__(self, *, cache: Path, host: str = LOOPBACK) -> None:
        self._cache, self._host = cache, host
        self._payload: Payload | None = None
        self._nginx: Nginx | None = None

    def install(self) -> None:
        if shutil.which("curl") is None:
            raise ContestantFailed("curl is not installed; install it with: apt-get install curl")
        find_nginx(self._cache)

    def prepare(self, payload: Payload, directory: Path) -> None:
        self._payload, self._nginx = payload, Nginx(directory, cache=self._cache, tls=True, host=self._host)

    def provider(self) -> Command:
        assert self._payload is not None
        assert self._nginx is not None
        return self._nginx.command(server=f"root {self._payload.root};")

    def address(self, provider: Running) -> str:
        assert self._nginx is not None
        return self._nginx.address(provider)

    def requester(self, address: str, into: Path, scratch: Path) -> Sequence[Command]:
        assert self._payload is not None
        assert self._nginx is not None
        wanted = scratch / "wanted"  # a file: ten thousand URLs are more than a command line holds
        wanted.write_text(
            "".join(f'url = "{address}/{file.path}"\noutput = "{file.path}"\n' for file in self._payload.files)
        )
        fetch = [
            "curl",
            "-q",
            "--silent",
            "--show-error",
            "--fail",
            "--noproxy",
            "*",
            "--create-dirs",
            "--cacert",
            str(self._nginx.certificate),
            "--output-dir",
            str(into),
            "--parallel",
            "--parallel-immediate",
            "--config",
            str(wanted),
        ]
        return [Command(fetch), check_command(self._payload, into)]

    def tree(self, into: Path) -> Path:
        return into

    def verified_at(self, ended: Sequence[Ended]) -> float:
        return ended[-1].moment
