"""What a web server may answer: redirects, ranges, lengths, and all that ends a mirror."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import h11
import pytest
import trio
import trio.testing

from p2phub import limits
from p2phub.errors import HubError, MirrorUnusable, PeerGone, PeerStalled, ProtocolViolation
from p2phub.identity import Address, WebUrl, parse_mirror, parse_web_url
from p2phub.net import mirror_http as module
from p2phub.net.http import HttpConnection
from p2phub.net.mirror_address import look_up
from p2phub.net.mirror_http import Absent, MirrorHttp, _our_time
from tests.support.covers import covers
from tests.support.web_server import Bend, WebServer, serve

SMALL, LARGE = bytes(range(256)) * 40, bytes(range(251)) * 20_000  # 10 kB; 5 MB: more than an answer without a range.
BLOB = b"what describes the manifest"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "deep er").mkdir()
    (tmp_path / "deep er" / "100% #1 é.bin").write_bytes(SMALL)
    (tmp_path / "small.bin").write_bytes(SMALL)
    (tmp_path / "large.bin").write_bytes(LARGE)
    (tmp_path / ".p2phub").mkdir()
    (tmp_path / ".p2phub" / "blob").write_bytes(BLOB)
    return tmp_path


def no_tls() -> object:
    raise AssertionError("loopback is not encrypted")


@asynccontextmanager
async def http(server: WebServer, path: str = "") -> AsyncIterator[MirrorHttp]:
    speaks = MirrorHttp(parse_mirror(server.url + path), make_tls=no_tls, look_up=look_up)  # type: ignore[arg-type]
    try:
        with trio.fail_after(20):
            yield speaks
    finally:
        await speaks.aclose()


async def span(speaks: MirrorHttp, path: str, start: int, stop: int, size: int) -> bytes:
    got = bytearray()

    async def take(piece: bytes | bytearray) -> None:
        got.extend(piece)

    await speaks.span(path, start, stop, size=size, take=take)
    return bytes(got)


@contextmanager
def raises(kind: type[HubError], server: WebServer, match: str = ".") -> Iterator[None]:
    """The error that names the mirror."""
    with pytest.raises(kind, match=match) as caught:
        yield
    assert getattr(caught.value, "peer") == server.url  # noqa: B009


ABLE = [Bend.NONE, Bend.NO_LENGTH, Bend.CHUNKED, Bend.CLOSES]


@pytest.mark.parametrize("bend", ABLE, ids=lambda bend: bend.name.lower())
async def test_ranges_come_from_any_server_that_has_them(folder: Path, bend: Bend) -> None:
    with serve(folder, bend) as server:
        async with http(server) as speaks:
            for start, stop in [(0, 1), (17, 4000), (0, len(LARGE)), (len(LARGE) - 3, len(LARGE))]:
                assert await span(speaks, "large.bin", start, stop, len(LARGE)) == LARGE[start:stop]


async def test_paths_are_percent_encoded(folder: Path) -> None:
    with serve(folder.parent) as server:
        async with http(server, f"/{folder.name}") as speaks:
            assert await span(speaks, "deep er/100% #1 é.bin", 5, 900, len(SMALL)) == SMALL[5:900]


async def test_a_connection_is_used_again(folder: Path) -> None:
    with serve(folder) as server:
        async with http(server) as speaks:
            await speaks.greet(".p2phub/nothing")
            assert await speaks.whole(".p2phub/blob", most=100) == BLOB
            for _ in range(3):
                with pytest.raises(Absent):
                    await speaks.whole("nothing", most=100)
                await span(speaks, "large.bin", 0, 100_000, len(LARGE))
        assert server.connections == 1


async def test_no_compression_is_asked_for_and_one_range_only(folder: Path) -> None:
    with serve(folder) as server:
        async with http(server) as speaks:
            await span(speaks, "large.bin", 10, 20, len(LARGE))
        assert server.asked == [("GET", "large.bin", "bytes=10-19")]


async def test_a_small_file_may_come_whole_where_a_part_was_asked_for(folder: Path) -> None:
    with serve(folder, Bend.NO_RANGES) as server:
        async with http(server) as speaks:
            assert await span(speaks, "small.bin", 17, 4000, len(SMALL)) == SMALL[17:4000]
            assert await span(speaks, "small.bin", 0, len(SMALL), len(SMALL)) == SMALL
            with raises(MirrorUnusable, server, "whole file"):
                await span(speaks, "large.bin", 0, 10, len(LARGE))


async def test_another_version_of_a_file_is_no_file_of_ours(folder: Path) -> None:
    with serve(folder) as server, serve(folder, Bend.NO_RANGES) as plain:
        for each in (server, plain):
            async with http(each) as speaks:
                for size in (len(SMALL) - 1, len(SMALL) + 1):
                    with pytest.raises(Absent) as caught:
                        await span(speaks, "small.bin", 0, 10, size)
                    assert caught.value.changed
        async with http(server) as speaks:
            with pytest.raises(Absent) as caught:
                await span(speaks, "small.bin", len(SMALL), len(SMALL) + 5, len(SMALL) + 5)  # 416
            assert caught.value.changed


REFUSED = {
    Bend.OTHER_RANGE: (ProtocolViolation, "mirror-range"),
    Bend.NO_CONTENT_RANGE: (ProtocolViolation, "mirror-range"),
    Bend.LONG: (ProtocolViolation, "mirror-length"),
    Bend.GZIP: (MirrorUnusable, "compresses"),
    Bend.SHORT: (PeerGone, "ends early"),
    Bend.HANGS_UP: (PeerGone, "in place of an answer"),
    Bend.GARBAGE: (PeerGone, "no HTTP"),
    Bend.HUGE_HEADERS: (PeerGone, "too long"),
    Bend.BROKEN: (PeerGone, "503"),
}


@covers("T15")
@pytest.mark.parametrize("bend", REFUSED, ids=lambda bend: bend.name.lower())
async def test_an_answer_to_another_question_is_refused(folder: Path, bend: Bend) -> None:
    kind, words = REFUSED[bend]
    with serve(folder, bend) as server:
        async with http(server) as speaks:
            with raises(kind, server, words):
                await span(speaks, "large.bin", 100, 200_000, len(LARGE))


@covers("T15")
async def test_an_answer_without_end_is_cut_off(folder: Path) -> None:
    with serve(folder, Bend.ENDLESS) as server:
        async with http(server) as speaks:
            with raises(ProtocolViolation, server, "mirror-length"):
                await speaks.whole(".p2phub/blob", most=1000)


async def test_a_file_that_is_longer_than_it_may_be_is_not_read(folder: Path) -> None:
    with serve(folder) as server:
        async with http(server) as speaks:
            assert await speaks.whole(".p2phub/blob", most=len(BLOB)) == BLOB
            with raises(ProtocolViolation, server, "mirror-length"):
                await speaks.whole(".p2phub/blob", most=len(BLOB) - 1)


@covers("T35")
async def test_a_server_that_says_nothing_is_given_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SOCKET_CALL_S", 0.05)
    with serve(folder, Bend.SILENT) as server:
        async with http(server) as speaks:
            with raises(PeerStalled, server):
                await span(speaks, "large.bin", 0, 10, len(LARGE))


async def test_nobody_there_is_gone(folder: Path) -> None:
    with serve(folder) as server:
        pass
    async with http(server) as speaks:
        with raises(PeerGone, server, "connection failed"):
            await speaks.greet("x")


# --- redirects ---------------------------------------------------------------------------------------------------


async def test_redirects_within_the_mirror_are_followed(folder: Path) -> None:
    with serve(folder) as server:
        server.redirects = {"/a": "/b", "/b": f"{server.url}/small.bin", "/c/d": "../small.bin?x=1#y"}
        async with http(server) as speaks:
            assert await span(speaks, "a", 5, 10, len(SMALL)) == SMALL[5:10]
            assert await span(speaks, "c/d", 5, 10, len(SMALL)) == SMALL[5:10]
        assert server.connections == 1


@covers("T48")
async def test_a_token_is_told_to_the_server_that_it_is_for_and_to_none_that_it_redirects_to() -> None:
    speaks = MirrorHttp(
        parse_mirror("https://hub.example/base"),
        make_tls=no_tls,
        look_up=look_up,
        token="hf_secret",  # type: ignore[arg-type]
    )
    told = [("Authorization", "Bearer hf_secret")]
    assert speaks._who_we_are(parse_web_url("https://hub.example/other?x=1")) == told
    for elsewhere in ("https://cdn.example/x", "https://hub.example:8443/x", "https://a.hub.example/x"):
        assert speaks._who_we_are(parse_web_url(elsewhere)) == []


@covers("T42")
@pytest.mark.parametrize(
    "target",
    [
        "https://10.0.0.1/x",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/x",
        "https://localhost/x",
        "http://localhost:1/x",
        "http://127.0.0.1:1/x",
        "https://127.0.0.1/x",
        "http://models.example.org/x",
        "http://169.254.169.254/x",
        "https://user@models.example.org/x",
        "https://2130706433/x",
        "//0x7f.1/x",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://1.1.1.1:22/x",
        "",
        "http://[",
    ],
)
async def test_a_redirect_into_this_network_or_to_no_mirror_ends_it(folder: Path, target: str) -> None:
    with serve(folder) as server, serve(folder) as other:
        server.redirects = {"/a": target.replace("127.0.0.1:1/", f"127.0.0.1:{other.port}/")}
        async with http(server) as speaks:
            with raises(MirrorUnusable, server):
                await span(speaks, "a", 5, 10, len(SMALL))
        assert other.asked == []


@covers("T42")
async def test_a_redirect_never_leads_out_of_tls() -> None:
    speaks = MirrorHttp(parse_mirror("https://models.example.org/x"), make_tls=no_tls, look_up=look_up)  # type: ignore[arg-type]
    asked = parse_web_url("https://models.example.org/x/a")
    elsewhere = h11.Response(status_code=302, headers=[("Location", "https://cdn.example/x?sig=1")])
    assert str(speaks._redirected(asked, elsewhere)) == "https://cdn.example/x?sig=1"
    with pytest.raises(MirrorUnusable, match="https to http"):
        speaks._redirected(asked, h11.Response(status_code=302, headers=[("Location", "http://localhost/x")]))


@covers("T15", "T42")
async def test_redirects_without_end_are_followed_a_few_times(folder: Path) -> None:
    with serve(folder) as server:
        server.redirects = {"/a": "/b", "/b": "/a"}
        async with http(server) as speaks:
            with raises(MirrorUnusable, server, "more than"):
                await span(speaks, "a", 5, 10, len(SMALL))
        assert len(server.asked) == limits.MIRROR_REDIRECTS_MAX + 1


class ManyNames:
    """A mirror whose every answer redirects over `hops` names that it never used before; it keeps all alive."""

    def __init__(self, nursery: trio.Nursery, hops: int) -> None:
        self.nursery, self.hops = nursery, hops
        self.names = 0
        self.connected: list[str] = []  # The host of each connection that came,
        self.open: list[str] = []  # and of those that are there.

    async def connect(self, url: WebUrl, address: Address, make_tls: object) -> HttpConnection:
        ours, theirs = trio.testing.memory_stream_pair()
        self.nursery.start_soon(self.serve, url.host, theirs)
        return HttpConnection(ours, address)

    async def serve(self, host: str, stream: trio.StapledStream) -> None:  # type: ignore[type-arg]
        self.connected.append(host)
        self.open.append(host)
        while request := await stream.receive_some():
            hop = int(request.partition(b"?")[2][:1] or b"0")
            if hop == self.hops:
                await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                continue
            self.names += 1
            to = f"https://h{self.names}.example.org/x?{hop + 1}"
            await stream.send_all(f"HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode())
        self.open.remove(host)

    async def look_up(self, host: str, port: int) -> list[str]:
        return ["8.8.8.8"]


@covers("T42")
@pytest.mark.parametrize("hops", [1, limits.MIRROR_REDIRECTS_MAX])
async def test_ever_new_names_of_a_mirror_keep_few_connections(hops: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async with trio.open_nursery() as nursery:
        names = ManyNames(nursery, hops)
        monkeypatch.setattr(module, "connect", names.connect)
        mirror = parse_mirror("https://models.example.org/x")
        speaks = MirrorHttp(mirror, make_tls=no_tls, look_up=names.look_up)  # type: ignore[arg-type]
        for _ in range(20):
            assert await speaks.whole("a", most=100) == b"ok"
            await trio.testing.wait_all_tasks_blocked()
            assert len(names.open) <= limits.MIRROR_IDLE_MAX
        assert names.names == 20 * hops
        await speaks.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert names.open == []


async def test_the_connection_to_the_mirror_itself_outlives_those_to_other_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with trio.open_nursery() as nursery:
        names = ManyNames(nursery, 1)
        monkeypatch.setattr(module, "connect", names.connect)
        mirror = parse_mirror("https://models.example.org/x")
        speaks = MirrorHttp(mirror, make_tls=no_tls, look_up=names.look_up)  # type: ignore[arg-type]
        for _ in range(20):
            await speaks.whole("a", most=100)
        assert names.connected.count("models.example.org") == 1
        await speaks.aclose()


async def test_the_time_that_we_take_ourselves_is_not_the_servers(autojump_clock: trio.testing.MockClock) -> None:
    with trio.fail_after(10) as theirs:
        await trio.sleep(6)
        with _our_time(theirs):
            await trio.sleep(1000)
        assert theirs.deadline - trio.current_time() == pytest.approx(4)
        with pytest.raises(KeyError), _our_time(theirs):
            raise KeyError
        assert theirs.deadline - trio.current_time() == pytest.approx(4)
