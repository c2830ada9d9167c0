"""Give what is fetched, or held, in the form that another program wants: a Hugging Face cache, or Ollama's store.

What is not held whole is fetched into the home's own store first. Its files become the other program's by a hard link
where they can, since neither ever writes into one; else they are cloned or copied, and our copy goes. From then on
they are held where that program has them, as what is adopted is. Until then nothing collects our copy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import trio
from msgspec.structs import replace

from p2phub.content import Digest, ReadPlan
from p2phub.engine import fetch as engine
from p2phub.engine.public import for_everybody
from p2phub.engine.resolve import Resolved
from p2phub.engine.waiting import Looks
from p2phub.errors import NotFound, UsageError
from p2phub.identity import PeerAddress, parse_peer_address
from p2phub.manifest import (
    FileEntry,
    Manifest,
    alone_digest,
    commit_of,
    gguf_weights,
    given_with_gguf,
    is_gguf_shard,
    manifest_alone,
    parse_reference,
)
from p2phub.node.capping import JobCaps
from p2phub.node.durations import parse_duration
from p2phub.node.rates import Rates, parse_cap
from p2phub.node.running import JsonObject, Running
from p2phub.node.unfinished import Options
from p2phub.node.verbs.fetching import Openness, fetch_and_share, is_public, is_unsafe_allowed
from p2phub.observe import Done, Watch
from p2phub.store import Fingerprint, HashedFile, Holding, Origin, Provenance
from p2phub.store.disk import Disk
from p2phub.store.materialise import HfPlace, Source, export, full_name, write_snapshot

PROGRAMS = ("hf-cache", "ollama")


async def give(
    node: Running,
    watch: Watch,
    *,
    ref: str,
    to: str,
    place: str,
    name: str | None = None,
    branch: str = "main",
    providers: Sequence[str] = (),
    mirrors: Sequence[str] = (),
    serve: bool = True,
    exchange: bool = True,
    up: int | None = None,
    down: int | None = None,
    background: bool = False,
    wait: str | float | None = None,
    allow_unsafe: bool | None = None,
    symlinks: bool = True,
) -> JsonObject:
    """Return Done, whose path is the snapshot, or the manifest of Ollama's, below `place`. `name`: what to call it
    there; None: as it is called here. `symlinks`: whether a cache may have any. Raises HubError."""
    if to not in PROGRAMS:
        raise UsageError(f"nothing is known of {to!r}", hint=f"one of {', '.join(PROGRAMS)}")
    parts = node.parts
    given = tuple(parse_peer_address(provider) for provider in providers)
    wait_s = parts.config.wait if wait is None else parse_duration(wait)
    resolved = await parts.resolver.resolve(ref, given, mirrors, looks=Looks(wait_s, watch))
    called = name or _name_of(ref, resolved)
    began = trio.current_time()
    with node.using(resolved.manifest):
        done: Done | None = None
        if await parts.workers.run(lambda: _whole(node, resolved.manifest)) is None:
            rates = Rates(*(None if rate is None else parse_cap(rate) for rate in (up, down)))
            caps = JobCaps(resolved.manifest, rates, background)
            openness = Openness(is_public(resolved), serve=serve, exchange=exchange)
            sources = given, tuple(mirrors)
            allowed = is_unsafe_allowed(parts, allow_unsafe)
            done = await _fetch(
                node,
                watch,
                ref,
                resolved,
                openness,
                sources,
                caps=caps,
                wait_s=wait_s,
                allow_unsafe=allowed,
                options=(("to", to), ("as", called), *((("branch", branch),) if branch != "main" else ())),
            )
        async with node.in_use(resolved.manifest):
            # Looked for only now: another process could have collected it until we had the lock.
            holding = await parts.workers.run(lambda: _whole(node, resolved.manifest))
            if holding is None:
                raise _changed(ref)
            giving = await parts.workers.run(partial(_Giving, node, ref, holding, Path(place)))
            if to == "hf-cache":
                work = partial(giving.to_cache, called, branch, resolved, symlinks)
            else:
                work = partial(giving.to_ollama, called)
            path = await parts.workers.run_until_cancelled(work)
    if isinstance(path, BaseException):
        raise path
    node.shelf_changed(resolved.manifest)
    if done is None:
        seconds = round(trio.current_time() - began, 3)
        done = Done(str(path), bytes_received=0, bytes_reused=holding.bytes_total, seconds=seconds, first_byte_s=None)
    return replace(done, path=str(path)).as_json()


async def _fetch(
    node: Running,
    watch: Watch,
    ref: str,
    resolved: Resolved,
    openness: Openness,
    sources: tuple[Sequence[PeerAddress], Sequence[str]],
    *,
    caps: JobCaps,
    wait_s: float | None,
    allow_unsafe: bool,
    options: Options,
) -> Done:
    """Fetch into the own store, within its quota, from these peers and mirrors first."""
    given, mirrors = sources
    into = await node.parts.workers.run(lambda: node.parts.store.own_folder(resolved.manifest))
    wish = engine.Wish(ref, resolved.manifest, into, force=True, wait_s=wait_s, allow_unsafe=allow_unsafe)
    async with node.keeping.room_for(resolved.manifest) as make_room:
        return await fetch_and_share(
            node,
            watch,
            wish,
            resolved,
            openness,
            given=given,
            mirrors=mirrors,
            caps=caps,
            make_room=make_room,
            options=options,
        )


def _whole(node: Running, manifest: Digest) -> Holding | None:
    """Return where a manifest is held whole, in the own store if it is there, whose files may be linked. Blocks."""
    whole = [holding for holding in node.held(manifest) if holding.complete]
    return min(whole, key=lambda holding: holding.origin is not Origin.OWN, default=None)


def _name_of(ref: str, resolved: Resolved) -> str:
    """Return what is meant is called here: PUBLISHER/name, or as the user named the publisher."""
    reference = parse_reference(ref)
    if reference.name is not None and (reference.petname or reference.publisher) is not None:
        return f"{reference.petname or reference.publisher}/{reference.name}"
    if resolved.release is not None:
        return f"{resolved.release.publisher}/{resolved.release.name}"
    raise UsageError(f"{ref} does not say what to call it", hint="name it with --as ORG/NAME")


def _changed(ref: str) -> NotFound:
    return NotFound(f"{ref} changed while it was given", hint="run the same command again")


class _Giving:
    """One holding on its way into another program's place. Methods block, and return what they raise."""

    def __init__(self, node: Running, ref: str, holding: Holding, place: Path) -> None:
        """Blocks. Raises NotFound if it is not held any more."""
        self._store = node.parts.store
        self._ledger = node.parts.ledger
        self._holding = holding
        self._place = place
        manifest, plan = node.manifest_of(holding.manifest), self._store.read_plan(holding.manifest)
        if manifest is None or plan is None:  # Removed since we looked.
            raise _changed(ref)
        self._manifest: Manifest = manifest
        self._plan: ReadPlan = plan
        self._linked: dict[str, Fingerprint] = {}

    @property
    def _may_link(self) -> bool:
        """Whether its files are ours: a link to the user's would let one name's edit change the other."""
        return self._holding.origin is Origin.OWN

    def to_cache(
        self, name: str, branch: str, resolved: Resolved, symlinks: bool, stopped: Callable[[], bool]
    ) -> Path | BaseException:
        source = self._holding.source
        is_hubs = source is not None and source.cache == "hf" and source.revision is not None
        commit = source.revision if is_hubs and source is not None else commit_of(name, self._holding.manifest)
        kind = "dataset" if resolved.release is not None and resolved.release.kind == "dataset" else "model"
        where = HfPlace(self._place, name, str(commit), repo_type=kind, ref=branch)
        try:
            path = write_snapshot(
                Disk(),
                where,
                self._sources(),
                link=self._may_link,
                stopped=stopped,
                linked=self._note_linked,
                symlinks=symlinks,
            )
            label = name if kind == "model" else f"{kind}s/{name}"
            self._hold(path, Provenance("hf", label, where.commit), lambda file: Path(path / file.path).resolve())
        except Exception as error:  # noqa: BLE001  # Raised where it is waited for.
            return error
        return path

    def to_ollama(self, name: str, stopped: Callable[[], bool]) -> Path | BaseException:
        sources = self._sources()
        models, beside = gguf_weights(sources), given_with_gguf(sources)
        try:
            if not models:
                raise UsageError(
                    "it has no GGUF file, so there is nothing in it that Ollama runs",
                    hint="fetch it --into a folder, or --to hf-cache for transformers",
                )
            if len(models) != 1:
                named = ", ".join(file.path for file in models[:5])
                hint = "fetch the one that is meant: --include FILE --into DIR, then `p2phub adopt DIR`"
                raise UsageError(f"Ollama takes one GGUF file, and here are {len(models)}: {named}", hint=hint)
            called = full_name(name)
            if is_gguf_shard(models[0].path):
                raise UsageError(
                    f"{models[0].path} is one of several files that are one model: Ollama takes no part",
                    hint="fetch all of them --into a folder: llama.cpp reads them from there",
                )
            path = export(
                Disk(),
                self._place,
                called,
                models[0],
                beside=beside,
                link=self._may_link,
                stopped=stopped,
                linked=self._note_linked,
            )
            for file in (models[0], *(file for kind, file in beside if kind == "projector")):
                blob = self._place / "blobs" / f"sha256-{file.sha256.hex()}"
                self._hold_alone(file.path, blob, Provenance("ollama", called))
        except Exception as error:  # noqa: BLE001  # Raised where it is waited for.
            return error
        return path

    def _sources(self) -> list[Source]:
        # Of this holding alone, never where it is served from: that may be a folder of the user's, not to be linked.
        held = partial(self._store.open_held, self._holding.manifest, self._holding.folder)
        return [
            Source(entry.path, entry.size, entry.sha256, entry.git_sha1, partial(held, number))
            for number, entry in enumerate(self._manifest.files)
        ]

    def _note_linked(self, source: Source, now: Fingerprint) -> None:
        self._linked[source.path] = now

    def _hold(self, folder: Path, source: Provenance, place: Callable[[FileEntry], Path]) -> None:
        """Hold the files where the other program has them."""
        files = [self._at(number, place(entry)) for number, entry in enumerate(self._manifest.files)]
        self._store.hold(self._manifest, self._holding.manifest, folder, files, origin=Origin.ADOPTED, source=source)
        self._hold_own_again()

    def _hold_alone(self, path: str, blob: Path, source: Provenance) -> None:
        number = self._manifest.number_of(path)
        assert number is not None
        entry = self._manifest.files[number]
        alone = manifest_alone(entry)
        file = replace(self._at(number, blob), entry=alone.files[0])
        digest = alone_digest(entry)
        # Before it is held: its own manifest is another one, of which nobody has said yet who may have it.
        if not for_everybody(self._ledger)(self._holding.manifest) and not self._store.holdings(digest):
            self._ledger.withhold(digest, withheld=True)
        self._store.hold(alone, digest, blob, [file], origin=Origin.ADOPTED, source=source)
        self._hold_own_again()

    def _hold_own_again(self) -> None:
        """A link changed when the files of ours were changed last, though not what is in them."""
        if self._linked and self._may_link:
            folder, manifest = self._holding.folder, self._manifest
            files = [
                replace(self._at(number, folder / entry.path), place=None)
                for number, entry in enumerate(manifest.files)
            ]
            self._store.hold(manifest, self._holding.manifest, folder, files, origin=Origin.OWN)

    def _at(self, number: int, place: Path) -> HashedFile:
        """Return what stands at `place`, which was just made of the file, and is not trusted to stay so."""
        entry = self._manifest.files[number]
        chunks = self._plan.table.list_of(number) if entry.chunks > 1 else None
        file = self._store.open_place(place)
        try:
            return HashedFile(entry, chunks, self._store.fingerprint_of(file), False, place)
        finally:
            file.close()
