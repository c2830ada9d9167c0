"""The child's program: a direct plane that moves bulk bytes and asks the parent for all else.

What the plane needs of the world above it stands here by proxy: the shelf and the control desk (asked of the parent),
and the plans of fetches (files are opened by the parent, which sends the descriptor). It ends when the parent's end of
the post closes, so a killed parent leaves no child behind.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import trio

from p2phub.content import Digest, RangeSet, ReadPlan, Steady, WritePlan
from p2phub.errors import HubError, PeerError, PeerGone
from p2phub.identity import Address, PeerId
from p2phub.net.bulk.letters import (
    digests_in,
    error_in,
    error_out,
    peer_address_in,
    ranges_in,
    report_out,
    table_in,
)
from p2phub.net.bulk.post import Letter, Post, PostClosed
from p2phub.net.bulk.questions import Questions
from p2phub.net.credential import Credential
from p2phub.net.direct import DirectPlane, run_plane
from p2phub.net.interface import Closed, Link, Offer
from p2phub.net.throttle import Caps, Throttle
from p2phub.net.writing import FILES_AT_ONCE
from p2phub.wire import LENGTH_BYTES, ControlAnswer, ControlRequest, decode_control_answer, encode

_log = logging.getLogger(__name__)
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


@dataclass
class DistantShelf:
    """`net.Shelf` and the control desk, asked of the parent."""

    post: Post
    questions: Questions

    def offer(self, manifest: Digest, requester: PeerId) -> Offer:
        about = {"manifest": manifest.raw, "peer": requester.public_key}
        letter, _ = self.questions.ask(what="offer", **about)

        def blob(digest: Digest) -> bytes | None:
            found: bytes | None = self.questions.ask(what="blob", digest=digest.raw, **about)[0]["blob"]
            return found

        def open_files(files: Sequence[int]) -> list[HandedFile | HubError]:
            answer, descriptors = self.questions.ask(what="read", files=list(files), **about)
            left = iter(descriptors)
            return [_handed(found, left) for found in answer["files"]]

        def open_file(file: int) -> HandedFile:
            walker = AheadWalker(open_files)
            return walker.open(file)

        def held() -> RangeSet:
            return ranges_in(self.questions.ask(what="held", **about)[0]["held"])

        plan = ReadPlan(
            manifest, table_in(letter["table"]), ranges_in(letter["held"]), open_file, lambda: AheadWalker(open_files)
        )
        order = tuple(Digest(raw) for raw in letter["order"])
        return Offer(plan, order, blob, held if letter["grows"] else None)

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


@dataclass(frozen=True, slots=True)
class HandedFile:
    """`content.Readable` of a descriptor that the parent opened."""

    descriptor: int
    steady: Steady

    def unchanged(self) -> bool:
        return self.steady.holds(os.fstat(self.descriptor))

    def close(self) -> None:
        os.close(self.descriptor)


def _handed(found: Letter, descriptors: Iterator[int]) -> HandedFile | HubError:
    if "error" in found:
        return error_in(found["error"])
    exactly = found["exactly"]
    return HandedFile(next(descriptors), Steady(None if exactly is None else tuple(exactly), found["size_max"]))


class AheadWalker:
    """`content.Walker` that asks the parent for the next files together: for each alone it would wait each time."""

    def __init__(self, open_files: Callable[[Sequence[int]], list[HandedFile | HubError]]) -> None:
        self._open_files = open_files
        self._expected: list[int] = []
        self._ready: dict[int, HandedFile | HubError] = {}

    def expect(self, files: Sequence[int]) -> None:
        self._let_go()
        self._expected = list(files)

    def open(self, file: int) -> HandedFile:
        if file not in self._ready:
            some = [file]
            if file in self._expected:
                at = self._expected.index(file)
                some = self._expected[at : at + FILES_AT_ONCE]
                self._expected = self._expected[at + len(some) :]
            self._ready |= dict(zip(some, self._open_files(some), strict=True))
        found = self._ready.pop(file)
        if isinstance(found, HubError):
            raise found
        return found

    def close(self) -> None:
        self._let_go()

    def _let_go(self) -> None:
        while self._ready:
            _, found = self._ready.popitem()
            if isinstance(found, HandedFile):
                found.close()


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
                self._questions.answered(letter, descriptors)
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
                link.use(self._plans[letter["plan"]])
            case "ask":
                link.ask(digests_in(letter["blobs"]))
            case "grant":
                link.grant(ranges_in(letter["chunks"]))
            case "revoke":
                link.revoke()
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
            try:
                link = await self._plane.open_link(
                    peer_address_in(letter["to"]),
                    Digest(letter["manifest"]),
                    prefix_bytes=letter["prefix"],
                    via=letter["via"],
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
                self._post.send({"t": "report", "link": number, **report_out(report)})
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
