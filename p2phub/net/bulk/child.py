"""The child's program: a direct plane that moves bulk bytes and asks the parent for all else.

What the plane needs of the world above it stands here by proxy: the shelf and the control desk (asked of the parent),
and the plans of fetches (files are opened by the parent, which sends the descriptor). It ends when the parent's end of
the post closes, so a killed parent leaves no child behind.
"""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import msgspec
import trio

from p2phub.content import ChunkTable, Digest, RangeSet, ReadPlan, Walker, WritePlan
from p2phub.errors import DiskError, HubError, PeerError, PeerGone
from p2phub.identity import Address, PeerId
from p2phub.net.alone import alone
from p2phub.net.bulk.growing import Growing
from p2phub.net.bulk.letters import (
    digests_in,
    error_out,
    numbers_in,
    peer_address_in,
    ranges_in,
    report_out,
    table_in,
)
from p2phub.net.bulk.post import LOST, Letter, Post, PostClosed
from p2phub.net.bulk.questions import Questions
from p2phub.net.bulk.walkers import AheadWalker, HandedFile, NeighbourWalker, handed
from p2phub.net.credential import Credential
from p2phub.net.direct import DirectPlane, run_plane
from p2phub.net.interface import Closed, Link, Offer
from p2phub.net.throttle import Caps, Throttle
from p2phub.wire import LENGTH_BYTES, ControlAnswer, ControlRequest, decode_control_answer, encode

_log = logging.getLogger(__name__)
_MANIFESTS_KEPT = 8  # Served lately: their tables.
_PRESSED_LOOK_S = 0.5  # Well within PRESSED_S, for which it counts.


