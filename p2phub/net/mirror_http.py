"""What is asked of a mirror over HTTP, and which answers count: small files whole, and byte ranges of large ones.

A plain GET for each. Redirects are followed by hand, each checked (`mirror_address`). Bodies are bounded by what was
asked for, and the whole of an exchange by the time it may take. What comes is anybody's word: whoever calls checks
digests. Source: proto/mirror.md §2 and §3.
"""

from __future__ import annotations

import math
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import quote, urljoin

import h11
import trio

from p2phub import limits
from p2phub.errors import Malformed, MirrorUnusable, PeerError, PeerGone, PeerStalled, ProtocolViolation
from p2phub.identity import Address, MirrorId, WebUrl, parse_web_url
from p2phub.net.http import HttpConnection, MakeTls, connect
from p2phub.net.interface import Take
from p2phub.net.mirror_address import Hosts, LookUp

_REDIRECTS = (301, 302, 303, 307, 308)
_ABSENT = (401, 403, 404, 410)  # Some stores say "forbidden" of what is not there.
_LATER = (408, 425, 429)
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)")
_NO_RANGES = "a mirror answers byte ranges, as nginx, Caddy and object stores do; `python -m http.server` does not"
_LOCATION_SAFE = "%/:=&?~#+!$,;'@()*[]"

Origin = tuple[str, str, int]
"""What one connection leads to: scheme, host and port of a URL (RFC 6454)."""


class Absent(Exception):
    """The mirror has no such file, or (`changed`) another version of it. An outcome for who asked; nobody's fault."""

    def __init__(self, *, changed: bool = False) -> None:
        super().__init__()
        self.changed = changed


