"""The parent's side: children that carry bulk bytes for a node whose loop is busy with other things.

`BulkProcesses` is a `Dialler` and the handler of accepted TLS connections. It hands both to children: a dial to the one
with the fewest links, a connection by the address it comes from, so that what is bounded per peer stays with one child.
While no child is ready the plane of this process does the work. A child that ends takes its connections along: their
links report PeerGone, as if the network had failed, and are dialled anew; another child is started at once.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

import p2phub
from p2phub import limits
from p2phub.content import Digest, WritePlan
from p2phub.errors import PeerError, PeerGone
from p2phub.identity import PeerAddress, PeerId
from p2phub.net.bulk.answers import Answers
from p2phub.net.bulk.letters import error_in, peer_address_out, report_in, table_out
from p2phub.net.bulk.link import ChildLink
from p2phub.net.bulk.post import Letter, Post, PostClosed, make_pair
from p2phub.net.direct import DirectPlane, take_socket
from p2phub.net.interface import AnswerControl, Closed, Control, Link, Shelf, WindowNow
from p2phub.net.throttle import Caps, Throttle

_log = logging.getLogger(__name__)
_AGAIN_S, _AGAIN_S_MAX = 0.1, 30.0  # A child that ended is replaced after this long, doubled while they end young.
_OLD_S = 60.0
"""A child that lived for so long was no failed start."""


class BulkProcesses:
    """The children of a node, and the plane that stands in for them. Made by `open_bulk_processes`."""

    def __init__(self, plane: DirectPlane, shelf: Shelf, answer: AnswerControl, caps: Caps, count: int) -> None:
        self._plane = plane
        self._children = [_Child(plane, shelf, answer, caps, count) for _ in range(count)]
        caps.up.changed = caps.down.changed = self._tell_caps
        caps.up.showed = self._tell_shown

    @property
    def processes(self) -> tuple[int, ...]:
        """The ids of the children that are at work now."""
        return tuple(child.process_id for child in self._children if child.is_ready)

    async def ready(self) -> None:
        """Wait until every child is at work."""
        for child in self._children:
            await child.ready.wait()

    async def open_link(self, provider: PeerAddress, manifest: Digest, *, prefix_bytes: int, via: str) -> Link:
        """As `DirectPlane.open_link`."""
        ready = [child for child in self._children if child.is_ready]
        if not ready:
            return await self._plane.open_link(provider, manifest, prefix_bytes=prefix_bytes, via=via)
        child = min(ready, key=lambda child: child.load)
        return await child.open_link(provider, manifest, prefix_bytes=prefix_bytes, via=via)

    async def open_control(self, peer: PeerAddress) -> Control:
        """As `DirectPlane.open_control`: small questions stay in this process."""
        return await self._plane.open_control(peer)

    async def handle(self, stream: trio.SocketStream, settled: Callable[[], None] = lambda: None) -> None:
        """Serve one accepted TCP connection to its end, of which nothing has been read yet."""
        try:
            child = self._children[zlib.crc32(stream.socket.getpeername()[0].encode()) % len(self._children)]
        except OSError:  # Gone already.
            return
        if child.is_ready:
            await child.serve(stream, settled)
        else:
            await self._plane.handle(stream, settled)

    def _tell_caps(self) -> None:
        for child in self._children:
            child.tell_caps()

    def _tell_shown(self, manifest: Hashable, shown: Mapping[PeerId, int]) -> None:
        for child in self._children:
            child.tell_shown([(manifest, peer, count) for peer, count in shown.items()])

    async def run(self) -> None:
        """Keep the children alive until cancelled."""
        async with trio.open_nursery() as nursery:
            for child in self._children:
                nursery.start_soon(child.keep_alive)


@asynccontextmanager
async def open_bulk_processes(
    plane: DirectPlane, shelf: Shelf, answer: AnswerControl, caps: Caps | None = None, *, count: int
) -> AsyncIterator[BulkProcesses]:
    """Run `count` (at least 1) children for what `plane` would do, within `caps`. On the way out they end."""
    async with trio.open_nursery() as nursery:
        processes = BulkProcesses(plane, shelf, answer, caps or Caps(), count)
        nursery.start_soon(processes.run)
        try:
            yield processes
        finally:
            nursery.cancel_scope.cancel()


class _Dial:
    """A dial that the child is at."""

    def __init__(self) -> None:
        self.done = trio.Event()
        self.error: PeerError | None = None


class _Served:
    """A connection that the child serves."""

    def __init__(self, settled: Callable[[], None]) -> None:
        self.settled = settled
        self.ended = trio.Event()


class _Child:
    """One child at a time, started anew when it ends."""

    def __init__(self, plane: DirectPlane, shelf: Shelf, answer: AnswerControl, caps: Caps, siblings: int) -> None:
        self._plane, self._shelf = plane, shelf
        self._caps, self._siblings = caps, siblings
        self._post: Post | None = None
        self.process_id = 0
        self.is_ready = False
        self.ready = trio.Event()
        self._numbers = 0
        self._links: dict[int, ChildLink] = {}
        self._dials: dict[int, _Dial] = {}
        self._served: dict[int, _Served] = {}
        self._plans: dict[int, tuple[WritePlan, int]] = {}  # The plan, and how many links use it.
        self._answers = Answers(shelf, answer, self._plan)

    @property
    def load(self) -> int:
        return len(self._links) + len(self._dials)

    def send(self, letter: Letter, descriptors: Sequence[int] = ()) -> None:
        if self._post is not None:
            self._post.send(letter, descriptors)
            return
        for descriptor in descriptors:
            os.close(descriptor)

    def tell_caps(self) -> None:
        """Have the child keep the node's caps: its share of them, where there are several children."""

        def share(rate: float | None) -> float | None:
            return None if rate is None else rate / self._siblings

        def of(throttle: Throttle) -> list[Any]:
            jobs = [(job, rate, behind) for job, rate, behind in throttle.jobs() if isinstance(job, Digest)]
            return [share(throttle.rate), [[job.raw, share(rate), behind] for job, rate, behind in jobs]]

        self.send({"t": "caps", "up": of(self._caps.up), "down": of(self._caps.down)})

    def tell_shown(self, shown: Iterable[tuple[Hashable, PeerId, int]]) -> None:
        """Let the child know what peers gave to others: it serves them by that."""
        told = [(of.raw, peer.public_key, count) for of, peer, count in shown if isinstance(of, Digest)]
        if told:
            self.send({"t": "shown", "shown": told})

    # --- the process -------------------------------------------------------------------------------------------------

    async def keep_alive(self) -> None:
        again_s = _AGAIN_S
        while True:
            began = trio.current_time()
            try:
                await self._live()
            except OSError as exc:
                _log.warning("the bulk process could not be started: %s", exc)
            again_s = _AGAIN_S if trio.current_time() - began >= _OLD_S else min(2 * again_s, _AGAIN_S_MAX)
            await trio.sleep(again_s)

    async def _live(self) -> None:
        """Start a child and take its letters to its end."""
        near, far = make_pair()
        with near:
            with far:
                process = await trio.lowlevel.open_process(
                    _command(far.fileno()), pass_fds=[far.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
                )
            post = self._post = Post(near)
            self.process_id = process.pid
            try:
                credential = self._plane.credential
                self.send(
                    {
                        "t": "start",
                        "peer": credential.peer.public_key,
                        "certificate": credential.certificate,
                        "leaf_key": credential.leaf_key,
                    }
                )
                self.tell_caps()
                self.tell_shown(self._caps.up.shown())
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(post.run)
                    await self._read(post, nursery)
                    nursery.cancel_scope.cancel()
                _log.warning("the bulk process %d ended; its transfers are taken up again by another", process.pid)
            finally:
                self._let_go()
                post.close()
                await _end(process)

    async def _read(self, post: Post, nursery: trio.Nursery) -> None:
        while True:
            try:
                letter, _ = await post.receive()
            except PostClosed:
                return
            self._take(letter, nursery)

    def _let_go(self) -> None:
        """The child is gone: whatever it was at has failed."""
        self._post, self.is_ready, self.ready = None, False, trio.Event()
        for dial in self._dials.values():
            dial.error = PeerGone("the bulk process of this node ended")
            dial.done.set()
        for link in list(self._links.values()):
            link.end()
        for served in self._served.values():
            served.ended.set()
        self._links, self._dials, self._served, self._plans = {}, {}, {}, {}

    # --- what the node wants of it -----------------------------------------------------------------------------------

    async def open_link(self, provider: PeerAddress, manifest: Digest, *, prefix_bytes: int, via: str) -> ChildLink:
        number, dial = self._number(), _Dial()
        self._dials[number] = dial
        # Before the answer: reports may follow it within one turn of the loop.
        link = self._links[number] = ChildLink(self, number, provider, via)
        self.send(
            {
                "t": "dial",
                "link": number,
                "to": peer_address_out(provider),
                "manifest": manifest.raw,
                "prefix": prefix_bytes,
                "via": via,
            }
        )
        try:
            await dial.done.wait()
        except trio.Cancelled:
            link.close()
            raise
        finally:
            self._dials.pop(number, None)
        if dial.error is not None:
            self._links.pop(number, None)
            raise dial.error
        return link

    async def serve(self, stream: trio.SocketStream, settled: Callable[[], None]) -> None:
        number, served = self._number(), _Served(settled)
        self._served[number] = served
        self.send({"t": "serve", "connection": number}, [take_socket(stream).detach()])
        try:
            await served.ended.wait()
        finally:
            if self._served.pop(number, None) is not None:
                self.send({"t": "drop", "connection": number})

    def lend(self, plan: WritePlan) -> int:
        """Make a plan known to the child; returns its number."""
        for number, (known, users) in self._plans.items():
            if known is plan:
                self._plans[number] = (plan, users + 1)
                return number
        number = self._number()
        self._plans[number] = (plan, 1)
        self.send({"t": "plan", "plan": number, "manifest": plan.manifest.raw, "table": table_out(plan.table)})
        return number

    def take_back(self, plan: WritePlan) -> None:
        """Say that one link less uses a plan."""
        for number, (known, users) in list(self._plans.items()):
            if known is plan and users > 1:
                self._plans[number] = (plan, users - 1)
            elif known is plan:
                del self._plans[number]
                self.send({"t": "forget", "plan": number})

    def _plan(self, number: int) -> WritePlan:
        return self._plans[number][0]

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    # --- what it says ------------------------------------------------------------------------------------------------

    def _take(self, letter: Letter, nursery: trio.Nursery) -> None:
        match letter["t"]:
            case "report":
                link = self._links[letter["link"]]
                report = report_in(letter)
                if isinstance(report, Closed):
                    del self._links[letter["link"]]
                link.reported(report, WindowNow(*letter["window"]))
            case "question":
                nursery.start_soon(self._answer, letter)
            case "sent":
                self._shelf.sent(Digest(letter["manifest"]), PeerId(letter["peer"]), letter["bytes"])
            case "settled":
                if (served := self._served.get(letter["connection"])) is not None:
                    served.settled()
            case "ended":
                if (served := self._served.pop(letter["connection"], None)) is not None:
                    served.ended.set()
            case "dialled" | "failed":
                if (dial := self._dials.get(letter["link"])) is not None:
                    error = error_in(letter["error"]) if letter["t"] == "failed" else None
                    assert error is None or isinstance(error, PeerError)
                    dial.error = error
                    dial.done.set()
                elif letter["t"] == "failed":  # Nobody waits for it any more.
                    self._links.pop(letter["link"], None)
            case "pressed":
                self._caps.down.press(Digest(letter["job"]))
            case "ready":
                self.is_ready = True
                self.ready.set()
            case other:
                raise AssertionError(f"a letter that nobody sends: {other}")

    async def _answer(self, letter: Letter) -> None:
        answer, descriptors = await self._answers.answer(letter)
        self.send({"t": "answer", "number": letter["number"], **answer}, descriptors)


def _command(descriptor: int) -> list[str]:
    """Return what starts the child: this interpreter, and the very package that this process runs."""
    root = str(Path(p2phub.__file__).parent.parent)
    program = f"import sys; sys.path.insert(0, {root!r}); from p2phub.net.bulk.child import main; main({descriptor})"
    return [sys.executable, "-P", "-c", program]


async def _end(process: trio.Process) -> None:
    """Wait for a child whose post was closed; one that does not end by that is killed."""
    with trio.CancelScope(shield=True):
        with trio.move_on_after(limits.GOODBYE_S):
            await process.wait()
        if process.returncode is None:
            process.kill()
            await process.wait()
