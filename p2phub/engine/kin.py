"""Other manifests that have chunks of what is fetched: who holds one of those, its kin, is a provider, too.

A large file is announced alone (`manifest.alone`), by whoever has it, in whatever repository and under whatever name;
and a release names what it came of (`parents`). Once a fetch knows its manifest and proves long, it looks for who has
its missing large files so, and for who has its parents. A provider found like that is asked for one kin after the
other, by the numbers that its chunks have there, as long as it has one of which something is missing. Only for what is
public is looked like that.
"""

from __future__ import annotations

import trio

from p2phub import limits
from p2phub.content import ChunkTable, Digest, RangeSet, Renumbering, Same
from p2phub.engine.job import Job, KinSearchEnded
from p2phub.engine.nearness import is_long
from p2phub.engine.parents import look_for_parent
from p2phub.engine.providers import Provider
from p2phub.manifest import Manifest, alone_digest, is_alone

LOOKED_FOR_MAX = 16  # Files of one fetch, the largest: each is a search of its own.


def files_alone(manifest: Manifest, table: ChunkTable, missing: RangeSet) -> dict[Digest, Renumbering]:
    """Return the large files, alone, of which something is missing, with their chunks, the largest first. Blocks."""
    if is_alone(manifest):
        return {}
    large = [
        (entry.size, number)
        for number, entry in enumerate(manifest.files)
        if entry.size >= limits.ALONE_BYTES_MIN and RangeSet.of([table.span(number)]) & missing
    ]
    large.sort(reverse=True)
    runs: dict[Digest, list[Same]] = {}  # Several, where the manifest has a file twice.
    for _, number in large[:LOOKED_FOR_MAX]:
        first, stop = table.span(number)
        runs.setdefault(alone_digest(manifest.files[number]), []).append((first, 0, stop - first))
    return {digest: Renumbering.of(same) for digest, same in runs.items()}


def look_for_kin(job: Job, now: float) -> None:
    """Look for who has missing files alone, or a parent, once, if the fetch proves long."""
    if may_search(job) and is_long(job, now):
        search_for_kin(job)


def may_search(job: Job) -> bool:
    """Whether there is kin that was not looked for yet. Until it is known what is missing, nobody's can be of use."""
    return job.session is not None and job.search.may_look_for(job.kin)


def search_for_kin(job: Job) -> None:
    """Have the job told of all who have what was not looked for yet; then that the search has ended."""
    job.seeking_kin = True
    job.nursery.start_soon(_search, job, job.search.take_kin(job.kin), job.search.take_kin(job.search.parents))


async def _search(job: Job, files: list[Digest], parents: list[Digest]) -> None:
    async with job.send.clone() as found:
        async with trio.open_nursery() as nursery:  # What describes parents may take as long as all of the files.

            async def look_for_parents() -> None:
                for parent in parents:
                    await look_for_parent(job, parent, found)

            nursery.start_soon(look_for_parents)
            for digest in files:
                await job.search.look_for_kin(digest, found)
        await found.send(KinSearchEnded())


def turn_to_next(job: Job) -> None:
    """Let go of links whose kin has nothing more for us, so that their peers can be asked for the next that they have,
    and note who has none of what is missing."""
    kin = [provider for provider in job.providers if provider.kin]
    if job.session is None or not kin:
        return
    wanted = _wanted(job)
    for state in list(job.links.values()):
        if state.kin is not None and not state.leaving and state.kin not in wanted:
            state.leaving = True
            state.link.close()
    for provider in kin:
        provider.needless = wanted.isdisjoint(provider.kin)


def kin_wanted(job: Job, provider: Provider) -> Digest | None:
    """Return which of its kin `provider` is asked for next, None if it has none of what is missing."""
    if job.session is None or not provider.kin:
        return None
    wanted = _wanted(job)
    return next((kin for kin in provider.kin if kin in wanted), None)


def _wanted(job: Job) -> set[Digest]:
    """Return the kin that have something of what is missing."""
    assert job.session is not None
    missing = job.session.missing
    return {kin for kin, numbers in job.kin.items() if missing & numbers.ours}
