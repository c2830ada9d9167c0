"""huggingface_hub from a static hub: `snapshot_download`, then a BLAKE3 check as after curl (it checks sizes alone).

The hub is nginx with two JSON answers and the files: what a download of a repository asks (its revision, its tree, then
HEAD and GET of each file), over plain HTTP. Xet is not offered. The library's function is called, since the command
`hf download` takes longer to start and moves the bytes in the same way.
"""

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.contestants.checking import check_command
from benchmarks.payload import Payload
from benchmarks.peers import install_apart
from benchmarks.processes import Command, Ended, Running
from benchmarks.web import Nginx, find_nginx

_REPOSITORY = "bench/payload"
_COMMIT = "b" * 40
_SERVER = """
        location = /api/models/{repository}/revision/main {{
            default_type application/json;
            alias {directory}/info.json;
        }}
        location = /api/models/{repository}/tree/{commit} {{
            default_type application/json;
            alias {directory}/tree.json;
        }}
        location /{repository}/resolve/{commit}/ {{
            etag off;
            add_header ETag $digest;
            add_header X-Repo-Commit {commit};
            alias {root}/;
        }}
"""


class Hub:
    """nginx as a static hub to `snapshot_download`, then `programs.check_files`."""

    name = "hf"
    description = "snapshot_download from a static hub (nginx), plain HTTP, then BLAKE3 of the files on all cores"

    def __init__(self, *, cache: Path) -> None:
        self._cache = cache
        self._payload: Payload | None = None
        self._nginx: Nginx | None = None
        self._directory = Path()
        self._digests: dict[str, str] = {}

    def install(self) -> None:
        find_nginx(self._cache)
        self._path()

    def prepare(self, payload: Payload, directory: Path) -> None:
        self._payload, self._directory = payload, directory
        self._nginx = Nginx(directory, cache=self._cache, tls=False)
        digests = self._digests = {file.path: _sha256(payload.root / file.path) for file in payload.files}
        info = {"id": _REPOSITORY, "sha": _COMMIT, "siblings": [{"rfilename": path} for path in digests]}
        (directory / "info.json").write_text(json.dumps(info | {"private": False, "tags": [], "downloads": 0}))
        entries = [
            {
                "type": "file",
                "path": file.path,
                "size": file.size,
                "oid": "a" * 40,
                "lfs": {"oid": digests[file.path], "size": file.size, "pointerSize": 133},
            }
            for file in payload.files
        ]
        (directory / "tree.json").write_text(json.dumps(entries))

    def provider(self) -> Command:
        assert self._payload is not None
        assert self._nginx is not None
        prefix = f"/{_REPOSITORY}/resolve/{_COMMIT}"
        lines = "".join(f"""        "{prefix}/{path}" '"{digest}"';\n""" for path, digest in self._digests.items())
        return self._nginx.command(
            maps=f"map_hash_bucket_size 512;\n    map $uri $digest {{\n{lines}    }}",
            server=_SERVER.format(
                repository=_REPOSITORY, commit=_COMMIT, directory=self._directory, root=self._payload.root
            ),
        )

    def address(self, provider: Running) -> str:
        assert self._nginx is not None
        return self._nginx.address(provider)

    def requester(self, address: str, into: Path, scratch: Path) -> Sequence[Command]:
        assert self._payload is not None
        program = "import sys, huggingface_hub as hub; hub.snapshot_download(sys.argv[1], local_dir=sys.argv[2])"
        # -S: without p2phub's own packages. It would import trio, because it could, and start half a second later.
        fetch = [sys.executable, "-S", "-c", program, _REPOSITORY, str(into)]
        environment = {
            "PYTHONPATH": self._path(),
            "HF_ENDPOINT": address,
            "HF_HOME": str(scratch),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }
        return [Command(fetch, environment), check_command(self._payload, into)]

    def tree(self, into: Path) -> Path:
        return into

    def verified_at(self, ended: Sequence[Ended]) -> float:
        return ended[-1].moment

    def _path(self) -> str:
        return install_apart("huggingface_hub", cache=self._cache)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
