"""aria2 from nginx, over plain HTTP or over TLS, then a BLAKE3 check, as after curl.

Two connections a file (its default is one), five files at once as it comes, no reserving of disk space beforehand.
`programs.check_files` compares digests, which is quicker than aria2's own check of SHA-256.
"""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.contestants.checking import check_command
from benchmarks.payload import Payload
from benchmarks.peers import Program, find_program
from benchmarks.processes import Command, Ended, Running
from benchmarks.web import Nginx, find_nginx


class Aria2:
    """nginx to `aria2c`, then `programs.check_files`."""

    def __init__(self, *, cache: Path, tls: bool) -> None:
        self.name = "aria2-tls" if tls else "aria2"
        over = "TLS 1.3 AES-128-GCM" if tls else "plain HTTP, no cipher"
        self.description = f"aria2c from nginx, {over}, then BLAKE3 of the files on all cores"
        self._cache, self._tls = cache, tls
        self._payload: Payload | None = None
        self._nginx: Nginx | None = None
        self._aria2 = Program("aria2c")

    def install(self) -> None:
        self._aria2 = find_program("aria2c", "aria2", asked="--version", cache=self._cache)
        find_nginx(self._cache)

    def prepare(self, payload: Payload, directory: Path) -> None:
        self._payload, self._nginx = payload, Nginx(directory, cache=self._cache, tls=self._tls)

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
        wanted = scratch / "wanted"
        wanted.write_text("".join(f"{address}/{file.path}\n  out={file.path}\n" for file in self._payload.files))
        fetch = [
            self._aria2.path,
            "--no-conf=true",
            "--quiet=true",
            "--all-proxy=",
            "--file-allocation=none",
            "--max-connection-per-server=2",
            "--split=2",
            *([f"--ca-certificate={self._nginx.certificate}"] if self._tls else []),
            f"--dir={into}",
            f"--input-file={wanted}",
        ]
        environment = {**self._aria2.environment, "HOME": str(scratch)}  # no server statistics or cookies of ours
        return [Command(fetch, environment), check_command(self._payload, into)]

    def tree(self, into: Path) -> Path:
        return into

    def verified_at(self, ended: Sequence[Ended]) -> float:
        return ended[-1].moment
