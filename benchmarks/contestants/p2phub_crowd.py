"""p2phub in a crowd: capped nodes, and fetches that serve while they fetch.

A requester is told the ticket and the providers alone; the other requesters it has to learn of by itself. It ends when
its files are durable, as a user's does, and serves nobody afterwards.
"""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.contestants.crowd import Finished, Member, Scene
from benchmarks.contestants.p2phub import P2phub, the_event, verified_moment
from benchmarks.payload import Payload
from benchmarks.processes import Command, Running, run

_PUBLISH_S = 600.0
_LISTEN = ("--listen", "127.0.0.1:0", "--no-lan")


class P2phubCrowd:
    """`p2phub node --up RATE` to several `p2phub fetch TICKET --provider ADDRESS...`."""

    name = "p2phub"
    description = "node --up RATE; fetch TICKET --provider ADDRESS, told the providers alone; done: ended, synced"

    def __init__(self, p2phub: P2phub) -> None:
        self._p2phub = p2phub
        self._homes: list[Path] = []
        self._cap_bytes_per_s = 0
        self._ticket = ""

    def install(self) -> None:
        pass

    def prepare(self, payload: Payload, scene: Scene, directory: Path) -> None:
        self._homes = [directory / f"home-{number}" for number in range(scene.providers)]
        self._cap_bytes_per_s = scene.cap_bytes_per_s
        for home in self._homes:
            publish = self._p2phub.publish(payload, home)
            said = run(publish, stderr=directory / "publish.stderr", timeout_s=_PUBLISH_S).said
            self._ticket = str(the_event(said, "published")["ticket"])  # equal content has an equal digest

    def provider(self, number: int) -> Command:
        rate = f"{self._cap_bytes_per_s // 10**6}MB"
        return self._p2phub.command(self._homes[number], "node", *_LISTEN, "--up", rate)

    def address(self, provider: Running) -> str:
        return self._p2phub.address(provider)

    def requesters(self, addresses: Sequence[str], members: Sequence[Member]) -> Sequence[Command]:
        told = [word for address in addresses for word in ("--provider", address)]
        return [
            self._p2phub.command(
                member.scratch / "home", "fetch", self._ticket, *told, "--into", str(self.tree(member.into)), *_LISTEN
            )
            for member in members
        ]

    def finish(self, requester: Running, *, timeout_s: float) -> Finished:
        ended = requester.wait(timeout_s=timeout_s)
        return Finished(verified=verified_moment(ended), done=ended.moment, cpu_s=ended.cpu_s)

    def tree(self, into: Path) -> Path:
        return into / "files"
