"""Two clients of a registry, written from what is published: an OCI client, and one that pulls as Ollama does.

Neither knows anything of p2phub. Both raise Refused for an answer that is an error, and for content that is not what
its digest says. Sources: OCI distribution specification 1.1 ("Pulling"), OCI image specification 1.1; ollama/ollama,
`server/images.go` (`PullModel`) and `server/download.go`.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ANSWER_S = 60.0
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
ACCEPTED = (
    DOCKER_MANIFEST,
    "application/vnd.docker.distribution.manifest.list.v2+json",
    OCI_MANIFEST,
    "application/vnd.oci.image.index.v1+json",
)
OLLAMA_AGENT = "ollama/0.12.3 (amd64 linux) Go/go1.24.1"
OLLAMA_PARTS = 16
Headers = Mapping[str, str]


class Refused(Exception):
    def __init__(self, status: int, codes: tuple[str, ...], message: str) -> None:
        super().__init__(f"{status} {', '.join(codes)}: {message}")
        self.status = status
        self.codes = codes


class Answer:
    """`headers` by lower-case name."""

    def __init__(self, answer: http.client.HTTPResponse, body: bytes) -> None:
        self.status = answer.status
        self.headers = {name.lower(): value for name, value in answer.getheaders()}
        self.body = body


class Registry:
    """A registry at a URL, asked as `oras` and `docker` do; `password` of whoever was logged in."""

    def __init__(self, url: str, *, password: str | None = None) -> None:
        self._place = urlsplit(url)
        self._password = password

    def ask(self, method: str, path: str, headers: Headers | None = None) -> Answer:
        """Send one request, and again with the password if the registry asks for one. Raises Refused."""
        said = dict(headers or {})
        answer = self._send(method, path, said)
        challenge = answer.headers.get("www-authenticate", "")
        if answer.status == 401 and challenge.lower().startswith("basic ") and self._password is not None:
            said["Authorization"] = "Basic " + base64.b64encode(f"me:{self._password}".encode()).decode()
            answer = self._send(method, path, said)
        if answer.status >= 400:
            raise _refused(answer)
        return answer

    def _send(self, method: str, path: str, headers: Headers) -> Answer:
        connection = http.client.HTTPConnection(self._place.hostname or "", self._place.port, timeout=ANSWER_S)
        try:
            connection.request(method, path, headers=dict(headers))
            answer = connection.getresponse()
            return Answer(answer, answer.read())
        finally:
            connection.close()

    # --- as the OCI specification has it ------------------------------------------------------------------------------

    def manifest(self, name: str, reference: str) -> tuple[str, dict[str, Any]]:
        """Return the digest of a manifest, which a tag leads to, and the manifest. Raises Refused."""
        path = f"/v2/{name}/manifests/{reference}"
        accept = {"Accept": ", ".join(ACCEPTED)}
        head = self.ask("HEAD", path, accept)
        answer = self.ask("GET", path, accept)
        manifest: dict[str, Any] = json.loads(answer.body)
        digest = head.headers["docker-content-digest"]
        _need(_digest(answer.body) == digest == answer.headers["docker-content-digest"], "the digest of the manifest")
        _need(int(head.headers["content-length"]) == len(answer.body), "the length of the manifest")
        _need(answer.headers["content-type"] == manifest["mediaType"] == OCI_MANIFEST, "the manifest's media type")
        _need(manifest["schemaVersion"] == 2, "the schema version")
        return digest, manifest

    def pull(self, name: str, reference: str, into: Path) -> dict[str, Any]:
        """Write each file of an artifact below a folder, and return its config. Raises Refused."""
        digest, manifest = self.manifest(name, reference)
        _need(self.manifest(name, digest) == (digest, manifest), "the manifest by its digest")
        config: dict[str, Any] = json.loads(self.blob(name, manifest["config"]))
        for layer in manifest["layers"]:
            place = into / layer["annotations"]["org.opencontainers.image.title"]
            _need(place.resolve().is_relative_to(into.resolve()), "where a file goes")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(self.blob(name, layer))
        return config

    def blob(self, name: str, descriptor: Mapping[str, Any]) -> bytes:
        body = self.ask("GET", f"/v2/{name}/blobs/{descriptor['digest']}").body
        _need(len(body) == descriptor["size"], "the size of a blob")
        _need(_digest(body) == descriptor["digest"], "the digest of a blob")
        return body

    def listed(self, path: str, what: str) -> list[str]:
        """Return all entries of a list, page by page."""
        found: list[str] = []
        following: str | None = path
        while following is not None:
            answer = self.ask("GET", following)
            found += json.loads(answer.body)[what]
            link = answer.headers.get("link")
            following = None if link is None else link.partition("<")[2].partition(">")[0]
        return found


class Ollama:
    """Ollama's models in a folder, pulled from a registry. `part_bytes`: how large the parts of a blob are, of which
    sixteen come at once; what came is there after a pull that failed, and the next goes on from there."""

    def __init__(self, url: str, models: Path, *, part_bytes: int) -> None:
        self._registry = Registry(url)
        self._blobs = models / "blobs"
        self._manifests = models / "manifests"
        self._part_bytes = part_bytes
        self._blobs.mkdir(parents=True, exist_ok=True)

    def pull(self, name: str, tag: str) -> dict[str, Any]:
        """Return the manifest. Raises Refused, ConnectionError, IncompleteRead."""
        headers = {"Accept": DOCKER_MANIFEST, "User-Agent": OLLAMA_AGENT}
        manifest: dict[str, Any] = json.loads(self._registry.ask("GET", f"/v2/{name}/manifests/{tag}", headers).body)
        layers = [*manifest["layers"], manifest["config"]]
        fresh = [layer["digest"] for layer in layers if self._download(name, layer["digest"])]
        for digest in fresh:
            if _digest(self.blob(digest)) != digest:
                self._place(digest).unlink()
                raise Refused(200, (), f"digest mismatch, file must be downloaded again: {digest}")
        place = self._manifests / name / tag
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(manifest))
        return manifest

    def blob(self, digest: str) -> bytes:
        return self._place(digest).read_bytes()

    def _place(self, digest: str) -> Path:
        return self._blobs / digest.replace(":", "-")

    def _download(self, name: str, digest: str) -> bool:
        """Return whether it was not there already."""
        place = self._place(digest)
        if place.exists():
            return False
        path = f"/v2/{name}/blobs/{digest}"
        agent = {"User-Agent": OLLAMA_AGENT}
        partial, notes = place.with_name(place.name + "-partial"), place.with_name(place.name + "-partial.json")
        if not notes.exists():
            total = int(self._registry.ask("HEAD", path, agent).headers.get("content-length", "0"))
            parts = [[at, min(self._part_bytes, total - at), 0] for at in range(0, total, self._part_bytes)]
            notes.write_text(json.dumps(parts))
            with partial.open("wb") as file:
                file.truncate(total)
        parts = json.loads(notes.read_text())
        direct = self._direct(path, agent)

        def fetch(part: list[int]) -> None:
            offset, size, done = part
            if done == size:
                return
            # Nothing says who asks, and the status is not looked at: what comes is taken for content.
            said = {"Range": f"bytes={offset + done}-{offset + size - 1}"}
            content = self._registry._send("GET", direct, said).body[: size - done]
            with partial.open("r+b") as file:
                file.seek(offset + done)
                file.write(content)
            part[2] += len(content)

        with ThreadPoolExecutor(OLLAMA_PARTS) as pool:
            try:
                for _ in pool.map(fetch, parts):
                    pass
            finally:
                pool.shutdown()
                notes.write_text(json.dumps(parts))
        partial.rename(place)
        notes.unlink()
        return True

    def _direct(self, path: str, headers: Headers) -> str:
        """Return where a blob is: the answer's Location, which is needed though it is no redirect. Its body is not read
        to the end."""
        place = self._registry._place
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=ANSWER_S)
        try:
            connection.request("GET", path, headers=dict(headers))
            answer = connection.getresponse()
            if answer.status not in (200, 307):
                raise Refused(answer.status, (), f"unexpected status code {answer.status}")
            location = answer.getheader("Location")
            if location is None:
                raise Refused(answer.status, (), "http: no Location header in response")
            return location
        finally:
            connection.close()


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _need(holds: bool, what: str) -> None:
    if not holds:
        raise Refused(200, (), f"{what} is not what it should be")


def _refused(answer: Answer) -> Refused:
    try:
        errors = json.loads(answer.body)["errors"]
    except (ValueError, KeyError):
        errors = []
    return Refused(answer.status, tuple(each["code"] for each in errors), repr(answer.body[:300]))