class MirrorHttp:
    """Speaks to one mirror, on a few connections that are kept alive. Close it with `aclose`.

    `token`: who we are there, told to that very server alone; wherever it redirects to hears nothing of it.
    """

    def __init__(self, mirror: MirrorId, *, make_tls: MakeTls, look_up: LookUp, token: str | None = None) -> None:
        self._mirror = mirror
        self._token = token
        self._make_tls = make_tls
        self._hosts = Hosts(mirror, look_up)
        self._idle: list[tuple[Origin, HttpConnection]] = []  # Who was used longest ago comes first.

    async def aclose(self) -> None:
        with trio.CancelScope(shield=True):  # Each is cut off, which waits for nobody; cancelled, all the same.
            for _, connection in self._idle:
                await connection.aclose()
        self._idle.clear()

    async def find(self) -> Address:
        """Return where the mirror is dialled first. Raises PeerGone, MirrorUnusable."""
        with self._named():
            return (await self._hosts.find(self._mirror.url))[0]

    async def greet(self, path: str) -> None:
        """Ask for the head of a file, whether or not there is one: is anybody there? Raises PeerError."""
        with self._within(0):
            try:
                async with self._answer(path, method="HEAD"):
                    pass
            except Absent:
                pass

    async def whole(self, path: str, *, most: int, take: Take | None = None) -> bytes:
        """Return a file of at most `most` bytes, given to `take` as they come, too. Raises Absent, PeerError."""
        _, body = await self._told(path, most=most, take=take)
        return body

    async def page(self, path: str, query: str, *, most: int) -> tuple[bytes, str | None]:
        """Return what is told at a URL with a query, at most `most` bytes, and the `Link` header beside it. Raises
        Absent, PeerError."""
        head, body = await self._told(path, query=query, most=most)
        return body, header(head, b"link")

    async def span(self, path: str, start: int, stop: int, *, size: int, take: Take) -> None:
        """Hand the bytes from `start` up to `stop` of a file of `size` bytes to `take`, as they come.

        Raises Absent, PeerError: PeerGone if they end early, ProtocolViolation for an answer to another question.
        """
        with self._within(stop - start) as theirs:
            async with self._answer(path, headers=[("Range", f"bytes={start}-{stop - 1}")]) as (head, connection):
                skip = _begin_span(head, start, stop, size)
                left = stop - start
                while (piece := await connection.next_piece()) is not None:
                    wanted = piece if not skip and len(piece) <= left else piece[skip : skip + left]
                    if head.status_code == 206 and len(piece) > left:
                        raise ProtocolViolation(f"more bytes of {path} than were asked for [mirror-length]")
                    skip -= min(skip, len(piece))
                    left -= len(wanted)
                    if wanted:
                        with _our_time(theirs):
                            await take(wanted)
                    if not left and head.status_code == 200:
                        return  # What follows of the file is left alone.
                if left:
                    raise PeerGone(f"its answer ended {left} bytes too early")

    # --- one exchange ------------------------------------------------------------------------------------------------

    async def _told(
        self, path: str, *, query: str = "", most: int, take: Take | None = None
    ) -> tuple[h11.Response, bytes]:
        """Return an answer that is whole, of at most `most` bytes. Raises Absent, PeerError."""
        with self._within(most) as theirs:
            async with self._answer(path, query=query) as (head, connection):
                if head.status_code != 200:
                    raise MirrorUnusable(f"answers with status {head.status_code}")
                body = bytearray()
                while (piece := await connection.next_piece()) is not None:
                    body += piece
                    if len(body) > most:
                        raise ProtocolViolation(f"more than {most} bytes in answer to {path} [mirror-length]")
                    if take is not None:
                        with _our_time(theirs):
                            await take(piece)
                return head, bytes(body)

    @asynccontextmanager
    async def _answer(
        self, path: str, *, query: str = "", method: str = "GET", headers: Sequence[tuple[str, str]] = ()
    ) -> AsyncIterator[tuple[h11.Response, HttpConnection]]:
        """Ask for the file at `path`, follow redirects, and give the answer if there is a file. Raises Absent."""
        url = self._url_of(path, query)
        for _ in range(limits.MIRROR_REDIRECTS_MAX + 1):
            asked = url
            head, connection = await self._send(asked, method, [*headers, *self._who_we_are(asked)])
            try:
                if head.status_code in _REDIRECTS:
                    url = self._redirected(asked, head)
                else:
                    _check_head(head)
                    yield head, connection
            except Absent:
                await self._leave(asked, connection)
                raise
            except BaseException:
                await connection.aclose()
                raise
            await self._leave(asked, connection)
            if url is asked:
                return
        raise MirrorUnusable(f"redirects more than {limits.MIRROR_REDIRECTS_MAX} times")

    async def _send(
        self, url: WebUrl, method: str, headers: Sequence[tuple[str, str]]
    ) -> tuple[h11.Response, HttpConnection]:
        while (connection := self._take_idle(_origin_of(url))) is not None:
            try:
                return await _ask(connection, url, method, headers), connection
            except PeerGone:
                continue  # The mirror had closed it, as it may after a while: on to a new one.
        failure: PeerError = PeerGone("it has no address")
        for address in await self._hosts.find(url):
            try:
                connection = await connect(url, address, self._make_tls)
            except PeerError as error:
                failure = error
                continue
            return await _ask(connection, url, method, headers), connection
        raise failure

    async def _leave(self, url: WebUrl, connection: HttpConnection) -> None:
        """Be done with an answer. What little is left of it is read, so that its connection can be used again."""
        keep = False
        try:
            keep = connection.next_cycle() or await _read_out(connection)
        finally:
            leaving: HttpConnection | None = connection
            if keep:
                self._idle.append((_origin_of(url), connection))
                # A mirror may redirect each request to another name: what is kept is bounded over all of them.
                leaving = self._idle.pop(0)[1] if len(self._idle) > limits.MIRROR_IDLE_MAX else None
            if leaving is not None:
                await leaving.aclose()

    def _take_idle(self, origin: Origin) -> HttpConnection | None:
        """Return the connection to `origin` that was used last, if one is kept."""
        for index in reversed(range(len(self._idle))):
            if self._idle[index][0] == origin:
                return self._idle.pop(index)[1]
        return None

    def _url_of(self, path: str, query: str) -> WebUrl:
        base = self._mirror.url
        target = base.target.rstrip("/") + "/" + quote(path, safe="/") + (f"?{query}" if query else "")
        return WebUrl(base.scheme, base.host, base.port, target)

    def _who_we_are(self, url: WebUrl) -> list[tuple[str, str]]:
        is_theirs = _origin_of(url) == _origin_of(self._mirror.url)
        return [("Authorization", f"Bearer {self._token}")] if self._token is not None and is_theirs else []

    def _redirected(self, url: WebUrl, head: h11.Response) -> WebUrl:
        location = header(head, b"location") or ""
        try:
            target = parse_web_url(urljoin(str(url), quote(location, safe=_LOCATION_SAFE)))
        except (Malformed, ValueError) as exc:
            raise MirrorUnusable(f"redirects to what is no URL to follow: {exc}") from exc
        if target.scheme == "http" and self._mirror.url.scheme == "https":
            raise MirrorUnusable("redirects from https to http")
        return target

    # --- faults name the mirror --------------------------------------------------------------------------------------

    @contextmanager
    def _within(self, count: int) -> Iterator[trio.CancelScope]:
        """Bound the time of an exchange that moves `count` bytes."""
        with self._named():
            try:
                with trio.fail_after(limits.SOCKET_CALL_S + count / limits.RATE_MIN) as theirs:
                    yield theirs
            except trio.TooSlowError as exc:
                raise PeerStalled(f"less than {limits.RATE_MIN} bytes a second") from exc

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except PeerError as error:
            error.peer = str(self._mirror)
            raise


