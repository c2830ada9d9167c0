"""The five commands that work long or remove things, as jobs to be killed: publish, adopt, fetch, repair and gc.

What a kill costs is counted in bytes of verified work, by the most unfavourable of the counts there are:

- *hashing* (publish, adopt): what the killed attempt had told as hashed, and what was noted before it, less what is
  noted after it, of whole files and of those at hand.
- *arriving* (fetch, repair): what was still missing when it was killed, by what it had told as verified, or by what the
  provider had sent to it if that is more, against what the next attempt finds missing.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from random import Random
from typing import TypeVar

import trio

from p2phub.api.hub import Hub, open_hub
from p2phub.engine.hashing_all import LOST_S, TELL_S
from p2phub.limits import SYNC_BYTES
from p2phub.store.filesystem import FilesystemStore
from tests.support.hub_cache import Repository
from tests.support.kills import Job, read_claims, signed_digests
from tests.support.models import tree_digest
from tests.support.processes import Event, Node, Process, Scene

LOST_MAX = SYNC_BYTES
"""Bytes of verified work that a kill may cost; or what was done in LOST_S, if that is more."""

TELLINGS_LOST = math.ceil(LOST_S / TELL_S)
"""So many times at most does a pass tell how far it is from one note to the next, whatever the machine: none while it
notes, and at least TELL_S lie between two but at its end."""

T = TypeVar("T")


def in_home(home: Path, work: Callable[[Hub], Awaitable[T]]) -> T:
    """Return what `work` does with the hub of a home; where a daemon runs there, that one carries it out."""

    async def run() -> T:
        async with open_hub(home=home) as hub:
            return await work(hub)

    return trio.run(run)


class Publisher:
    """A daemon that serves what is published here, for jobs that fetch. `sent` counts what it gave."""

    def __init__(self, scene: Scene) -> None:
        self.node: Node = scene.node("publisher", "--bulk-processes", "0")
        self._home = scene.home("publisher")

    @property
    def words(self) -> list[str]:
        return ["--provider", self.node.address, "--no-lan"]

    def publish(self, folder: Path) -> str:
        """Publish a folder under its own name; return its reference."""
        return in_home(self._home, lambda hub: hub.publish(folder, name=folder.name)).reference

    def sent(self) -> int:
        """Return how many payload bytes it has sent, once that stands still."""
        before, now = -1, self._sent()
        while now != before:
            before, now = now, self._sent()
        return now

    def _sent(self) -> int:
        async def ask(hub: Hub) -> int:
            return sum(int(count) for count in (await hub.status())["served"].values())

        return in_home(self._home, ask)


# --- hashing ---------------------------------------------------------------------------------------------------------


class Hashing(Job):
    """A job that hashes the files of `folder` where they stand, each once, in a home of its own for each chain. At the
    end its manifest says of each what this process reads there. Links in `folder` are followed."""

    kind: str
    """The event that says how it ended."""

    def __init__(self, scene: Scene, title: str, folder: Path, bytes_per_s: int | None) -> None:
        super().__init__(scene, bytes_per_s=bytes_per_s)
        self._title = title
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        self._digests = {file.relative_to(folder).as_posix(): _sha256(file) for file in files}
        self._sizes = {file.resolve(): file.stat().st_size for file in files}
        self._total = sum(self._sizes.values())
        self._chain = 0
        self._noted = 0

    @property
    def title(self) -> str:
        return f"{self._title}-{self._chain}"

    @property
    def home(self) -> Path:
        return self.scene.home(self.title)

    def begin_anew(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)
        self._chain += 1
        self._noted = 0

    def killed(self, process: Process, ran_s: float) -> None:
        tellings = [
            (int(event["bytes_hashed"]), at)
            for event, at in zip(process.events, process.read_at, strict=True)
            if event["event"] == "progress"
        ]
        told = [count for count, _ in tellings] or [0]
        noted = self._noted_now()
        self.tally.claimed += read_claims(self.home)
        lost = max(0, self._noted + told[-1] - noted)
        since_note = told[-1] - (told[-1 - TELLINGS_LOST] if len(told) > TELLINGS_LOST else 0)
        bound = max(LOST_MAX, since_note)
        assert lost <= bound, process.failed(f"{lost} bytes were hashed for nothing, {bound} may be; told {told}")
        assert noted >= self._noted, "what was noted once is not forgotten"
        self.tally.lost.append(lost)
        kept = [at for count, at in tellings if count <= told[-1] - lost]
        if tellings:
            self.tally.lost_s.append(tellings[-1][1] - (kept[-1] if kept else tellings[0][1] - TELL_S))
        self._noted = noted

    def _noted_now(self) -> int:
        """Return how many bytes need not be hashed again: those of files that are noted, or held, and of others as much
        as is noted; if they were not so young when they were hashed that they might have been changed since unseen."""
        store = FilesystemStore(self.home)
        try:
            known = set(store.hashed_at(self._sizes))
            for holding in store.holdings():
                known |= {holding.folder / path for path in store.remembered(holding.folder)}
            rest = (store.part_hashed(place) for place in self._sizes if place not in known)
            parts = sum(part.offset for part in rest if part is not None)
            return parts + sum(length for place, length in self._sizes.items() if place in known)
        finally:
            store.close()

    def ended(self, process: Process) -> None:
        event = next(event for event in reversed(process.events) if event["event"] == self.kind)
        assert event["bytes_hashed"] <= self._total - self._noted, process.failed("hashed again what was noted")
        assert signed_digests(self.home) == self._digests
        assert read_claims(self.home) == self._total


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


class Publishing(Hashing):
    """`p2phub publish` of a folder."""

    kind = "published"

    def __init__(self, scene: Scene, folder: Path, *, bytes_per_s: int | None = None) -> None:
        super().__init__(scene, "publishes", folder, bytes_per_s)
        self._folder = folder

    def start(self) -> Process:
        return self.scene.start(self.title, "publish", self._folder, "--name", "m", "--no-lan")


class Adopting(Hashing):
    """`p2phub adopt` of a Hugging Face cache with one whole repository."""

    kind = "adopt"

    def __init__(self, scene: Scene, repository: Repository, *, bytes_per_s: int | None = None) -> None:
        super().__init__(scene, "adopts", repository.snapshot, bytes_per_s)
        self._hub = repository.hub

    def start(self) -> Process:
        return self.scene.start(self.title, "adopt", self._hub, "--no-lan")


# --- arriving --------------------------------------------------------------------------------------------------------


class Arriving(Job):
    """A job that brings a copy of `model` from `publisher` to `copy`."""

    def __init__(self, scene: Scene, publisher: Publisher, model: Path, copy: Path) -> None:
        super().__init__(scene)
        self.publisher = publisher
        self.model, self.copy = model, copy
        self.digest = tree_digest(model)
        # Bytes that the last attempt must have left missing, at the most; None if none had started since.
        self._missing: int | None = None
        self._ran_s, self._verified = 0.0, 0
        self._sent = publisher.sent()

    def begin_anew(self) -> None:
        self._missing = None
        self._sent = self.publisher.sent()

    def killed(self, process: Process, ran_s: float) -> None:
        self.tally.claimed += self.claims()
        self._resumed(process)
        sent, before = self.publisher.sent(), self._sent
        self._sent = sent
        told = [event["bytes_verified"] for event in process.events if "bytes_verified" in event]
        started = _started(process)
        if started is None:  # It verified nothing yet; the next is still measured by the one before.
            return
        missing = started["bytes_total"] - started["bytes_held"]
        verified = max([sent - before, *(each - started["bytes_held"] for each in told)])
        self._missing = max(0, missing - verified)
        self._ran_s, self._verified = ran_s, verified

    def _resumed(self, process: Process) -> None:
        """Compare what an attempt found missing with what the ones before had left."""
        started = _started(process)
        if self._missing is None:
            return
        if started is None:
            if process.popen.returncode == 0:  # There was nothing to do any more.
                self._lost(0, process)
            return
        self._lost(max(0, started["bytes_total"] - started["bytes_held"] - self._missing), process)

    def _lost(self, lost: int, process: Process) -> None:
        assert lost <= LOST_MAX, process.failed(f"{lost} bytes that were verified are missing again")
        self.tally.lost.append(lost)
        self.tally.lost_s.append(self._ran_s * lost / max(1, self._verified))
        self._missing = None

    def ended(self, process: Process) -> None:
        self._resumed(process)
        self._missing = None
        assert tree_digest(self.copy) == self.digest
        assert not (self.copy / ".p2phub").exists()
        assert read_claims(self.home) >= sum(file.stat().st_size for file in self.copy.rglob("*") if file.is_file())

    def claims(self) -> int:
        return read_claims(self.home)


class Fetching(Arriving):
    """`p2phub fetch` into an empty folder. With `alike`, another version of it is held by the same home: what both have
    is copied from there and not fetched."""

    def __init__(
        self, scene: Scene, publisher: Publisher, model: Path, copy: Path, *, alike: Path | None = None
    ) -> None:
        super().__init__(scene, publisher, model, copy)
        self._reference = publisher.publish(model)
        self.title = "fetches" if alike is None else "copies"
        self._alike = alike
        if alike is not None:
            in_home(self.home, lambda hub: hub.publish(alike, name="alike"))

    @property
    def home(self) -> Path:
        return self.scene.home(self.title)

    def begin_anew(self) -> None:
        if self.copy.exists():
            shutil.rmtree(self.copy)
            if self._alike is None:
                shutil.rmtree(self.home)
            else:
                in_home(self.home, lambda hub: hub.remove(str(self.copy)))
        super().begin_anew()

    def start(self) -> Process:
        return self.scene.start(
            self.title, "fetch", self._reference, "--into", self.copy, "--no-serve", *self.publisher.words
        )


class Repairing(Arriving):
    """`p2phub verify --repair` of a fetched copy, of which bytes at random places were changed, cut off or put behind.

    That it reads all of the copy first, to find what is wrong, is no verified work: it does so each time.
    """

    def __init__(self, scene: Scene, publisher: Publisher, model: Path, copy: Path, chance: Random) -> None:
        super().__init__(scene, publisher, model, copy)
        self._chance = chance
        self._files = sorted(model.glob("*.safetensors"))
        reference, providers = publisher.publish(model), [publisher.node.address]
        in_home(self.home, lambda hub: hub.fetch(reference, into=copy, providers=providers))

    @property
    def home(self) -> Path:
        return self.scene.home("repairs")

    def begin_anew(self) -> None:
        for file in self._chance.sample(self._files, k=max(1, 2 * len(self._files) // 3)):
            self._damage(self.copy / file.name)
        super().begin_anew()

    def _damage(self, file: Path) -> None:
        size = file.stat().st_size
        with file.open("r+b") as opened:
            for _ in range(self._chance.randint(1, 4)):
                start = self._chance.randrange(size)
                opened.seek(start)
                opened.write(self._chance.randbytes(min(size - start, self._chance.randint(1, size // 3))))
            match self._chance.randrange(4):
                case 0:
                    opened.truncate(self._chance.randrange(size))
                case 1:
                    opened.seek(0, os.SEEK_END)
                    opened.write(b"more than was published")

    def start(self) -> Process:
        return self.scene.start("repairs", "verify", self.copy, "--repair", *self.publisher.words)

    def claims(self) -> int:
        return read_claims(self.home, whole=False)


def _started(process: Process) -> Event | None:
    return next((event for event in process.events if event["event"] == "started"), None)


# --- removing --------------------------------------------------------------------------------------------------------


class Collecting(Job):
    """`p2phub gc` of an own store in which `pinned` stay and `loose` may go. Nothing is verified by it, so nothing of
    that can be lost; what may not be lost is what is pinned, and what may not be claimed is what is gone."""

    def __init__(self, scene: Scene, publisher: Publisher, *, pinned: Sequence[Path], loose: Sequence[Path]) -> None:
        super().__init__(scene)
        self._publisher = publisher
        self._loose = [publisher.publish(model) for model in loose]
        self._pinned = {
            self._pin(publisher.publish(model)): tree_digest(model) for model in pinned
        }  # By folder in the own store.

    @property
    def home(self) -> Path:
        return self.scene.home("collects")

    def _pin(self, reference: str) -> Path:
        pinned = in_home(self.home, lambda hub: hub.pin(reference, providers=[self._publisher.node.address]))
        return Path(pinned["folder"])

    def begin_anew(self) -> None:
        async def bring_back(hub: Hub) -> None:
            for reference in self._loose:
                await hub.pin(reference, providers=[self._publisher.node.address])
                await hub.unpin(reference)

        in_home(self.home, bring_back)
        old = time.time() - 90_000  # A blob that was put within the last hour stays.
        for blob in (self.home / "blobs").iterdir():
            os.utime(blob, times=(old, old))

    def start(self) -> Process:
        return self.scene.start("collects", "gc", "--no-lan")

    def killed(self, process: Process, ran_s: float) -> None:
        self.tally.claimed += read_claims(self.home)
        self._pinned_are_here()

    def ended(self, process: Process) -> None:
        self._pinned_are_here()
        assert {folder.name for folder in (self.home / "files").iterdir()} == {folder.name for folder in self._pinned}
        items = in_home(self.home, lambda hub: hub.ls())
        assert {Path(item["folder"]) for item in items} == set(self._pinned)
        again = in_home(self.home, lambda hub: hub.gc(dry_run=True))
        assert (again["items"], again["leftovers"], again["blobs"], again["rows"]) == ([], [], 0, 0)
        read = read_claims(self.home)
        assert read == sum(item["bytes"] for item in items)

    def _pinned_are_here(self) -> None:
        for folder, digest in self._pinned.items():
            assert tree_digest(folder) == digest
        store = FilesystemStore(self.home)
        try:
            whole = {Path(os.path.abspath(each.folder)) for each in store.holdings() if each.complete}
        finally:
            store.close()
        assert whole >= set(self._pinned)
