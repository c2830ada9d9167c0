"""A static web server with byte ranges, for tests of mirrors: the standard library's, in a thread, and able to lie.

with serve(folder) as server:                              # server.url
with serve(folder, Bend.CHUNKS) as server:                 # flips a byte in each answer about a file
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

from p2phub.content import Digest
from p2phub.manifest import mirror_blob_path

PRIVATE = ".p2phub/"
WAIT_S = 30.0


class Bend(Enum):
    """How the server differs from one that is honest and able."""

    NONE = "does as it should"
    CHUNKS = "flips a byte in the middle of each answer about a file"
    BLOBS = "flips a byte in each answer about metadata"
    BARE = "has no metadata"
    NO_RANGES = "answers with the whole file, always"
    NO_LENGTH = "does not say how long an answer is, and closes after it"
    CHUNKED = "sends answers in pieces whose lengths come with them"
    OTHER_RANGE = "says that it sends another range"
    NO_CONTENT_RANGE = "does not say which range it sends"
    OTHER_SIZE = "says that files are longer than they are"
    LONG = "sends a byte more than it should, without a length"
    SHORT = "ends in the middle of an answer"
    GZIP = "says that it compressed"
    SILENT = "never answers about a file"
    SILENT_BLOBS = "never answers about metadata"
    HANGS_UP = "closes in place of an answer about a file"
    GARBAGE = "does not speak HTTP"
    HUGE_HEADERS = "answers with headers without end"
    BROKEN = "answers 503"
    CLOSES = "closes the connection after each answer, without saying so"
    ENDLESS = "answers questions about metadata without end"


@dataclass
class WebServer:
    """`asked` is what came: (method, path, Range). `redirects`: where a path moved to. `flip`: the one byte of a file,
    (path, offset), that is sent wrong. `after`: a server that must have answered about a file before this one does."""

    folder: Path
    bend: Bend
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    redirects: dict[str, str] = field(default_factory=dict)
    flip: tuple[str, int] | None = None
    after: WebServer | None = None
    connections: int = 0
    port: int = 0
    answered: threading.Event = field(default_factory=threading.Event)
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # It writes head and body apart.

    def __init__(self, told: WebServer, *args: object) -> None:
        self.told = told
        super().__init__(*args)  # type: ignore[arg-type]

    def setup(self) -> None:
        super().setup()
        self.told.connections += 1

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        told, path = self.told, unquote(self.path.partition("?")[0]).lstrip("/")
        told.asked.append((self.command, path, self.headers["Range"]))
        if self.path in told.redirects:
            self._say(302, b"moved", {"Location": told.redirects[self.path]})
            return
        about_file = not path.startswith(PRIVATE)
        if about_file and told.after is not None and not told.after.answered.wait(WAIT_S):
            return
        if self._misbehaved(about_file):
            return
        place = told.folder / path
        if not place.is_file() or (told.bend is Bend.BARE and not about_file):
            self._say(404, b"nothing here", {})
            return
        data = place.read_bytes()
        if told.flip is not None and told.flip[0] == path:
            data = _flipped(data, told.flip[1])
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"] or "")
        if wanted is None or told.bend is Bend.NO_RANGES:
            self._say(200, self._bent(data, about_file), {})
            return
        start, stop = int(wanted[1]), min(int(wanted[2]) + 1, len(data))
        if start >= len(data):
            self._say(416, b"", {"Content-Range": f"bytes */{len(data)}"})
            return
        size = len(data) + (told.bend is Bend.OTHER_SIZE)
        shown = start + (told.bend is Bend.OTHER_RANGE)
        headers = {"Content-Range": f"bytes {shown}-{stop - 1}/{size}"}
        if told.bend is Bend.NO_CONTENT_RANGE:
            headers = {}
        if told.bend is Bend.GZIP:
            headers["Content-Encoding"] = "gzip"
        self._say(206, self._bent(data[start:stop], about_file), headers)

    def _misbehaved(self, about_file: bool) -> bool:
        bend = self.told.bend
        if bend is Bend.ENDLESS and not about_file and self.command == "GET":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
            while not self.told.stopping.is_set():
                self.wfile.write(bytes(4096))
            return True
        if bend is Bend.SILENT_BLOBS and not about_file:
            return self.told.stopping.wait()
        if not about_file or bend not in (
            Bend.SILENT,
            Bend.HANGS_UP,
            Bend.GARBAGE,
            Bend.HUGE_HEADERS,
            Bend.BROKEN,
        ):
            return False
        self.close_connection = True
        if bend is Bend.SILENT:
            self.told.stopping.wait()
        elif bend is Bend.GARBAGE:
            self.wfile.write(b"\x00\x01\x02 no such protocol\r\n\r\n")
        elif bend is Bend.HUGE_HEADERS:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            while not self.told.stopping.is_set():
                self.wfile.write(b"X-More: " + b"x" * 1000 + b"\r\n")
        elif bend is Bend.BROKEN:
            self._say(503, b"later", {})
        return True

    def _bent(self, data: bytes, about_file: bool) -> bytes:
        lies = self.told.bend is (Bend.CHUNKS if about_file else Bend.BLOBS)
        return _flipped(data, len(data) // 2) if lies and data else data

    def _say(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        bend, partial_answer = self.told.bend, status == 206
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if partial_answer and bend in (Bend.NO_LENGTH, Bend.LONG):
            self.send_header("Connection", "close")
            data += b"!" if bend is Bend.LONG else b""
        elif partial_answer and bend is Bend.CHUNKED:
            self.send_header("Transfer-Encoding", "chunked")
            middle = len(data) // 2
            data = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (data[:middle], data[middle:]) if part)
            data += b"0\r\n\r\n"
        else:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if partial_answer and bend is Bend.SHORT:
            data, self.close_connection = data[: len(data) // 2], True
        if self.command == "GET":
            self.wfile.write(data)
        if partial_answer:
            self.told.answered.set()
        if bend is Bend.CLOSES:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def put_mirror_files(folder: Path, blobs: Mapping[Digest, bytes]) -> None:
    """Write metadata where a mirror has it."""
    for digest, blob in blobs.items():
        place = folder / mirror_blob_path(digest)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(blob)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hung up is no news."""


@contextmanager
def listening(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[int]:
    """Answer each connection by a `handler` while the context is open, on a free port of loopback, which is yielded."""
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def serve(folder: Path, bend: Bend = Bend.NONE) -> Iterator[WebServer]:
    """Serve `folder` on loopback while the context is open."""
    told = WebServer(folder, bend)
    with listening(partial(_Handler, told)) as port:
        told.port = port
        try:
            yield told
        finally:
            told.stopping.set()
