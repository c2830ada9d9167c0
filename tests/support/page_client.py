"""A browser's half of the page, without a browser: asks a node's page over HTTP, with its token and without."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from tests.support.processes import Node

ANSWER_S = 60.0
LOOK_S = 0.05


class Answer:
    """`headers` by lower-case name."""

    def __init__(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        self.status, self.headers, self.content = status, headers, content

    @property
    def json(self) -> Any:
        return json.loads(self.content)


class PageClient:
    """Asks one node; `home` is where its token stands."""

    def __init__(self, node: Node, home: Path) -> None:
        place = urlsplit(node.ready["gateway"].replace("0.0.0.0", "127.0.0.1"))
        assert place.hostname is not None
        self.host, self.port = place.hostname, place.port or 80
        self.token = (home / "keys" / "gateway.token").read_text().strip()

    def raw(
        self, method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        """Ask something, as it is."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=ANSWER_S)
        try:
            connection.request(method, target, body=body, headers=dict(headers or {}))
            answer = connection.getresponse()
            content = answer.read()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, content)
        finally:
            connection.close()

    def get(self, what: str, **options: object) -> Any:
        """Return what `/-/api/WHAT` tells, without the token."""
        answer = self.raw("GET", target(what, **options))
        assert answer.status == 200, answer.content
        return answer.json

    def change(self, what: str, **body: object) -> Any:
        """Return what a change says, with the token."""
        answer = self.raw("POST", f"/-/api/{what}", self.authorized, json.dumps(body).encode())
        assert answer.status == 200, answer.content
        return answer.json

    @property
    def authorized(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def events(self) -> Iterator[Any]:
        """Yield the overviews that the page is sent, until closed."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=ANSWER_S)
        try:
            connection.request("GET", "/-/api/events")
            answer = connection.getresponse()
            assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream")
            while line := answer.readline():
                if line.startswith(b"data: "):
                    yield json.loads(line.removeprefix(b"data: "))
        finally:
            connection.close()

    def job(self, number: str) -> Any:
        return next(job for job in self.get("overview")["jobs"] if job["id"] == number)

    def ended(self, number: str) -> Any:
        """Return a job once it has ended."""
        deadline = time.monotonic() + ANSWER_S
        while (job := self.job(number))["ended"] is None:
            assert time.monotonic() < deadline, f"it did not end: {job}"
            time.sleep(LOOK_S)
        return job


def target(what: str, **options: object) -> str:
    """Return the path of something to look at."""
    return f"/-/api/{what}" + (f"?{urlencode(options, quote_via=quote)}" if options else "")
