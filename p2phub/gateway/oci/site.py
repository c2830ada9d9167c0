"""Answer one request of an OCI client, or of Ollama: what is asked, what the registry has of it, how that is told.

Files are sent as to other clients (`gateway.sending`): ranges, while they are fetched, verified. An answer with a blob
says where that is (`Location`), which is where it was asked for: most versions of Ollama look for nothing else
in the first one, and give up without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

import msgspec

from p2phub.gateway.answers import STRANGERS_BYTES
from p2phub.gateway.oci.refusals import told
from p2phub.gateway.oci.registry import Held, Registry
from p2phub.gateway.oci.routes import (
    AskBlob,
    AskCatalogue,
    AskManifest,
    AskReferrers,
    AskTags,
    AskVersion,
    Page,
    read_request,
    wanted_form,
)
from p2phub.gateway.routes import Kind, RepoId
from p2phub.gateway.sending import send_bytes, send_file
from p2phub.gateway.shelf import Shelf
from p2phub.http.exchange import Exchange, Headers, Request
from p2phub.http.front import Access
from p2phub.http.refusal import Refusal

_ALWAYS = [("Docker-Distribution-API-Version", "registry/2.0")]
_JSON = "application/json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_NO_REFERRERS = msgspec.json.encode({"schemaVersion": 2, "mediaType": _INDEX, "manifests": []})
_CHALLENGE = 'Basic realm="p2phub gateway"'  # What makes docker, oras and skopeo send what they were logged in with.


class OciSite:
    """The answers of one registry: `http.front.Site`, in its own words."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._registry = Registry(shelf)

    def access(self, request: Request) -> Access:
        return Access.READ  # Also of what would change something: that is not done here, whoever asks.

    async def answer(self, exchange: Exchange, host: str) -> None:
        asked = read_request(exchange.request.method, exchange.request.target)
        if isinstance(asked, AskVersion):
            await self._tell(exchange, b"{}", _JSON)
            return
        if isinstance(asked, AskCatalogue):
            await self._tell_page(exchange, "repositories", await self._registry.catalogue(), asked.page)
            return
        repo = await self._registry.repository(asked.repo)
        match asked:
            case AskTags():
                name = _path_of(asked.repo)
                await self._tell_page(exchange, "tags", await self._registry.tags(repo), asked.page, name=name)
            case AskManifest():
                await self._send_document(exchange, asked, repo)
            case AskBlob():
                await self._send_blob(exchange, asked, repo)
            case AskReferrers():
                await self._tell(exchange, _NO_REFERRERS, _INDEX)

    async def refuse(self, exchange: Exchange, refusal: Refusal) -> None:
        """Tell a refusal as OCI clients read it. Raises CutOff."""
        headers = [each for each in refusal.headers if each[0] != "WWW-Authenticate"]
        if refusal.status == 401:
            headers.append(("WWW-Authenticate", _CHALLENGE))
        await self._tell(exchange, told(refusal), _JSON, headers, status=refusal.status)

    async def _send_document(self, exchange: Exchange, asked: AskManifest, repo: RepoId) -> None:
        if asked.tag is None:
            document = await self._registry.document_called(repo, asked.sha256)
        else:
            document = await self._registry.document(repo, asked.tag, wanted_form(exchange.request))
        headers = [*_naming(document.sha256), ("Vary", "Accept, User-Agent")]
        await self._tell(exchange, document.content, document.media_type, headers)

    async def _send_blob(self, exchange: Exchange, asked: AskBlob, repo: RepoId) -> None:
        found = await self._registry.blob(repo, asked.sha256)
        headers = [
            *_ALWAYS,
            *_naming(asked.sha256),
            *STRANGERS_BYTES,
            ("Accept-Ranges", "bytes"),
            ("Location", f"/v2/{_path_of(asked.repo)}/blobs/sha256:{asked.sha256}"),
        ]
        etag = f"sha256:{asked.sha256}"
        if isinstance(found, Held):
            await send_file(exchange, self._shelf, found.snapshot, found.file, headers, etag=etag)
        else:
            await send_bytes(exchange, found, headers, etag=etag)

    async def _tell_page(
        self, exchange: Exchange, what: str, entries: Sequence[str], page: Page, *, name: str | None = None
    ) -> None:
        """Tell a page of a list, and where the next one is."""
        path = "/v2/_catalog" if name is None else f"/v2/{name}/tags/list"
        start = _start_of(entries, page.last)
        shown = entries[start : start + page.most]
        headers = []
        if shown and start + len(shown) < len(entries):
            query = f"n={page.most}&last={quote(shown[-1], safe='')}"
            headers.append(("Link", f'<{path}?{query}>; rel="next"'))
        body = {**({"name": name} if name is not None else {}), what: shown}
        await self._tell(exchange, msgspec.json.encode(body), _JSON, headers)

    async def _tell(
        self, exchange: Exchange, body: bytes, media_type: str, headers: Headers = (), *, status: int = 200
    ) -> None:
        await exchange.answer(status, [*_ALWAYS, *headers, ("Content-Type", media_type)], body)


def _naming(digest: str) -> list[tuple[str, str]]:
    return [("Docker-Content-Digest", f"sha256:{digest}"), ("ETag", f'"sha256:{digest}"')]


def _path_of(repo: RepoId) -> str:
    """Return what a repository is called in a path, as the client calls it."""
    return f"datasets/{repo.name}" if repo.kind is Kind.DATASET else repo.name


def _start_of(entries: Sequence[str], last: str) -> int:
    """Return where the entries begin that come behind `last`, which need not be one of them; both are in the order of
    their lower case."""
    if not last:
        return 0
    behind = (last.lower(), last)
    return next((at for at, each in enumerate(entries) if (each.lower(), each) > behind), len(entries))
