"""A plain HTTP client of a node's gateway, which asks as tools ask a hub, on one connection."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import quote, urlsplit

ANSWER_S = 60.0


class Client:
    """A client of one gateway: one connection, as long as both keep it."""

    def __init__(self, url: str) -> None:
        self.place = urlsplit(url)
        assert self.place.hostname is not None
        self._connection = http.client.HTTPConnection(self.place.hostname, self.place.port, timeout=ANSWER_S)

    def ask(
        self, method: str, target: str, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Return the status, the headers by lower-case name and the body. Raises IncompleteRead for half of one."""
        self._connection.request(method, target, body=body, headers=headers or {})
        answer = self._connection.getresponse()
        content = answer.read()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content

    def close(self) -> None:
        self._connection.close()

    def json(self, target: str) -> Any:
        status, _, content = self.ask("GET", target)
        assert status == 200, content
        return json.loads(content)

    def file(self, repo: str, path: str, revision: str = "main") -> bytes:
        status, _, content = self.ask("GET", f"/{repo}/resolve/{revision}/{quote(path)}")
        assert status == 200, content
        return content
