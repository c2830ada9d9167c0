"""Tensors to be read while the rest of them still arrives: from files that are held, or fetched for it.

What is fetched lies in `opened/` of the home, as unfinished files, until `close_tensors` says that it was read; a call
that was cut off left it there, and the same call goes on with it, until a collection comes (`store/opened`). Whoever
asks reads the files itself: they are of the same user, and it is told of each tensor once it is verified.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import trio

from p2phub.content import Digest, OpenForReading, digest_of
from p2phub.engine import fetch as engine
from p2phub.engine.choice import Choice
from p2phub.engine.choosing import Choosing, Chosen
from p2phub.engine.layouts import keep_layouts, known_layouts
from p2phub.engine.waiting import Looks
from p2phub.errors import DiskError, UsageError
from p2phub.formats import Span
from p2phub.identity import parse_peer_address
from p2phub.node.capping import JobCaps
from p2phub.node.compose import unfinished_file
from p2phub.node.durations import parse_duration
from p2phub.node.rates import Rates, parse_cap
from p2phub.node.running import JsonObject, Running
from p2phub.node.verbs.fetching import Openness, fetch_and_share, is_public
from p2phub.observe import Event, TensorsReady, Watch
from p2phub.store import OPENED_FOLDER, OPENED_LETTERS

CLOSE_STEP_S = 0.05
CLOSE_TRIES_MAX = 100  # A fetch that its reader has left a moment ago lets go of its files soon.
TOLD_MAX = 512  # Tensors in one event: a slow reader of the local socket loses events beyond 1024.


async def open_tensors(
    node: Running,
    watch: Watch,
    *,
    ref: str,
    names: Sequence[str],
    providers: Sequence[str] = (),
    mirrors: Sequence[str] = (),
    up: int | None = None,
    down: int | None = None,
    wait: str | float | None = None,
) -> JsonObject:
    """Tell of the tensors whose names match (TensorsReady), in the order of `names`, as each can be read. Raises
    HubError."""
    parts = node.parts
    given = tuple(parse_peer_address(provider) for provider in providers)
    wait_s = parts.config.wait if wait is None else parse_duration(wait)
    resolved = await parts.resolver.resolve(ref, given, mirrors, looks=Looks(wait_s, watch))
    choice = Choice(tensors=tuple(names))
    held = await parts.workers.run(partial(_held, node, resolved.manifest, choice))
    if held is not None:
        folder, chosen, paths = held
        for event in _events(chosen.spans, lambda number: folder / paths[number], None):
            watch(event)
        return {}
    folder = parts.config.home / OPENED_FOLDER / _name(resolved.manifest, names)
    await parts.workers.run(lambda: folder.parent.mkdir(mode=0o700, exist_ok=True))
    rates = Rates(*(None if rate is None else parse_cap(rate) for rate in (up, down)))

    def tell(spans: Sequence[tuple[int, Span]]) -> None:
        for event in _events(spans, lambda number: unfinished_file(folder, resolved.manifest, number), folder):
            watch(event)

    wish = engine.Wish(ref, resolved.manifest, folder, wait_s=wait_s, choice=choice)
    openness = Openness(is_public(resolved), serve=True, exchange=True)
    caps = JobCaps(resolved.manifest, rates, background=False)
    await fetch_and_share(node, watch, wish, resolved, openness, given=given, mirrors=mirrors, caps=caps, opened=tell)
    return {}


async def close_tensors(node: Running, watch: Watch, *, folder: str) -> JsonObject:
    """Remove what `open_tensors` fetched, unless somebody else is reading it by the same call by then, who will remove
    it. Raises UsageError for a folder that is none of those, DiskError."""
    home = node.parts.config.home / OPENED_FOLDER
    path = Path(folder)
    if path.parent != home or not path.name.isalnum():
        raise UsageError(f"{folder} is no folder of opened tensors")
    for _ in range(CLOSE_TRIES_MAX):
        if await node.parts.workers.run(partial(node.parts.store.discard_opened, path)):
            break
        await trio.sleep(CLOSE_STEP_S)
    return {}


def _events(spans: Sequence[tuple[int, Span]], path_of: Callable[[int], Path], folder: Path | None) -> list[Event]:
    rows = [
        [span.name, span.dtype, list(span.shape), os.fspath(path_of(number)), span.start, span.stop]
        for number, span in spans
    ]
    told = None if folder is None else os.fspath(folder)
    return [TensorsReady(rows[at : at + TOLD_MAX], told) for at in range(0, len(rows), TOLD_MAX)]


def _held(node: Running, manifest: Digest, choice: Choice) -> tuple[Path, Chosen, dict[int, str]] | None:
    """Return the folder that all of it can be read from, what that is, and the paths of its files; None if there is no
    such folder. Blocks. Raises UsageError where nothing is chosen."""
    store = node.parts.store
    known, plan = node.manifest_of(manifest), store.read_plan(manifest)
    if known is None or plan is None:
        return None
    for holding in node.held(manifest):
        if holding.complete:
            keep_layouts(known, manifest, holding.folder, store)
        layouts = known_layouts(known, store)
        if any(entry.layout is not None and entry.path not in layouts for entry in known.files):
            continue
        chosen = Choosing(choice, makes=False).choose(known, plan.table, layouts)
        paths = {number: known.files[number].path for number in chosen.layouts}
        if not chosen.selected.chunks - holding.held and _stands(plan.open, holding.folder, paths):
            return holding.folder, chosen, paths
    return None


def _stands(open_file: OpenForReading, folder: Path, paths: dict[int, str]) -> bool:
    """Return whether each of the files that stand in the folder is what was hashed."""
    for number, path in paths.items():
        try:
            file = open_file(number)
        except DiskError:  # It changed, or cannot be read.
            return False
        try:
            if not os.path.samestat(os.stat(folder / path), os.fstat(file.descriptor)):
                return False
        except OSError:
            return False
        finally:
            file.close()
    return True


def _name(manifest: Digest, names: Sequence[str]) -> str:
    """Return what the folder is called: the same for the same call, which goes on with what an earlier one left."""
    return digest_of(manifest.raw + "\n".join(names).encode()).raw.hex()[:OPENED_LETTERS]
