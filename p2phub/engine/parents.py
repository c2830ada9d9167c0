"""Manifests that a release names as what it came of: the one before it, base models. Who has one has chunks of it.

They are found by digest, wherever they lie there: a fine-tune has most tensors of its base, in other files and at other
offsets. A release may name anything, so what describes a parent is read within bounds, and what comes of it is a hint:
chunks are asked for by the parent's numbers, and checked by the digests of what is fetched. Only ever a loss of time.
"""

from __future__ import annotations

import logging

import trio

from p2phub import limits
from p2phub.content import Codec, Digest, Renumbering, same_chunks
from p2phub.discovery import Candidate
from p2phub.engine.assembly import Assembly, Wanted
from p2phub.engine.describe import CANDIDATES_TRIED_MAX, ask_one, may_be_dialled
from p2phub.engine.job import Item, Job, KinKnown
from p2phub.errors import Damaged, HubError
from p2phub.manifest import Release

_log = logging.getLogger(__name__)
LIST_ENTRY_BYTES = 36  # manifest.md §4.


def parents_of(release: Release) -> tuple[Digest, ...]:
    """Return the manifests that a release says it came of: first that before it, which is most like it."""
    before = () if release.previous is None else (release.previous,)
    named = dict.fromkeys((*before, *(manifest for manifest, _ in release.parents)))
    return tuple(digest for digest in named if digest != release.manifest)


async def look_for_parent(job: Job, parent: Digest, found: trio.MemorySendChannel[Item]) -> None:
    """Tell what `parent` has of what is missing, and who has it; nothing if it is nowhere, or has none of it."""
    send, heard = trio.open_memory_channel[Candidate](limits.PROVIDERS_PER_KEY_MAX)
    with trio.move_on_after(limits.PARENT_S):
        async with trio.open_nursery() as nursery:

            async def look() -> None:
                async with send:
                    await job.search.look_for_kin(parent, send)

            nursery.start_soon(look)
            await _tell(job, Assembly(parent, job.means.store.blob), heard, found)
            nursery.cancel_scope.cancel()


async def _tell(
    job: Job,
    assembly: Assembly,
    heard: trio.MemoryReceiveChannel[Candidate],
    found: trio.MemorySendChannel[Item],
) -> None:
    """Tell of those that are heard of, as soon as one of them has said what the parent is."""
    untold: list[Candidate] = []
    numbers: Renumbering | None = None
    async for candidate in heard:
        untold.append(candidate)
        if numbers is None and len(untold) <= CANDIDATES_TRIED_MAX:
            numbers = await _compared(job, assembly, candidate)
            if numbers is None:
                continue
            _log.info("%s has %d chunks of what is missing", assembly.digest.text(Codec.MSGPACK), len(numbers.ours))
            if not numbers.ours:
                return
            await found.send(KinKnown(assembly.digest, numbers))
        if numbers is not None:
            for each in untold:
                await found.send(each)
            untold.clear()


async def _compared(job: Job, assembly: Assembly, candidate: Candidate) -> Renumbering | None:
    """Return what the parent has of what is missing, None if `candidate` did not tell what it lacks to know that."""
    session, arrival, workers = job.session, job.arrival, job.means.workers
    assert session is not None
    assert arrival is not None
    bytes_max = session.bytes_missing // limits.PARENT_METADATA_PART

    def missing() -> list[Wanted]:
        return _missing(assembly, bytes_max)

    try:
        if await workers.run(missing):
            if not may_be_dialled(candidate, job.means):
                return None
            error = await ask_one(candidate, assembly, missing, job.means)
            if error is not None:
                _log.info("%s does not tell what a parent is: %s", candidate.provider, error)
            if await workers.run(missing):
                return None
        table, wanted = arrival.plan.table, session.missing
        return await workers.run(lambda: same_chunks(table, wanted, assembly.table()))
    except HubError as error:  # Malformed, or too much: there will be no other word of it. Our fetch is none the worse.
        _log.info("%s is of no use: %s", assembly.digest.text(Codec.MSGPACK), error)
        return Renumbering.of(())


def _missing(assembly: Assembly, bytes_max: int) -> list[Wanted]:
    """Return what of the parent's metadata is to be asked for next. Blocks. Raises Malformed; Damaged for more than is
    worth reading, to find what has `bytes_max` times PARENT_METADATA_PART bytes."""
    pages = assembly.missing_pages()
    if not pages:
        chunks = assembly.manifest().chunks_total
        if chunks > limits.PARENT_CHUNKS_MAX or chunks * LIST_ENTRY_BYTES > bytes_max:
            raise Damaged(f"its {chunks:,} chunks are more than is worth comparing")
        return assembly.missing()
    if assembly.blob(assembly.digest) is not None and sum(page.length for page in pages) > bytes_max:
        raise Damaged("what describes it is more than is worth reading")
    return pages
