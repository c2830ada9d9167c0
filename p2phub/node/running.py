"""A node that runs: its parts, what it announces, the jobs under way, and what every verb asks of them."""

from __future__ import annotations

import logging
import math
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio
from msgspec.structs import replace

from p2phub import limits
from p2phub.content import ChunkTable, Codec, Digest, RangeSet
from p2phub.errors import DiskError, NotFound, Unsafe, UsageError
from p2phub.manifest import Manifest, decode_manifest
from p2phub.node.capping import LOOK_S, Capping, JobCaps
from p2phub.node.compose import Parts, unfinished_in
from p2phub.node.keeping import Keeping
from p2phub.node.rates import Rates
from p2phub.node.shared_places import SharedPlaces
from p2phub.node.unfinished import Begun, Options, forget, note
from p2phub.observe import DONE, Explanation, outcome_of
from p2phub.store import Holding, Origin

if TYPE_CHECKING:
    from p2phub.engine import fetch as engine
    from p2phub.engine.announce import Announcer
    from p2phub.engine.upstream import Upstream
    from p2phub.node.reading import Reading
    from p2phub.node.verbs.drafting import OpenDraft

_log = logging.getLogger(__name__)
JsonObject = dict[str, Any]


class Running:
    """`announcer` is None where nothing is announced: in a command's transient node."""

    def __init__(self, parts: Parts, announcer: Announcer | None = None) -> None:
        self.parts = parts
        self.announcer = announcer
        self.began = time.time()
        self.looked_at_store = (-math.inf, False)  # When, and whether it could be written.
        self.store_told: tuple[int, float, JsonObject] | None = None  # At how many changes, when, what was told of it.
        config = parts.config
        self.capping = Capping(parts.caps, Rates(config.up, config.down), config.schedule)
        self.nursery: trio.Nursery | None = None  # Of what goes on between two verbs, while it runs.
        self.readings: dict[Digest, Reading] = {}
        self.open_models: dict[int, trio.Event] = {}  # By number; set to close one.
        self.drafts: dict[int, OpenDraft] = {}
        self.upstream: Upstream | None = None  # Once it was asked.
        self._jobs: dict[int, JsonObject] = {}
        self._begun: dict[int, Begun] = {}  # By job, as `_jobs`.
        self._fetches: dict[int, engine.Running] = {}
        self._used: list[Digest] = []  # Once for each that uses it.
        self._job_count = 0
        self._notes: deque[tuple[Callable[[Path, Begun], None], Begun]] = deque()  # Still to be written, in this order.
        self._notes_wait = trio.Event()
        self.keeping = Keeping(
            parts,
            busy=lambda: [*self._used, *(fetch.manifest for fetch in self._begun.values()), *self.readings],
            changed=self.shelf_changed,
            online=announcer is not None,
            coming=lambda: 0 if self.upstream is None else self.upstream.left,
        )
        self.places = SharedPlaces(parts)
        self.changes = 0  # Grows when what is held or named here may have changed.
        self.look_at_caps()

    @property
    def jobs(self) -> list[JsonObject]:
        """What each fetch under way has told last, with its caps."""
        return [{**told, **self._caps_of(number)} for number, told in self._jobs.items()]

    @contextmanager
    def job(self, *, reference: str, into: str, caps: JobCaps, options: Options = ()) -> Iterator[JsonObject]:
        """List a fetch as under way, within `caps`; yields what is told of it, to be kept up to date."""
        self._job_count += 1
        number = self._job_count
        fetch = Begun(reference, caps.manifest, Path(into), options=options)
        self._to_note(note, fetch)
        self._jobs[number] = {
            "job": number,
            "reference": reference,
            "manifest": caps.manifest.text(Codec.MSGPACK),
            "into": into,
        }
        self._begun[number] = fetch
        self.capping.admit(number, caps)
        outcome = DONE
        try:
            yield self._jobs[number]
            self._to_note(forget, fetch)
        except BaseException as end:
            outcome = outcome_of(end)
            if isinstance(end, Unsafe):
                self._to_note(note, replace(fetch, unsafe=True))
            raise
        finally:
            self.parts.tally.jobs[outcome] += 1
            self.capping.forget(number)
            del self._jobs[number], self._begun[number]
            self._fetches.pop(number, None)

    @contextmanager
    def using(self, manifest: Digest) -> Iterator[None]:
        """Keep a manifest from collection by this node. Others of the same home see `in_use`."""
        self._used.append(manifest)
        try:
            yield
        finally:
            self._used.remove(manifest)

    @asynccontextmanager
    async def in_use(self, manifest: Digest) -> AsyncIterator[None]:
        """Keep what the own store has of a manifest from collection by any process. Raises Occupied."""
        workers, store = self.parts.workers, self.parts.store
        with ExitStack() as stack:
            await workers.run(lambda: stack.enter_context(store.in_use(manifest)))
            try:
                yield
            finally:
                with trio.CancelScope(shield=True):
                    await workers.run(stack.close)

    @property
    def links(self) -> int:
        """How many links the fetches under way have, to whomever."""
        return sum(fetch.links for fetch in self._fetches.values())

    def job_of(self, fetch: Begun) -> JsonObject | None:
        """Return what is told of the job that carries out `fetch`, None if none does."""
        return next((self._jobs[number] for number, begun in self._begun.items() if begun.is_same(fetch)), None)

    def carried_out_by(self, number: int, fetch: engine.Running) -> None:
        """Note which fetch job `number` is."""
        self._fetches[number] = fetch

    def explanation(self, number: int) -> Explanation:
        """Say why job `number` is as fast as it is. Raises NotFound if there is none of that number."""
        return self.fetch_of(number).explain()

    def explained(self, number: int) -> JsonObject | None:
        """Return the explanation of a job as JSON has it, None while there is none to tell."""
        fetch = self._fetches.get(number)
        return None if fetch is None else fetch.explain().as_json()

    def arriving(self, manifest: Digest) -> list[tuple[ChunkTable, RangeSet]]:
        """Return what the fetches of a manifest that are under way have by now."""
        found = [fetch.arriving for number, fetch in self._fetches.items() if self._begun[number].manifest == manifest]
        return [each for each in found if each is not None]

    def fetch_of(self, number: int) -> engine.Running:
        """Return the fetch that job `number` is. Raises NotFound if there is none of that number."""
        fetch = self._fetches.get(number)
        if fetch is None:
            known = ", ".join(map(str, self._jobs)) or "none"
            raise NotFound(f"no job {number} is under way here (there are: {known})", hint="`p2phub status` lists them")
        return fetch

    async def keep_caps(self) -> None:
        """Let schedule and background jobs have their way, until cancelled."""
        while True:
            self.look_at_caps()
            await trio.sleep(LOOK_S)

    async def keep_notes(self) -> None:
        """Have it noted in the home which fetches began and did not end, until cancelled."""
        try:
            while True:
                await self._notes_wait.wait()
                self._notes_wait = trio.Event()
                await self._write_notes()
        finally:
            with trio.move_on_after(limits.GOODBYE_S, shield=True):
                await self._write_notes()

    def _to_note(self, change: Callable[[Path, Begun], None], fetch: Begun) -> None:
        self._notes.append((change, fetch))
        self._notes_wait.set()

    async def _write_notes(self) -> None:
        while self._notes:
            change, fetch = self._notes[0]
            try:
                await self.parts.workers.run(partial(change, self.parts.config.home, fetch))
            except (DiskError, ValueError) as error:  # What a fetch left can be gone on with all the same.
                _log.info("not noted: %s", error)
            self._notes.popleft()

    def look_at_caps(self) -> None:
        moving = {number: float(told.get("bytes_per_s", 0.0)) for number, told in self._jobs.items()}
        self.capping.look(datetime.now(), moving)  # noqa: DTZ005  # The wall clock is what a schedule speaks of.

    def _caps_of(self, number: int) -> JsonObject:
        job = self.capping.job(number)
        assert job is not None, "a job is admitted as long as it is listed"
        return {"up": job.rates.up, "down": job.rates.down, "background": job.background}

    def shelf_changed(self, manifest: Digest) -> None:
        """Note that what we hold of `manifest`, or may give away, changed."""
        self.changes += 1
        self.parts.shelf.forget(manifest)
        if self.announcer is not None:
            self.announcer.refresh()

    def holding_of(self, ref: str, folder: str | None = None) -> Holding:
        """Return the newest holding that `ref` means. Blocks. Raises NotFound, UsageError."""
        return self.holdings_of(ref, folder)[0]

    def holdings_of(self, ref: str, folder: str | None = None) -> list[Holding]:
        """Return what `ref` means: all that a folder holds, or all folders that hold what a reference names; at least
        one, the newest first. `folder`: where `ref` leads as a path from the working directory of who asks, which is
        not ours; without it only an absolute path is one. Blocks. Raises NotFound, UsageError."""
        holdings = self.parts.store.holdings()
        place = ref if folder is None else folder
        meant = Path(os.path.normpath(place)) if os.path.isabs(place) else None
        found = [holding for holding in holdings if holding.folder == meant]
        try:
            found = found or _own_first(self.parts.resolver.local(ref), holdings)
        except (NotFound, UsageError):
            if meant is None or not os.path.isdir(meant):  # False, too, where we may not look.
                raise
        if not found:
            raise _not_held(ref, meant)
        return found

    def held(self, manifest: Digest) -> list[Holding]:
        """Return what is held of a manifest, the newest first; what attached places list after all else. Blocks."""
        return _own_first(manifest, self.parts.store.holdings(manifest))

    def manifest_of(self, digest: Digest) -> Manifest | None:
        """Return a manifest whose pages are all here, else None."""
        root = self.parts.store.blob(digest)
        return None if root is None else decode_manifest(root, self.parts.store.blob)


def _own_first(manifest: Digest, holdings: Iterable[Holding]) -> list[Holding]:
    """Return those of a manifest; what attached places list after all else."""
    found = [holding for holding in holdings if holding.manifest == manifest]
    return sorted(found, key=lambda holding: holding.origin is Origin.SHARED)


def _not_held(ref: str, folder: Path | None) -> NotFound:
    """Return what to say of something that is not held, or not yet."""
    left = unfinished_in(folder) if folder is not None else None
    if left is not None:
        return NotFound(
            f"{ref} holds a fetch that is not finished",
            hint=f"the same `p2phub fetch` resumes it; to give it up, delete {left}",
        )
    return NotFound(f"{ref} is not held here", hint="`p2phub ls` shows what is")