@contextmanager
def _our_time(theirs: trio.CancelScope) -> Iterator[None]:
    """Stop the clock of an exchange: our cap or our disk holds it up, not the server."""
    left_s, theirs.deadline = theirs.deadline - trio.current_time(), math.inf
    try:
        yield
    finally:
        theirs.deadline = trio.current_time() + left_s


def _origin_of(url: WebUrl) -> Origin:
    return url.scheme, url.host, url.port


async def _ask(
    connection: HttpConnection, url: WebUrl, method: str, headers: Sequence[tuple[str, str]]
) -> h11.Response:
    try:
        return await connection.ask(url, method=method, headers=headers)
    except BaseException:
        await connection.aclose()
        raise


async def _read_out(connection: HttpConnection) -> bool:
    """Read the rest of a body that nobody wants, if it is little; return whether the connection is good for more."""
    count = 0
    with trio.move_on_after(limits.GOODBYE_S):
        try:
            while (piece := await connection.next_piece()) is not None:
                count += len(piece)
                if count > limits.MIRROR_LEFT_OVER_BYTES_MAX:
                    return False
        except PeerError:
            return False
        return connection.next_cycle()
    return False


def header(head: h11.Response, name: bytes) -> str | None:
    """Return a header's value; of one that stands twice, both, which no check takes."""
    values = [value.decode("latin-1").strip() for key, value in head.headers if key == name]
    return ", ".join(values) if values else None


def content_length(head: h11.Response) -> int | None:
    """Return how long the body says it is."""
    text = header(head, b"content-length") or ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


def _check_head(head: h11.Response) -> None:
    status = head.status_code
    if status in _ABSENT:
        raise Absent
    if status == 416:
        raise Absent(changed=True)
    if status >= 500 or status in _LATER:
        raise PeerGone(f"answers with status {status}")
    if status not in (200, 206):
        raise MirrorUnusable(f"answers with status {status}")
    coding = header(head, b"content-encoding")
    if coding not in (None, "", "identity"):
        raise MirrorUnusable(f"compresses its answers ({coding[:20]!r}), though asked not to")


def _begin_span(head: h11.Response, start: int, stop: int, size: int) -> int:
    """Return how many bytes to skip at the beginning of the body. Raises Absent, PeerError."""
    length = content_length(head)
    if head.status_code == 200:
        if length is not None and length != size:
            raise Absent(changed=True)
        if size > limits.MIRROR_RUN_BYTES_MAX:
            raise MirrorUnusable(
                "answers a request for a range with the whole file, so it cannot be a mirror", hint=_NO_RANGES
            )
        return start
    match = _CONTENT_RANGE.fullmatch(header(head, b"content-range") or "")
    if match is None:
        raise ProtocolViolation("an answer in part that does not say which part [mirror-range]")
    if match[3] != "*" and int(match[3]) != size:
        raise Absent(changed=True)
    if (int(match[1]), int(match[2])) != (start, stop - 1):
        raise ProtocolViolation(f"bytes {match[1]}-{match[2]} in answer to {start}-{stop - 1} [mirror-range]")
    if length is not None and length != stop - start:
        raise ProtocolViolation(f"{length} bytes announced for a range of {stop - start} [mirror-length]")
    return 0