def main(descriptor: int) -> None:
    """Work for whoever holds the other end of the socket `descriptor`, until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this process in good order.
    with socket.socket(fileno=descriptor) as sock:
        trio.run(_work, sock)


async def _work(sock: socket.socket) -> None:
    post = Post(sock)
    questions = Questions(post)
    try:
        letter, _ = await post.receive()
        credential = Credential(PeerId(letter["peer"]), letter["certificate"], letter["leaf_key"])
        shelf = DistantShelf(post, questions)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(post.run)
            caps = Caps()
            async with run_plane(credential, shelf, shelf.answer_control, caps) as plane:
                nursery.start_soon(_tell_pressed, post, caps.down)
                post.send({"t": "ready"})
                try:
                    await _Child(post, questions, plane, caps, nursery).obey()
                except PostClosed:
                    pass
                finally:
                    questions.end()
                    nursery.cancel_scope.cancel()
    except PostClosed:
        pass


async def _tell_pressed(post: Post, down: Throttle) -> None:
    """Let the parent know which jobs our caps hold back: it must not take their providers for slow ones."""
    while True:
        await trio.sleep(_PRESSED_LOOK_S)
        for job, _, _ in down.jobs():
            if isinstance(job, Digest) and down.is_pressed(job):
                post.send({"t": "pressed", "job": job.raw})


class DistantShelf(msgspec.Struct):
    """`net.Shelf` and the control desk, asked of the parent."""

    post: Post
    questions: Questions
    _known: OrderedDict[Digest, tuple[ChunkTable, Growing]] = msgspec.field(default_factory=OrderedDict)
    _lock: threading.Lock = msgspec.field(default_factory=threading.Lock)

    def offer(self, manifest: Digest, requester: PeerId) -> Offer:
        about = {"manifest": manifest.raw, "peer": requester.public_key}
        with self._lock:
            table, _ = self._known.get(manifest, (None, None))
        letter, _ = self.questions.ask(what="offer", known=table is not None, **about)
        table, growing = self._shared(manifest, table_in(letter["table"]) if table is None else table)

        def blob(digest: Digest) -> bytes | None:
            found: bytes | None = self.questions.ask(what="blob", digest=digest.raw, **about)[0]["blob"]
            return found

        def open_files(files: Sequence[int]) -> list[HandedFile | HubError]:
            answer, descriptors = self.questions.ask(what="read", files=list(files), **about)
            left = iter(descriptors)
            return [handed(found, left) for found in answer["files"]]

        def open_file(file: int) -> HandedFile:
            return AheadWalker(open_files).open(file)

        def neighbours(first: int) -> tuple[Letter, list[int]]:
            return self.questions.ask(what="neighbours", first=first, **about)

        def walks() -> Walker:
            return NeighbourWalker(neighbours, open_files) if letter["folders"] else AheadWalker(open_files)

        def ask_held() -> RangeSet:
            return ranges_in(self.questions.ask(what="held", **about)[0]["held"])

        def held() -> RangeSet:
            return growing.now(ask_held)

        plan = ReadPlan(manifest, table, ranges_in(letter["held"]), open_file, walks)
        order = tuple(Digest(raw) for raw in letter["order"])
        return Offer(plan, order, blob, held if letter["grows"] else None)

    def _shared(self, manifest: Digest, table: ChunkTable) -> tuple[ChunkTable, Growing]:
        """Return what all connections share: a manifest has one table, and of a large one it is megabytes."""
        with self._lock:
            known = self._known.setdefault(manifest, (table, Growing()))
            self._known.move_to_end(manifest)
            if len(self._known) > _MANIFESTS_KEPT:
                self._known.popitem(last=False)
        return known

    def sent(self, manifest: Digest, requester: PeerId, bytes_sent: int) -> None:
        self.post.send({"t": "sent", "manifest": manifest.raw, "peer": requester.public_key, "bytes": bytes_sent})

    def changed(self, manifest: Digest, file: int) -> None:
        # A question, not a word: the next offer is to know of it.
        self.questions.ask(what="changed", manifest=manifest.raw, file=file)

    async def answer_control(self, peer: PeerId, where: Address, request: ControlRequest) -> ControlAnswer:
        letter, _ = await self.questions.ask_in_loop(
            what="control",
            peer=peer.public_key,
            ip=where.ip,
            port=where.port,
            request=encode(request)[LENGTH_BYTES:],
        )
        return decode_control_answer(letter["answer"])


def _keep(throttle: Throttle, rate: float | None, jobs: list[list[Any]]) -> None:
    """Make caps what the parent says they are."""
    if throttle.rate != rate:
        throttle.set_rate(rate)
    wanted = {Digest(raw): (cap, background) for raw, cap, background in jobs}
    for job, _, _ in throttle.jobs():
        if job not in wanted:
            throttle.forget(job)
    for digest, (cap, background) in wanted.items():
        throttle.admit(digest, cap, background=background)


class _Child:
    """Does what the parent's letters say."""

    def __init__(self, post: Post, questions: Questions, plane: DirectPlane, caps: Caps, nursery: trio.Nursery) -> None:
        self._post, self._questions, self._plane, self._nursery = post, questions, plane, nursery
        self._caps = caps
        self._links: dict[int, Link] = {}
        self._dials: dict[int, trio.CancelScope] = {}
        self._served: dict[int, trio.CancelScope] = {}
        self._plans: dict[int, WritePlan] = {}

    async def obey(self) -> None:
        """Take letters until the parent is gone."""
        while True:
            letter, descriptors = await self._post.receive()
            self._take(letter, descriptors)

    def _take(self, letter: Letter, descriptors: list[int]) -> None:
        match letter["t"]:
            case "answer":
                if LOST in letter:
                    no_room = DiskError("no room for the files that the node opened: too many are open here")
                    letter = {"number": letter["number"], "error": error_out(no_room)}
                self._questions.answered(letter, descriptors)
            case "serve" if LOST in letter:  # As the listener does when it cannot accept.
                self._post.send({"t": "ended", "connection": letter["connection"]})
            case "serve":
                sock = trio.socket.from_stdlib_socket(socket.socket(fileno=descriptors[0]))
                self._nursery.start_soon(self._serve, letter["connection"], trio.SocketStream(sock))
            case "drop":
                if (scope := self._served.get(letter["connection"])) is not None:
                    scope.cancel()
            case "dial":
                self._nursery.start_soon(self._dial, letter)
            case "caps":
                _keep(self._caps.up, *letter["up"])
                _keep(self._caps.down, *letter["down"])
            case "shown":
                for manifest, peer, count in letter["shown"]:
                    self._caps.up.show(Digest(manifest), {PeerId(peer): count})
            case "plan":
                self._plans[letter["plan"]] = self._plan(letter)
            case "forget":
                del self._plans[letter["plan"]]
            case "close" if letter["link"] in self._dials:
                self._dials[letter["link"]].cancel()
            case _:
                link = self._links.get(letter["link"])
                if link is not None:  # Else it has closed, and the parent will read that in a moment.
                    self._tell(link, letter)

    def _tell(self, link: Link, letter: Letter) -> None:
        match letter["t"]:
            case "use":
                link.use(self._plans[letter["plan"]], numbers_in(letter["numbers"]))
            case "ask":
                link.ask(digests_in(letter["blobs"]))
            case "grant":
                link.grant(ranges_in(letter["chunks"]))
            case "revoke":
                link.revoke()
            case "cancel":
                link.cancel(ranges_in(letter["chunks"]))
            case "close":
                link.close()
            case other:
                raise AssertionError(f"a letter that nobody sends: {other}")

    async def _serve(self, connection: int, stream: trio.SocketStream) -> None:
        with trio.CancelScope() as scope:
            self._served[connection] = scope
            await self._plane.handle(stream, lambda: self._post.send({"t": "settled", "connection": connection}))
        del self._served[connection]
        self._post.send({"t": "ended", "connection": connection})

    async def _dial(self, letter: Letter) -> None:
        number = letter["link"]
        link: Link | None = None
        with trio.CancelScope() as scope:
            self._dials[number] = scope
            to = peer_address_in(letter["to"])
            try:
                with alone("a dial", to.peer):
                    link = await self._plane.open_link(
                        to, Digest(letter["manifest"]), prefix_bytes=letter["prefix"], via=letter["via"]
                    )
            except PeerError as exc:
                self._post.send({"t": "failed", "link": number, "error": error_out(exc)})
        del self._dials[number]
        if scope.cancelled_caught:
            self._post.send({"t": "failed", "link": number, "error": error_out(PeerGone("nobody waits for it"))})
        if link is None:
            return
        self._links[number] = link
        self._post.send({"t": "dialled", "link": number})
        try:
            while True:
                report = await link.next_report()
                self._post.send({"t": "report", "link": number, "window": list(link.window), **report_out(report)})
                if isinstance(report, Closed):
                    return
        finally:
            del self._links[number]
            link.close()

    def _plan(self, letter: Letter) -> WritePlan:
        plan = letter["plan"]

        def open_many(files: Sequence[int]) -> list[int]:
            return self._questions.ask(what="write", plan=plan, files=list(files))[1]

        def open_file(file: int) -> int:
            return open_many([file])[0]

        def path_of(file: int) -> str:
            path: str = self._questions.ask(what="path", plan=plan, file=file)[0]["path"]
            return path

        return WritePlan(Digest(letter["manifest"]), table_in(letter["table"]), open_file, path_of, open_many)
