"""Adopt what other programs have on this disk, where it stands: look through their caches, then hash and hold."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from p2phub.content import Codec
from p2phub.engine import adopt as engine
from p2phub.errors import UsageError
from p2phub.node.running import JsonObject, Running
from p2phub.observe import Adopted, Found, Watch
from p2phub.store.caches import CACHES, CacheScan, scan_cache, which

PROBLEMS_TOLD_MAX = 1000  # Of one model, or one look; a cache of a million broken links has one cause.


async def adopt(
    node: Running, watch: Watch, *, places: Sequence[Sequence[str]], announce: Sequence[str] = ()
) -> JsonObject:
    """`places`: (cache, folder) each; "any" for a folder that is to be looked at to see what it is. Raises HubError."""
    parts, began = node.parts, time.monotonic()
    wanted = [_place(*place) for place in places]
    scans: list[CacheScan] = []
    for cache, folder in wanted:

        def look(stopped: Callable[[], bool], cache: str = cache, folder: Path = folder) -> CacheScan:
            return scan_cache(which(folder) if cache == "any" else cache, folder, stopped=stopped)

        scans.append(await parts.workers.run_until_cancelled(look))
    models = [model for scan in scans for model in scan.models]
    problems = [problem for scan in scans for problem in scan.problems]
    files = {file.place: file for model in models for file in model.files}
    watch(
        Found(
            models=len(models),
            files=len(files),
            bytes=sum(file.fingerprint.size for file in files.values()),
            claimed=sum(file.claim is not None for file in files.values()),
            problems=_told(problems),
        )
    )

    def adopted(each: engine.Adopted) -> None:
        watch(_event(each))

    outcome = await engine.adopt(
        models,
        roots=[folder for _, folder in wanted],
        announce=announce,
        store=parts.store,
        ledger=parts.ledger,
        workers=parts.workers,
        watch=watch,
        adopted=adopted,
    )
    for each in outcome.adopted:
        for manifest in (each.manifest, *(digest for digest, _ in each.alone)):
            if manifest is not None:
                node.shelf_changed(manifest)
    for manifest in outcome.gone:
        node.shelf_changed(manifest)
    return {
        "models": len(outcome.adopted),
        "complete": sum(each.manifest is not None for each in outcome.adopted),
        "bytes": sum(file.fingerprint.size for file in files.values()),
        "bytes_hashed": outcome.bytes_hashed,
        "gone": [manifest.text(Codec.MSGPACK) for manifest in outcome.gone],
        "problems": _told([*problems, *(problem for each in outcome.adopted for problem in each.problems)]),
        "seconds": round(time.monotonic() - began, 3),
    }


def _place(cache: str, folder: str) -> tuple[str, Path]:
    if cache not in (*CACHES, "any"):
        raise UsageError(f"there is no cache called {cache!r}", hint=f"one of {', '.join(CACHES)}, or a folder")
    path = Path(folder)
    if not path.is_absolute():
        raise UsageError(f"{folder} is no absolute path")
    return cache, path


def _event(each: engine.Adopted) -> Adopted:
    model = each.model
    return Adopted(
        cache=model.cache,
        name=model.name,
        revision=model.revision,
        folder=str(model.folder),
        manifest=None if each.manifest is None else each.manifest.text(Codec.MSGPACK),
        alone=[{"manifest": digest.text(Codec.MSGPACK), "path": str(place)} for digest, place in each.alone],
        files=len(model.files) if each.manifest is not None else len(each.alone),
        bytes=each.bytes,
        complete=each.manifest is not None,
        announced=each.announced,
        announced_before=each.announced_before,
        problems=_told(each.problems),
    )


def _told(problems: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"path": path, "why": why} for path, why in problems[:PROBLEMS_TOLD_MAX]]
