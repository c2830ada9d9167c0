"""A town in which activities are cancelled: two providers of a model, and one who wants it and keeps it on a real disk.

All is the production engine in the simulator, so that a checkpoint has its number; stores and ledgers are those of a
home on disk. `cancel_everywhere` cancels, looks what is left, and runs the same again: what is left is what that needs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from p2phub import limits
from p2phub.content import Codec, Digest
from p2phub.discovery import Asked, Candidate
from p2phub.engine.fetch import Means, Wish, fetch
from p2phub.engine.mirrors import no_mirrors
from p2phub.engine.search import Search
from p2phub.engine.workers import Workers
from p2phub.identity import MirrorId, SecretKey
from p2phub.manifest import Release
from p2phub.net.mirror import MirrorPlane
from p2phub.store.filesystem import FilesystemStore
from p2phub.store.ledger import FileLedger
from simnet import det
from simnet.characters import GUILTY
from simnet.descriptors import system_calls
from simnet.disk import wrong_paths
from simnet.finding import SimFinder
from simnet.network import Ether, Network
from simnet.node import Node, key_of
from simnet.scene import MB, Member
from simnet.trace import Trace
from simnet.truth import truth_of
from simnet.witness import Witness
from tests.support.cancelling import cancelled_at, names_below, some_of, what_is_left

SETTLE_S = 30.0  # Virtual: how long what was cut off may take to notice.
FILES = {"model.safetensors": 900_000, "sub/config.json": 3_000, "readme.md": 40}
RATE = MB / 2  # So that a fetch lasts long enough for its providers to be kept company.
PUBLISHER = SecretKey(b"p" * 32)
some_or_all = pytest.mark.parametrize(
    "most", [pytest.param(20, id="some"), pytest.param(10**6, id="all", marks=pytest.mark.endurance)]
)
"""At how many of its checkpoints an activity is cancelled: some by each run of the tests, all by `make endurance`."""


class Town:
    """Two providers of what was published, ann and cy, and bob, who wants it and keeps it on a real disk."""

    def __init__(self, at: Path) -> None:
        chance = det.Chance(1)
        self.at = at
        self.ether = Ether(chance.of("ether"))
        self.network = Network(self.ether, Trace(), chance.of("network"))
        self.truth = truth_of(FILES, 64 << 10, chance)
        members = (
            Member("ann", holds=True, up=RATE),
            Member("cy", holds=True, up=RATE),
            Member("bob", fetches=True, real_disk=True),
        )
        names = {str(key_of(number).peer_id): member.name for number, member in enumerate(members, 1)}
        assert not GUILTY & {member.character for member in members}
        self.witness = Witness(self.truth, names, frozenset())
        self.ann, self.cy, self.bob = (
            Node(number, member, self.network, self.truth, self.witness, chance.of("node", member.name), at)
            for number, member in enumerate(members, 1)
        )
        for provider in (self.ann, self.cy):
            provider.publish(shared=True)
        self.chance = chance.of("finder")
        self.workers = Workers(2)
        self.homes: list[FilesystemStore | FileLedger] = []

    @property
    def nodes(self) -> tuple[Node, ...]:
        return self.ann, self.cy, self.bob

    async def fetch(
        self,
        into: str,
        known: Sequence[Node] = (),
        mirrors: Sequence[MirrorId] = (),
        plane: MirrorPlane | None = None,
    ) -> None:
        """Fetch all as bob, and compare."""
        assert self.bob.plane is not None
        folder = self.at / into
        means = Means(
            self.bob.plane,
            self.bob.store,
            self.workers,
            self.bob.peer,
            open_mirrors=no_mirrors if plane is None else lambda: plane,
            shelf=self.bob.shelf,
            exchange=self.bob.exchange,
        )
        wish = Wish(self.truth.root.text(Codec.MSGPACK), self.truth.root, folder)
        fetching = self.witness.begins("bob")
        await fetch(wish, search=self.search(known, mirrors), means=means, watch=partial(self.witness.hears, fetching))
        assert set(self.bob.store.paths(folder)) == set(self.truth.files)
        assert not wrong_paths(self.bob.store, folder, self.truth)

    def search(self, known: Sequence[Node] = (), mirrors: Sequence[MirrorId] = ()) -> Search:
        async def open_finder() -> SimFinder:
            await trio.sleep(0.1)
            return SimFinder([self.ann.where, self.cy.where], self.chance)

        return Search([Candidate(node.where, "direct") for node in known], open_finder, given=mirrors)

    def store_and_ledger(self, home: str) -> tuple[FilesystemStore, FileLedger]:
        store, ledger = FilesystemStore(self.at / home), FileLedger(self.at / home)
        self.homes += [store, ledger]
        return store, ledger

    def make_folder(self, name: str) -> Path:
        """Put the content into a new folder, as a user has it."""
        folder = self.at / name
        for path, data in self.truth.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        return folder

    async def settle(self) -> None:
        """Let what was cut off notice, and the simulated disk sync: it has a descriptor of its own till then."""
        await trio.sleep(SETTLE_S)
        self.bob.store.disk.forget_all()

    def look(self, when: str) -> None:
        """Say what is wrong with what can be seen from outside."""
        assert not self.witness.failures, f"{when}: {self.witness.failures}"
        assert not self.witness.channels_open, f"{when}: {self.witness.channels_open}"
        for node in self.nodes:
            left = [stream.other.name for stream in node.host.streams]
            assert not left, f"{when}: {node.name} has connections to {left}"
        # Of several workers none is taken, or the next activity would wait for it.
        for limiter in (self.workers._limiter, self.workers._long):
            assert not limiter.borrowed_tokens, when


@asynccontextmanager
async def open_town(at: Path, *, living: tuple[str, ...] = ("ann", "cy", "bob")) -> AsyncIterator[Town]:
    town = Town(at)
    async with trio.open_nursery() as nursery:
        for node in town.nodes:
            if node.name in living:
                nursery.start_soon(node.live)
                await node.up.wait()
        yield town
        nursery.cancel_scope.cancel()
    for each in (*(node.store for node in town.nodes), *town.homes):
        each.close()


Activity = Callable[[int], Awaitable[object]]
"""Does the thing for the n-th time, and asserts what comes of it."""


async def cancel_everywhere(
    town: Town, activity: Activity, most: int, *, may_leave: str = "", of: Node | None = None
) -> None:
    """Cancel `activity` at up to `most` of its checkpoints, look what is left, run it again, and look once more.

    `may_leave`: where its files may be ({}: n). `of`: the node whose activity it is, if others go on meanwhile.
    """
    await activity(0)  # What is made once, as by every program: files of a home, places in a cache.
    steps = await cancelled_at(0, partial(activity, 1))
    assert steps is not None
    await town.settle()
    before, caught = what_is_left(), 0
    for number, step in enumerate(points := some_of(steps, most), 2):
        files = names_below(town.at)
        when = f"cancelled at checkpoint {step} of {steps}"
        ended = await cancelled_at(step, partial(activity, number))
        caught += ended is None
        await town.settle()
        if of is None:
            assert not (more := what_is_left().more_than(before)), f"{when}: {more}"
            town.look(when)
        else:
            assert not of.host.streams, when
            assert of.host.listener is None, when
        new = names_below(town.at) - files
        ours = may_leave.format(number)
        assert all(ours and (path + "/").startswith(ours + "/") for path in new), f"{when}: {new} were left"
        try:
            await activity(number)
        except Exception as exc:
            exc.add_note(f"after it was {when}")
            raise
        await town.settle()
        again = f"run again after it was {when}"
        assert not (more := what_is_left().more_than(before)), f"{again}: {more}"
        town.look(again)
    # At its end an activity closes what it opened and cannot be cancelled any more.
    assert caught >= len(points) / 2, f"of {len(points)} cancellations {caught} came while it ran"


def in_town(
    at: Path, scene: Callable[[Town], Awaitable[None]], *, living: tuple[str, ...] = ("ann", "cy", "bob")
) -> None:
    async def main() -> None:
        async with open_town(at, living=living) as town:
            await scene(town)

    with system_calls():
        det.run(0, main)


class TellingFinder:
    """`net.Finder` that knows one release, and notes what it is told; each answer takes a while."""

    def __init__(self, *releases: bytes) -> None:
        self.releases = releases
        self.announced: list[Digest] = []
        self.put: list[bytes] = []

    async def providers(self, manifest: Digest, found: trio.MemorySendChannel[Candidate]) -> None:
        await trio.sleep(0.1)

    async def release(self, publisher: object, name: str, tag: str) -> tuple[bytes, ...]:
        await trio.sleep(0.1)
        return self.releases

    async def announce(self, manifest: Digest) -> int:
        await trio.sleep(0.1)
        self.announced.append(manifest)
        return 3

    async def put_release(self, key: str, signed: bytes) -> int:
        await trio.sleep(0.1)
        self.put.append(signed)
        return 3

    def asked(self) -> tuple[Asked, ...]:
        return (Asked("dht"),)


def release_of(town: Town, name: str) -> Release:
    return Release(
        publisher=PUBLISHER.peer_id,
        name=name,
        sequence=7,
        manifest=town.truth.root,
        bytes_total=town.truth.bytes_total,
        created=det.EPOCH_S,
        expires=det.EPOCH_S + limits.RELEASE_LIFETIME_S,
    )
