"""A server in front of a node's page for tests of its looks: the page itself from a real node, what it asks made up.

So that HTML, scripts and Content-Security-Policy are the real ones, and a view can be had in a state that would take a
large home or many peers to bring about. Loopback, any free port; one thread a connection.
"""

from __future__ import annotations

import functools
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from tests.support.page_answers import CARD, Answers

Document = tuple[int, dict[str, str], bytes]
Documents = Callable[[str], Document]
"""Gives the status, headers and body of a path that is none of the API."""


def documents_of(url: str) -> Documents:
    """Return the documents of the node whose gateway is at `url`, each asked for once."""

    @functools.cache
    def document(path: str) -> Document:
        try:
            with urllib.request.urlopen(url + path, timeout=30) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers), error.read()

    return document


class StandIn:
    """`answers` may be changed while it runs; `tell` has all who follow told of the overview as it is then."""

    def __init__(self, documents: Documents, answers: Answers) -> None:
        self.documents = documents
        self.answers = answers
        self.changed = threading.Condition()
        self.version = 0
        self.ended = False
        self.url = ""

    def next(self, seen: int) -> int:
        """Return the version after `seen` once there is one, or this has ended."""
        with self.changed:
            self.changed.wait_for(lambda: self.ended or self.version != seen)
            return self.version

    def tell(self) -> None:
        with self.changed:
            self.version += 1
            self.changed.notify_all()


@contextmanager
def stand_in(documents: Documents, answers: Answers) -> Iterator[StandIn]:
    """Serve until the context ends."""
    told = StandIn(documents, answers)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"told": told}))
    server.daemon_threads = True
    told.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield told
    finally:
        told.ended = True
        told.tell()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    told: StandIn

    def do_GET(self) -> None:
        split = urlsplit(self.path)
        if split.path == "/-/api/events":
            self._events()
        elif split.path == "/-/card":
            self._send(200, {"Content-Type": "text/html; charset=utf-8"}, CARD.encode())
        elif split.path.startswith("/-/api/"):
            self._json(split.path.removeprefix("/-/api/"), dict(parse_qsl(split.query)))
        else:
            self._send(*self.told.documents(self.path))

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self._json(urlsplit(self.path).path.removeprefix("/-/api/"), {})

    def log_message(self, *args: object) -> None:
        pass

    def _json(self, what: str, query: dict[str, str]) -> None:
        answer = self.told.answers.get(what)
        found = answer(query) if answer else {"error": f"nothing is made up for {what}"}
        self._send(200 if answer else 404, {"Content-Type": "application/json"}, json.dumps(found).encode())

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        kept = ("content-type", "content-security-policy", "cache-control", "etag", "x-content-type-options")
        for name, value in headers.items():
            if name.lower() in kept:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _events(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        told = self.told
        seen = -1
        try:
            while not told.ended:
                seen = told.next(seen)
                overview = json.dumps(told.answers["overview"]({}))
                self.wfile.write(f"event: overview\ndata: {overview}\n\n".encode())
        except OSError:
            pass  # The page is gone.
